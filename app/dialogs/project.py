"""Projects and bundles: choose one to open, or a folder to save every state and the recipe into."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QFileDialog

from secateur.engine.sharing.project_files import in_the_way

from .folder import FolderDialog
from .open_model import ask_for_project
from .window_api import WindowApi

CONTEXT = "Project"


class SaveProject(FolderDialog):
    """The dialog."""

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Writes every state with its weights, and the recipe of the current state. Save a project to archive or "
            "share your work."
        )
        if not window.document.engine.place:
            sentence += " " + self.tr("Sessions are saved automatically.")
        super().__init__(window, self.tr("Save project"), sentence, self.tr("Save"), self.tr("project"))
        self.act = lambda: window.workbench.model.save(self.path.text())
        self.written = lambda: in_the_way(Path(self.path.text()).expanduser())
        self.check()


def ask_save(window: WindowApi) -> None:
    """Open the dialog over a window."""
    SaveProject(window).open()


def ask_folder(window: WindowApi) -> None:
    """Let the user choose a project's folder to open."""
    if window.document.engine.place:
        return ask_for_project(window)
    dialog = QFileDialog(window.as_widget(), QCoreApplication.translate(CONTEXT, "Open project"))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(window.open_source)
    dialog.open()


def ask_bundle(window: WindowApi) -> None:
    """Let the user choose a bundle to open."""
    if window.document.engine.place:
        return ask_for_project(window)
    say = QCoreApplication.translate
    dialog = QFileDialog(window.as_widget(), say(CONTEXT, "Open bundle"), "", say(CONTEXT, "Bundles (*.zip)"))
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(window.open_source)
    dialog.open()
