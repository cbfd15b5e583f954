"""A recovery as a job for another machine: write its folder, and read what it made."""

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from secateur.engine.sharing.job_folder import JOB, RESULTS, is_unstarted

from ..text.titles import recovery_called, state_called
from ..widgets.fields import ComboBox
from ..widgets.labels import label
from .choose_path import choose
from .folder import FolderDialog
from .settings_fields import SettingsFields
from .window_api import WindowApi

CONTEXT = "JobFolder"
DIVIDED = "shard"
"""The setting that only matters where several processes train: those of a job."""
DEVICES = ("cuda", "cpu", "mps")
"""What computes there; the first is what most people have elsewhere."""


class WriteJob(FolderDialog):
    """The dialog.

    Attributes:
        device: What computes there.
        divided: Whether several processes divide the model.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        words = self.tr(
            "Writes a folder that recovers the current state on another machine, by SSH, Slurm or a plain shell: the "
            "recipe, the weights, copies of the model's own files, run.sh and slurm.sbatch. Data is named, not copied. "
            "Copy the folder back when the job is done, and read its results here."
        )
        super().__init__(window, self.tr("Write recovery job"), words, self.tr("Write folder"), self.tr("job"))
        document = window.document
        contents = document.contents
        self.add_row(self.tr("State"), label(state_called(contents.states.values(), contents.present)))
        self.add_row(self.tr("Step"), label(recovery_called(document.recovery)))
        self.device = ComboBox(self.tr("Computes with"))
        self.device.addItems(DEVICES)
        self.device.setToolTip(self.tr("The default of run.sh there; DEVICE=cuda:1 sh run.sh names another one."))
        self.add_row(self.tr("Computes with"), self.device)
        self.divided = SettingsFields(document.recovery, self.add_row, (DIVIDED,))
        self.act = lambda: window.workbench.job_folders.write(
            self.path.text(), replace(document.recovery, **self.divided.values()), self.device.currentText()
        )
        self.written = lambda: [Path(self.path.text()).expanduser() / JOB]
        self.check()

    def _folder_problem(self, path: Path) -> str:
        if (path / RESULTS).exists():
            return self.tr("{path} holds the results of a job. Read them, or choose a new folder.").format(path=path)
        if path.is_dir() and any(path.iterdir()) and not is_unstarted(path):
            return self.tr("{path} already holds other files. Choose a new folder.").format(path=path)
        return super()._folder_problem(path)


def ask_write(window: WindowApi) -> None:
    """Open the dialog over a window."""
    WriteJob(window).open()


def ask_results(window: WindowApi) -> None:
    """Let the user choose the folder of a job that has run."""
    title = QCoreApplication.translate(CONTEXT, "Read recovery job")
    choose(window.as_widget(), window.workbench.elsewhere, title, window.workbench.job_folders.read, pick="folder")
