"""A project's file is not where it was: ask where it lies now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import SecateurError

from .form import FormDialog

say = QCoreApplication.translate


class Moved(FormDialog):
    """The dialog.

    Attributes:
        path: Where it lies now.
    """

    def __init__(self, window: Any, old: str, role: str, act: Callable[[str], None]) -> None:
        """Ask in a window for the file that lay at `old`; `act` takes where it is."""
        sentence = self.tr(
            "{path} was not found. It is needed as {role}. Choose its new location. Files next to it are then "
            "found there too."
        )
        super().__init__(
            window, self.tr("A file has moved"), sentence.format(path=old, role=role), self.tr("Use this path")
        )
        name = Path(old).name
        self.path = self.add_path(name, hint=old, pick="file" if Path(old).suffix else "folder", filters=_filter(name))
        self.problem = self._problem
        self.act = lambda: act(str(Path(self.path.text()).expanduser().absolute()))
        self.check()

    def _problem(self) -> str:
        text = self.path.text().strip()
        return "" if text and Path(text).expanduser().exists() else self.tr("Enter its location.")


def ask(window: Any, error: SecateurError, act: Callable[[str, str], None]) -> None:
    """Open the dialog over a window; `act` takes where the file was and where it is."""
    old, role = str(error.message.arguments["path"]), str(error.message.arguments["role"])
    roles = {
        "model": say("Moved", "the model"),
        "weights": say("Moved", "the weights"),
        "task": say("Moved", "the task file"),
        "data": say("Moved", "the data"),
        "tokenizer": say("Moved", "the tokeniser"),
    }
    Moved(window, old, roles.get(role, role), lambda new: act(old, new)).open()


def _filter(name: str) -> str:
    """Files of the same kind first."""
    suffix = Path(name).suffix
    everything = say("Moved", "All files (*)")
    return f"*{suffix} (*{suffix});;{everything}" if suffix else everything
