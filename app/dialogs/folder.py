"""Dialogs that write a folder."""

import re
from pathlib import Path

from ..storage.user_folders import home
from .form import FormDialog
from .typed_path import path_problem
from .window_api import WindowApi


class FolderDialog(FormDialog):
    """Asks for a folder that may be new.

    Attributes:
        path: The folder to write.
    """

    def __init__(self, window: WindowApi, title: str, sentence: str, action: str, what: str) -> None:
        """Ask in a window; the folder offered is called by the model and by what it will be."""
        super().__init__(window.as_widget(), title, sentence, action)
        name = re.sub(r"[^\w.-]+", "-", window.document.model_name or "model")  # a name that every system takes
        self.path = self.add_path(self.tr("Folder"), str(home() / f"{name} {what}"), pick="folder")
        self.problem = self._problem

    def _problem(self) -> str:
        return path_problem(self.path.text(), self._folder_problem)

    def _folder_problem(self, path: Path) -> str:
        """What speaks against a folder; raises OSError where it cannot be read."""
        if not self.path.text() or not path.parent.is_dir():
            return self.tr("Enter a folder. Its parent folder must exist.")
        if path.is_file():
            return self.tr("{path} is a file. Choose a folder.").format(path=path)
        if path.is_dir():
            next(path.iterdir(), None)  # what lies there is looked at before it is replaced
        return ""
