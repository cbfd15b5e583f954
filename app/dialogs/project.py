"""Projects and bundles: choose one to open, or a folder to save every state and the recipe into."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication

from secateur.engine.sharing.project_files import in_the_way

from .form import FolderDialog
from .paths import choose
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
        self._window = window
        self.check()

    def act(self) -> None:
        """Save it."""
        self._window.workbench.model.save(self.path.text())

    def written(self) -> list[Path]:
        """What is in the folder already."""
        return in_the_way(Path(self.path.text()).expanduser())


def ask_folder(window: WindowApi) -> None:
    """Let the user choose a project's folder to open."""
    title = QCoreApplication.translate(CONTEXT, "Open project")
    choose(window.as_widget(), window.workbench.elsewhere, title, window.open_source, pick="folder")


def ask_bundle(window: WindowApi) -> None:
    """Let the user choose a bundle to open."""
    say = QCoreApplication.translate
    title, filters = say(CONTEXT, "Open bundle"), say(CONTEXT, "Bundles (*.zip)")
    choose(window.as_widget(), window.workbench.elsewhere, title, window.open_source, filters=filters)
