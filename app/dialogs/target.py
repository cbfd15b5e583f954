"""Choose where the model will run: runtime, threads, batch size, and the widths that it likes."""

from typing import Any

from secateur.engine.targets.protocol import TargetSpec

from ..widgets.fields import ComboBox, SpinBox
from .form import FormDialog

RUNTIMES = ("onnxruntime", "torch")


class Target(FormDialog):
    """The dialog."""

    def __init__(self, window: Any) -> None:
        """Ask in a window."""
        sentence = self.tr("Latency is measured in a process of its own, original and present state in turn.")
        super().__init__(window, self.tr("Target"), sentence, self.tr("Use this target"))
        spec: TargetSpec = window.document.target
        self.runtime = ComboBox(self.tr("Runtime"))
        self.runtime.addItems(RUNTIMES)
        self.runtime.setCurrentText(spec.runtime)
        self.threads = SpinBox(self.tr("Threads"), 1, 256)
        self.batch = SpinBox(self.tr("Batch size"), 1, 4096)
        self.multiple = SpinBox(self.tr("Widths in multiples of"), 1, 256)
        for box, value in ((self.threads, spec.threads), (self.batch, spec.batch), (self.multiple, spec.multiple)):
            box.setValue(value)
        for field in (self.runtime, self.threads, self.batch, self.multiple):
            self.add_row(field.accessibleName(), field)
        self.multiple.setToolTip(self.tr("Runtimes are fast at some widths only; 16 is good for onnxruntime on a CPU"))
        self.act = lambda: window.document.set_target(self.spec())
        self.check()

    def spec(self) -> TargetSpec:
        """What was chosen."""
        return TargetSpec(self.runtime.currentText(), self.threads.value(), self.batch.value(), self.multiple.value())


def ask(window: Any) -> None:
    """Open the dialog over a window."""
    Target(window).open()
