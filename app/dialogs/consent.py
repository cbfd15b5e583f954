"""Consent to code: some checkpoints run it when they are loaded, and exports made elsewhere name Python files."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import SecateurError
from secateur.engine.sources.protocol import ModelSpec

from ..words import sentence
from .form import FormDialog

say = QCoreApplication.translate


class Consent(FormDialog):
    """The dialog; the safe answer has the focus."""

    def __init__(self, window: Any, file: str, error: SecateurError, verb: str, act: Callable[[], None]) -> None:
        """Ask in a window about a checkpoint; `act` is what consent allows."""
        super().__init__(window, self.tr("Run code that comes with this?"), sentence(error.message), verb)
        text = self.tr("{file} can run any code when it is opened. Open it only if you trust where it came from.")
        self.missing.setText(text.format(file=file))
        self.accept_button.setDefault(False)
        self.cancel_button.setDefault(True)
        self.cancel_button.setFocus()
        self.act = act


def ask(window: Any, spec: ModelSpec, error: SecateurError) -> None:
    """Ask about the checkpoint of a model that is to be opened."""
    verb = say("Consent", "Trust this file and open")

    def act() -> None:
        window.open(replace(spec, trust_pickle=True))

    Consent(window, spec.weights or spec.source, error, verb, act).open()


def ask_code(window: Any, spec: ModelSpec, error: SecateurError) -> None:
    """Ask about the Python file that an export or project from elsewhere names."""
    verb = say("Consent", "Trust this code and open")

    def act() -> None:
        window.open(replace(spec, trust_code=True))

    Consent(window, spec.source, error, verb, act).open()


def ask_recipe(window: Any, error: SecateurError) -> None:
    """Ask about what a recipe opens: its checkpoint, or its Python file."""
    handing, pickle = window.document.handing, error.message.code == "checkpoint.pickle"
    verb = say("Consent", "Trust this file and open") if pickle else say("Consent", "Trust this code and open")

    def act() -> None:
        handing.again(pickle=pickle, code=not pickle)

    file = (handing.asked.weights if pickle else handing.asked.source) or handing.asked.recipe
    Consent(window, file, error, verb, act).open()


def ask_weights(window: Any, path: str, error: SecateurError) -> None:
    """Ask about weights that are to be attached."""
    verb = say("Consent", "Trust this file and attach")

    def act() -> None:
        window.document.attach_weights(path, trust_pickle=True)

    Consent(window, path, error, verb, act).open()
