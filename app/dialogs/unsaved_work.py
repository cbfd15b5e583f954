"""Work that is not saved lies on the engine's machine: asks before it is left there, where it ends with the window."""

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout

from ..document.document import Document
from ..widgets.buttons import PrimaryButton
from ..widgets.labels import set_role
from .form import FormDialog
from .window_api import WindowApi


def leaves_work(document: Document) -> bool:
    """Whether closing the window deletes work that was not saved: only another machine's is not kept as a draft."""
    return bool(document.engine.place) and document.analysis is not None and not document.clean


class UnsavedWork(FormDialog):
    """The dialog; to save is what it proposes.

    Attributes:
        save_button: Goes back, and opens what saves a project.
    """

    def __init__(self, window: WindowApi, act: Callable[[], None], closes: bool = False) -> None:
        """Ask in a window; `act` leaves the work, `closes` says that it closes the window."""
        document = window.document
        words = self.tr(
            "Your unsaved work on {name} is only on {host}, and is deleted there when this window closes. Save a "
            "project or export the model to keep it."
        )
        super().__init__(
            window.as_widget(),
            self.tr("Unsaved work"),
            words.format(name=document.model_name, host=document.engine.place),
            self.tr("Close without saving") if closes else self.tr("Open without saving"),
        )
        self.cancel_button.setText(self.tr("Go back"))
        self.accept_button.setDefault(False)
        set_role(self.accept_button, "")
        self.save_button.setDefault(True)
        self.save_button.setFocus()
        self.save_button.clicked.connect(self._save)
        self._window, self.act = window, act

    def _buttons(self) -> QHBoxLayout:
        row = super()._buttons()
        self.save_button = PrimaryButton(self.tr("Save project..."))
        row.addWidget(self.save_button)
        return row

    @Slot()
    def _save(self) -> None:
        self.reject()
        self._window.run_command("file.save")


def leave(window: WindowApi, act: Callable[[], None], closes: bool = False) -> None:
    """Do what replaces the open model, or `closes` it; where that leaves unsaved work behind, ask first."""
    if leaves_work(window.document):
        UnsavedWork(window, act, closes).open()
    else:
        act()
