"""Measuring on another machine: write what it needs, and read what it found."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import SecateurError
from secateur.engine.targets.remote import check_bench, not_a_bench

from ..jobs.remote_bench import remote_target
from ..text.metrics import target_text
from ..text.translate import sentence
from ..widgets.labels import label
from .choose_path import choose
from .folder import FolderDialog
from .window_api import WindowApi

CONTEXT = "Bench"
FORMAT = "results.json (*.json)"


class WriteBench(FolderDialog):
    """The dialog."""

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        words = self.tr(
            "Writes a folder with bench.py, ONNX files of the original and the current state, and example "
            "inputs. Copy it to the other machine and run bench.py there (it needs onnxruntime and numpy; -h "
            "explains how to use a GPU). Then read its results.json here."
        )
        super().__init__(
            window, self.tr("Measure on another machine"), words, self.tr("Write folder"), self.tr("bench")
        )
        document = window.document
        self._target = document.target
        self.add_row(self.tr("Target"), label(target_text(remote_target(self._target))))
        self.act = lambda: window.workbench.bench.write(self.path.text())
        self.written = lambda: not_a_bench(Path(self.path.text()).expanduser())
        self.check()

    def _problem(self) -> str:
        try:
            check_bench(remote_target(self._target))
        except SecateurError as error:
            return sentence(error.message)
        return super()._problem()


def ask_write(window: WindowApi) -> None:
    """Open the dialog over a window."""
    WriteBench(window).open()


def ask_results(window: WindowApi) -> None:
    """Let the user choose the results of another machine."""
    title = QCoreApplication.translate(CONTEXT, "Read results from another machine")
    choose(window.as_widget(), window.workbench.elsewhere, title, window.workbench.bench.read, filters=FORMAT)
