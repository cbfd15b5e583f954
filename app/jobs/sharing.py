"""Jobs that write files of the current state for others: recipe, script, report, bundle."""

from PySide6.QtCore import QObject

from ..document.document import Document
from ..document.job_state import FolderReceipt
from .job_runner import JobRunner
from .written import show_written


class SharingJobs(QObject):
    """Writes what is handed on."""

    def __init__(self, document: Document, runner: JobRunner) -> None:
        """Work for a document."""
        super().__init__(document)
        self._document, self._runner = document, runner

    def write(self, kind: str, path: str, weights: bool = False) -> None:
        """Write recipe, script, report or bundle of the current state; a bundle with its weights perhaps."""
        document = self._document
        titles = {
            "recipe": self.tr("Export the recipe"),
            "script": self.tr("Export the script"),
            "report": self.tr("Export the report"),
            "bundle": self.tr("Write the bundle"),
        }

        names = {
            "recipe": self.tr("Recipe"),
            "script": self.tr("Script"),
            "report": self.tr("Report"),
            "bundle": self.tr("Bundle"),
        }

        def written(files: tuple[str, ...]) -> None:
            first, *others = files
            beside = (self.tr("Beside it: {files}.").format(files=", ".join(others)),) if others else ()
            show_written(document, FolderReceipt(names[kind], first, beside))

        more = (weights,) if kind == "bundle" else ()
        self._runner.run(titles[kind], written, f"write_{kind}", document.contents.present, path, *more)
