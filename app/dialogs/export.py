"""Export the current state: format and path. What is written is loaded again in a fresh process and compared."""

import os
import re
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from secateur.engine.export.table import EXPORTERS

from ..document.document import Document
from ..storage.user_folders import home
from ..text.translate import engine_words
from ..widgets.fields import ComboBox
from .form import FormDialog
from .window_api import WindowApi


class ExportDialog(FormDialog):
    """The dialog.

    Attributes:
        format: Combo box of formats.
        path: File or folder to write.
    """

    def __init__(self, window: WindowApi, format: str) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "The file is loaded in a new process and compared with the model, and its metric is measured."
        )
        super().__init__(window.as_widget(), self.tr("Export"), sentence, self.tr("Export"))
        self._document = window.document
        self.format = ComboBox(self.tr("Format"))
        for name, one in EXPORTERS.items():
            self.format.addItem(engine_words(one.title), name)
        self.format.setCurrentIndex(list(EXPORTERS).index(format))
        self.add_row(self.tr("Format"), self.format)
        self.path = self.add_path(self.tr("Write to"), default_path(self._document, format), pick="save")
        self.format.currentIndexChanged.connect(self._chosen)
        self.problem = self._problem
        self.act = lambda: window.workbench.states.export(self.format.currentData(), self.path.text().strip())
        self.path.setFocus()
        self.path.selectAll()
        self.check()

    def _chosen(self) -> None:
        suffix = EXPORTERS[self.format.currentData()].suffix
        self.path.setText(str(Path(self.path.text()).with_suffix(suffix)))

    def _problem(self) -> str:
        return place_problem(self.path.text())


def place_problem(text: str) -> str:
    """Why a file cannot be written at a path that was typed, "" where it can."""
    say, path = QCoreApplication.translate, Path(text.strip()).expanduser()
    if not text.strip():
        return say("Export", "Choose where to write.")
    if not path.parent.is_dir():
        return say("Export", "The folder {folder} does not exist.").format(folder=path.parent)
    if not os.access(path.parent, os.W_OK):
        return say("Export", "No permission to write to {folder}. Choose another folder.").format(folder=path.parent)
    return ""


def default_path(document: Document, format: str) -> str:
    """A name in the home folder that says model and what is kept: resnet-50-percent.onnx."""
    name = re.sub(r"[^a-z0-9]+", "-", document.model_name.casefold()).strip("-") or "model"
    state, original = document.state, document.original
    kept = round(100 * state.macs / original.macs) if state and original and original.macs else 100
    return str(home() / f"{name}-{kept}-percent{EXPORTERS[format].suffix}")


def ask(window: WindowApi, format: str) -> None:
    """Open the dialog over a window."""
    ExportDialog(window, format).open()
