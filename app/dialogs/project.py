"""Projects: choose a folder to open, or to save every state and the recipe into."""

from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QFileDialog

from .form import FormDialog

CONTEXT = "Project"


class SaveProject(FormDialog):
    """The dialog.

    Attributes:
        path: The folder to write.
    """

    def __init__(self, window: Any) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Writes every state with its weights, and the recipe of the present one. The session itself is kept "
            "without saving; a project is for keeping and for handing on."
        )
        super().__init__(window, self.tr("Save project"), sentence, self.tr("Save"))
        name = (window.document.model_name or "model").replace("/", "-")
        self.path = self.add_path(self.tr("Folder"), str(Path.home() / f"{name} project"), pick="folder")
        self.problem = self._problem
        self.act = lambda: window.document.save(self.path.text())
        self.check()

    def _problem(self) -> str:
        path = Path(self.path.text()).expanduser()
        if not self.path.text() or not path.parent.is_dir():
            return self.tr("Say a folder; the one that holds it must exist.")
        return self.tr("{path} is a file. Choose a folder.").format(path=path) if path.is_file() else ""


def ask_save(window: Any) -> None:
    """Open the dialog over a window."""
    SaveProject(window).open()


def ask_folder(window: Any) -> None:
    """Let the user choose a project's folder to open."""
    dialog = QFileDialog(window, QCoreApplication.translate(CONTEXT, "Open project"))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(window.open_source)
    dialog.open()
