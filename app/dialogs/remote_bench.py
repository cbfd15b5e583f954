"""Work on other machines: measuring over ssh or by a folder that is copied there, and recovery jobs as folders."""

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QCompleter, QSizePolicy

from secateur.engine.errors import SecateurError
from secateur.engine.sharing.job_folder import JOB, RESULTS, is_unstarted
from secateur.engine.subprocesses.ssh import SCHEME, Address, read_address, typed_address
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.targets.remote import check_bench, not_a_bench, target_over_ssh

from ..jobs.sharing import remote_target
from ..storage import settings
from ..text.metrics import target_text
from ..text.titles import recovery_title, state_name
from ..text.translate import sentence
from ..widgets.fields import ComboBox, LineEdit
from ..widgets.labels import label
from .form import FolderDialog, FormDialog
from .paths import choose
from .settings_fields import SettingsFields
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
        self._bench = window.workbench.bench
        self.check()

    def act(self) -> None:
        """Write the folder."""
        self._bench.write(self.path.text())

    def written(self) -> list[Path]:
        """What is in the folder, and of no bench."""
        return not_a_bench(Path(self.path.text()).expanduser())

    def problem(self) -> str:
        """Why this target cannot be timed there, or why the folder cannot be written."""
        try:
            check_bench(remote_target(self._target))
        except SecateurError as error:
            return sentence(error.message)
        return super().problem()


def ask_results(window: WindowApi) -> None:
    """Let the user choose the results of another machine."""
    title = QCoreApplication.translate(CONTEXT, "Read results from another machine")
    choose(window.as_widget(), window.workbench.elsewhere, title, window.workbench.bench.read, filters=FORMAT)


PROVIDERS = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "OpenVINOExecutionProvider",
    "XnnpackExecutionProvider",
    "CoreMLExecutionProvider",
    "QNNExecutionProvider",
)
"""Of onnxruntime, the usual ones; others can be typed."""


class MeasureOverSsh(FormDialog):
    """The dialog.

    Attributes:
        machine: Host, user@host, or a whole address.
        python: Path of Python there, "" for the one that a login finds.
        provider: What onnxruntime computes with there.
        options: Of the provider, NAME=VALUE with spaces between.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        words = self.tr(
            "The original and the current state are sent there, measured side by side in ONNX Runtime, and removed "
            "again. The machine needs Python with numpy and onnxruntime. It becomes the target."
        )
        if place := window.document.engine.place:
            whose = self.tr("It is reached from {engine}, with the ssh there.").format(engine=place)
        else:
            whose = self.tr("Secateur uses your own ssh.")
        super().__init__(window.as_widget(), self.tr("Measure over SSH"), f"{words} {whose}", self.tr("Measure"))
        self._target = window.document.target
        self.machine = ComboBox(self.tr("Machine"))
        self.machine.setEditable(True)
        self.machine.setLineEdit(LineEdit(self.machine.accessibleName(), hint=self.tr("user@board")))
        self.machine.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        completer = QCompleter(self.machine.model(), self.machine)
        # With inline completion Return would only complete, and not measure.
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        self.machine.setCompleter(completer)
        self.machine.addItems([one.removeprefix(SCHEME) for one in settings.machines(settings.BOARDS)])
        self.add_row(self.machine.accessibleName(), self.machine)
        self.python = self.add_line(self.tr("Python there"), hint=self.tr("/opt/venv/bin/python3; empty: python3"))
        self.provider = ComboBox(self.tr("Provider"))
        self.provider.setEditable(True)
        self.provider.addItems(PROVIDERS)
        self.add_row(self.provider.accessibleName(), self.provider)
        self.options = self.add_line(self.tr("Provider options"), hint=self.tr("trt_fp16_enable=True; empty: none"))
        self.add_row(self.tr("Target"), label(target_text(remote_target(self._target))))
        self.machine.currentTextChanged.connect(self.check)
        self.provider.currentTextChanged.connect(self.check)
        self._bench = window.workbench.bench
        self.check()
        self.machine.setFocus()

    def address(self) -> Address:
        """What was asked for; raises SecateurError where it is no address."""
        read = typed_address(self.machine.currentText())
        return read_address(str(Address(read.host, read.user, read.port, self.python.text().strip() or read.program)))

    def target(self) -> TargetSpec:
        """What was asked for; raises SecateurError where the machine is no address."""
        provider, options = self.provider.currentText().strip(), self.options.text().split()
        return target_over_ssh(remote_target(self._target), self.address(), provider, options)

    def problem(self) -> str:
        """Which field says nothing that can be."""
        if not self.machine.currentText().strip():
            return self.tr("Enter a machine.")
        if (python := self.python.text().strip()) and not python.startswith("/"):
            return self.tr("Enter a whole path of Python, such as /opt/venv/bin/python3.")
        if any("=" not in one for one in self.options.text().split()):
            return self.tr("Enter options as NAME=VALUE, with spaces between.")
        try:
            self.address()
            check_bench(remote_target(self._target))
        except SecateurError as error:
            return sentence(error.message)
        return ""

    def act(self) -> None:
        """Measure there, and keep the machine for the next time."""
        target = self.target()
        settings.remember_machine(settings.BOARDS, target.address)
        self._bench.measure(target)


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
        self._window, document = window, window.document
        contents = document.contents
        self.add_row(self.tr("State"), label(state_name(contents.states.values(), contents.present)))
        self.add_row(self.tr("Step"), label(recovery_title(document.recovery)))
        self.device = ComboBox(self.tr("Computes with"))
        self.device.addItems(DEVICES)
        self.device.setToolTip(self.tr("The default of run.sh there; DEVICE=cuda:1 sh run.sh names another one."))
        self.add_row(self.tr("Computes with"), self.device)
        self.divided = SettingsFields(document.recovery, self.add_row, (DIVIDED,))
        self.check()

    def act(self) -> None:
        """Write the folder."""
        recovery = replace(self._window.document.recovery, **self.divided.values())
        self._window.workbench.job_folders.write(self.path.text(), recovery, self.device.currentText())

    def written(self) -> list[Path]:
        """The description of a job that is in the folder already."""
        return [Path(self.path.text()).expanduser() / JOB]

    def folder_problem(self, path: Path) -> str:
        """That the folder holds results, or other files."""
        if (path / RESULTS).exists():
            return self.tr("{path} holds the results of a job. Read them, or choose a new folder.").format(path=path)
        if path.is_dir() and any(path.iterdir()) and not is_unstarted(path):
            return self.tr("{path} already holds other files. Choose a new folder.").format(path=path)
        return super().folder_problem(path)


def ask_job_results(window: WindowApi) -> None:
    """Let the user choose the folder of a job that has run."""
    title = QCoreApplication.translate("JobFolder", "Read recovery job")
    choose(window.as_widget(), window.workbench.elsewhere, title, window.workbench.job_folders.read, pick="folder")
