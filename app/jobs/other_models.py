"""Reads the layers of other models, to stand beside those of the open one; the session stays as it is."""

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.costs import ModelLayers, layers_of

from ..document.consent_request import ConsentRequest
from ..document.document import Document
from ..text.titles import state_called
from .job_runner import JobRunner


class OtherModelJobs(QObject):
    """Reads models for a comparison.

    Signals:
        read: (ModelLayers, ModelLayers), of the current state and of the other model.
    """

    read = Signal(object, object)

    def __init__(self, document: Document, runner: JobRunner) -> None:
        """Work for a document."""
        super().__init__(document)
        self._document, self._runner = document, runner

    def compare(self, spec: ModelSpec) -> None:
        """Read a model, of foreign code only with consent, and tell of it beside the current state."""
        source = spec.weights or spec.source
        again = ConsentRequest(source, lambda consent: self.compare(replace(spec, **{consent: True})))
        self._runner.consent = again

        def apply(other: ModelLayers) -> None:
            document = self._document
            if document.analysis is not None and document.state is not None:
                title = f"{document.model_name}, {state_called(document.states, document.state.id)}"
                own = layers_of(document.analysis, document.contents.removed)
                self.read.emit(replace(own, name=title), other)

        title = self.tr("Read {name}").format(name=Path(spec.source).name or spec.source)
        self._runner.run(title, apply, "read_layers", spec)
