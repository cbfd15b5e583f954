"""Consent to a pickle: some checkpoints can run code when they are loaded, so nobody loads one without being told."""

from dataclasses import replace
from typing import Any

from secateur.engine.errors import SecateurError
from secateur.engine.sources.protocol import ModelSpec

from .form import FormDialog


class Consent(FormDialog):
    """The dialog; the safe answer has the focus."""

    def __init__(self, window: Any, spec: ModelSpec, error: SecateurError) -> None:
        """Ask in a window about the checkpoint of a model."""
        super().__init__(
            window, self.tr("Run code from this checkpoint?"), str(error), self.tr("Trust this file and open")
        )
        text = self.tr("{file} can run any code when it is loaded. Open it only if you trust where it came from.")
        self.missing.setText(text.format(file=spec.weights or spec.source))
        self.accept_button.setDefault(False)
        self.cancel_button.setDefault(True)
        self.cancel_button.setFocus()
        self.act = lambda: window.open(replace(spec, trust_pickle=True))


def ask(window: Any, spec: ModelSpec, error: SecateurError) -> None:
    """Open the dialog over a window."""
    Consent(window, spec, error).open()
