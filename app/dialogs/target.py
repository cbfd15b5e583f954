"""Choose where the model will run: runtime, precision, threads, batch, sizes or a prompt, and the widths it likes."""

from PySide6.QtCore import Slot

from secateur.engine.machine.devices import CPU, kind_of
from secateur.engine.options import setting_of
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.targets.table import TARGETS

from ..text.translate import engine_words
from ..widgets.fields import ComboBox
from .form import FormDialog
from .settings_fields import SettingsFields, explain, is_valid, settings_line, shape
from .window_api import WindowApi


class TargetDialog(FormDialog):
    """The dialog."""

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Latency is measured in a separate process, alternating between the original and the current state."
        )
        super().__init__(window.as_widget(), self.tr("Target"), sentence, self.tr("Use this target"))
        self._window = window
        spec: TargetSpec = window.document.target
        runtime, precision = setting_of(TargetSpec, "runtime").option, setting_of(TargetSpec, "precision").option
        self.runtime = ComboBox(engine_words(runtime.title))
        self.runtime.addItems(list(TARGETS))
        self.runtime.setCurrentText(spec.runtime)
        self.precision = ComboBox(engine_words(precision.title))
        for field in (self.runtime, self.precision):
            self.add_row(field.accessibleName(), field)
        self.fields = SettingsFields(spec, self.add_row, only=("threads", "batch", "multiple"))
        self.input_size = settings_line(setting_of(TargetSpec, "size"), self.add_line, spec.size)
        self.tokens = settings_line(setting_of(TargetSpec, "tokens"), self.add_line, spec.tokens)
        self.device: ComboBox | None = None
        contents = window.document.contents
        if len(contents.devices) > 1:
            self.device = ComboBox(self.tr("Device"))
            self.device.addItems(list(contents.devices))
            self.device.setCurrentText(contents.device)
            tip = self.tr("Device for scores, evaluation and training. The PyTorch runtime measures latency there too.")
            self.device.setToolTip(tip)
            self.add_row(self.device.accessibleName(), self.device)
        explain(self.precision, precision)
        self.runtime.currentTextChanged.connect(self._offer_precisions)
        self._offer_precisions(spec.runtime)
        self.precision.setCurrentText(spec.precision)
        self.check()

    def act(self) -> None:
        """Use it."""
        self._window.workbench.model.set_device(self._device)
        self._window.document.set_target(self.spec())

    def spec(self) -> TargetSpec:
        """What was chosen."""
        device = self._device
        return TargetSpec(
            self.runtime.currentText(),
            precision=self.precision.currentText(),
            size=shape(self.input_size.text()),
            tokens=int(self.tokens.text().strip() or 0),
            device=device if kind_of(device) in TARGETS[self.runtime.currentText()].devices else CPU,
            **self.fields.values(),
        )

    @property
    def _device(self) -> str:
        return CPU if self.device is None else self.device.currentText()

    @Slot(str)
    def _offer_precisions(self, runtime: str) -> None:
        """Offer what the runtime can compute in."""
        self.precision.clear()
        self.precision.addItems(TARGETS[runtime].precisions)

    def problem(self) -> str:
        """Which field says nothing that can be."""
        tokens = self.tokens.text().strip()
        if tokens and not (tokens.isdecimal() and int(tokens) > 0):
            return self.tr("Enter the prompt tokens as a whole number of 1 or more.")
        if is_valid(shape, self.input_size.text()):
            return ""
        return self.tr("Enter the input size as whole numbers separated by x, without the batch: 320 x 320.")
