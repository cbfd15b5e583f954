"""The job that measures sensitivity: how the current state's metric falls as each coupled set loses a share."""

from typing import Any

from PySide6.QtCore import QObject, Slot

from secateur.engine.sensitivity.protocol import SHARES, Sensitivity

from ..document.document import Document
from ..document.sensitivity_curves import Curves
from ..text.titles import state_called
from ..text.translate import sentence
from .cost_estimator import CostEstimator
from .job_runner import JobRunner


class SensitivityJobs(QObject):
    """Changes neither state nor plan, so both can be worked on meanwhile; points are shown as they come."""

    def __init__(self, document: Document, runner: JobRunner, estimator: CostEstimator) -> None:
        """Work for a document."""
        super().__init__(document)
        self._document, self._runner, self._estimator = document, runner, estimator

    @Slot()
    def start(self) -> None:
        """Measure the current state; goes on where a run stopped."""
        document = self._document
        state, rating = document.contents.present, document.rating
        found = Curves(self._estimator.sensitivity().trials)

        def arrived(trials: tuple[Any, ...]) -> None:
            found.take(trials)
            document.take_curves(state, rating, found)

        def finished(result: Sensitivity) -> None:
            found.finish(result)
            for note in result.notes:
                document.note(sentence(note))
            document.take_curves(state, rating, found)

        title = self.tr("Measure the sensitivity of {state}").format(state=state_called(document.states, state))
        self._runner.run(
            title,
            finished,
            "sensitivity",
            state,
            document.criterion,
            SHARES,
            None,
            document.choices,
            about=("sensitivity", state, rating),
            arrived=arrived,
        )
