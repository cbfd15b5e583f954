"""A file that is there already: it is replaced only when the user says so."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QWidget

from .form import FormDialog


class Replace(FormDialog):
    """The dialog; the safe answer has the focus."""

    def __init__(self, parent: QWidget, path: Path, act: Callable[[], None]) -> None:
        """Ask over a dialog; `act` writes."""
        sentence = self.tr("{path} is there already. Replacing it cannot be undone.")
        super().__init__(parent, self.tr("Replace what is there?"), sentence.format(path=path), self.tr("Replace"))
        self.accept_button.setDefault(False)
        self.cancel_button.setDefault(True)
        self.cancel_button.setFocus()
        self.act = act
