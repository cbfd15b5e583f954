"""Work that is not saved lies on the engine's machine: asks before it is left there, where it ends with the window."""

from collections.abc import Callable

from ..document.document import Document
from .form import FormDialog
from .window_api import WindowApi


def leaves_work(document: Document) -> bool:
    """Whether closing the window deletes work that was not saved: only another machine's is not kept as a draft."""
    return bool(document.engine.place) and document.analysis is not None and not document.clean


class UnsavedWork(FormDialog):
    """The dialog; the safe answer has the focus."""

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
        self.prefer_cancel()
        self.act = act


def leave(window: WindowApi, act: Callable[[], None], closes: bool = False) -> None:
    """Do what replaces the open model, or `closes` it; where that leaves unsaved work behind, ask first."""
    if leaves_work(window.document):
        UnsavedWork(window, act, closes).open()
    else:
        act()
