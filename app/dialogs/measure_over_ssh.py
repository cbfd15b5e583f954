"""Measure on another machine over the user's own ssh: which one, and with what it computes there."""

from PySide6.QtWidgets import QCompleter, QSizePolicy

from secateur.engine.errors import SecateurError
from secateur.engine.subprocesses.ssh import SCHEME, Address, read_address, typed_address
from secateur.engine.targets.over_ssh import target_over_ssh
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.targets.remote import check_bench

from ..jobs.remote_bench import remote_target
from ..storage import settings
from ..text.metrics import target_text
from ..text.translate import sentence
from ..widgets.fields import ComboBox, LineEdit
from ..widgets.labels import label
from .form import FormDialog
from .window_api import WindowApi

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
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)  # inline, Return would only complete
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
        self.problem = self._problem
        self.act = lambda: self._measure(window)
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

    def _problem(self) -> str:
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

    def _measure(self, window: WindowApi) -> None:
        target = self.target()
        settings.remember_machine(settings.BOARDS, target.address)
        window.workbench.bench.measure(target)


def ask(window: WindowApi) -> None:
    """Open the dialog over a window."""
    MeasureOverSsh(window).open()
