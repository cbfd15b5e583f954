"""A project's file is not where it was: ask where it is now."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import SecateurError

from ..storage.open_target import engine_path, is_missing
from .form import FormDialog
from .window_api import WindowApi

say = QCoreApplication.translate


class RelocateFile(FormDialog):
    """The dialog.

    Attributes:
        path: Where it is now.
    """

    def __init__(self, window: WindowApi, old: str, role: str, act: Callable[[str], None]) -> None:
        """Ask in a window for the file that was at `old`; `act` takes where it is."""
        sentence = self.tr(
            "{path} was not found. It is needed as {role}. Choose its new location. Files next to it are then "
            "found there too."
        )
        super().__init__(
            window.as_widget(),
            self.tr("A file has moved"),
            sentence.format(path=old, role=role),
            self.tr("Use this path"),
        )
        self._document, self._use = window.document, act
        self.read_elsewhere(window.workbench.elsewhere)
        # Files of the same kind come first.
        name, suffix = Path(old).name, Path(old).suffix
        everything = self.tr("All files (*)")
        filters = f"*{suffix} (*{suffix});;{everything}" if suffix else everything
        self.path = self.add_path(name, hint=old, pick="file" if suffix else "folder", filters=filters)
        self.check()

    def act(self) -> None:
        """Use the path."""
        self._use(engine_path(self.path.text(), self._document.engine.place))

    def problem(self) -> str:
        """That it is not there."""
        return self.tr("Enter its location.") if is_missing(self.path.text(), self._document.engine.place) else ""


def ask(window: WindowApi, error: SecateurError, act: Callable[[str, str], None]) -> None:
    """Open the dialog over a window; `act` takes where the file was and where it is."""
    old, role = str(error.message.arguments["path"]), str(error.message.arguments["role"])
    roles = {
        "model": say("RelocateFile", "the model"),
        "weights": say("RelocateFile", "the weights"),
        "task": say("RelocateFile", "the task file"),
        "data": say("RelocateFile", "the data"),
        "tokenizer": say("RelocateFile", "the tokeniser"),
    }
    RelocateFile(window, old, roles.get(role, role), lambda new: act(old, new)).open()
