"""How a recovery trains, beyond epochs and learning rate: teacher, optimiser, schedule, when it stops."""

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from secateur.engine.recovery.protocol import Optimizer, RecoverySettings

from ..widgets.check_boxes import CheckBox
from ..widgets.fields import ComboBox, DoubleSpinBox, SpinBox
from .form import FormDialog

TITLES = {Optimizer.ADAMW: "AdamW", Optimizer.ADAM: "Adam", Optimizer.SGD: "SGD"}


class RecoverySettingsDialog(FormDialog):
    """The dialog."""

    def __init__(self, parent: QWidget, settings: RecoverySettings, use: Callable[[RecoverySettings], None]) -> None:
        """Ask in a window; `use` gets what was chosen."""
        sentence = self.tr("The original is the teacher. The settings apply to the next recoveries of this session.")
        super().__init__(parent, self.tr("Recovery settings"), sentence, self.tr("Use these settings"))
        self.before = settings
        self.distillation = self._number(self.tr("Distillation weight"), 0, 1, 2, settings.distillation)
        self.temperature = self._number(self.tr("Temperature"), 0.1, 100, 1, settings.temperature)
        self.features = self._number(self.tr("Feature distillation weight"), 0, 100, 2, settings.features)
        self.optimizer = ComboBox(self.tr("Optimiser"))
        for one in Optimizer:
            self.optimizer.addItem(TITLES[one], one)
        self.optimizer.setCurrentText(TITLES[settings.optimizer])
        self.add_row(self.optimizer.accessibleName(), self.optimizer)
        self.decay = self._number(self.tr("Weight decay"), 0, 1, 5, settings.weight_decay)
        self.warm_up = self._whole(self.tr("Warm-up"), 100, " %", round(100 * settings.warm_up))
        self.patience = self._whole(self.tr("Stop after epochs without gain"), 500, "", settings.patience)
        self.patience.setSpecialValueText(self.tr("never"))
        self.seed = self._whole(self.tr("Seed"), 2**31 - 1, "", settings.seed)
        self.mirror = CheckBox(self.tr("Mirror half of each batch if the distillation weight is 1"))
        self.mirror.setChecked(settings.mirror)
        self.add_row(self.tr("Images"), self.mirror)
        self.distillation.valueChanged.connect(self._weigh)
        self._weigh(settings.distillation)
        self.half = CheckBox(self.tr("Mixed precision (bfloat16 autocast)"))
        self.half.setChecked(settings.half)
        self.add_row(self.tr("Precision"), self.half)
        self._explain()
        self.act = lambda: use(self.settings())
        self.check()

    def _number(self, title: str, low: float, high: float, decimals: int, value: float) -> DoubleSpinBox:
        box = DoubleSpinBox(title, low, high, decimals)
        box.setSingleStep(10.0**-decimals if decimals > 2 else 0.1)
        box.setValue(value)
        self.add_row(title, box)
        return box

    def _whole(self, title: str, high: int, suffix: str, value: int) -> SpinBox:
        box = SpinBox(title, 0, high, suffix)
        box.setValue(value)
        self.add_row(title, box)
        return box

    @Slot(float)
    def _weigh(self, weight: float) -> None:
        """Nobody but the teacher can answer for mirrored images."""
        self.mirror.setEnabled(weight == 1)
        if weight < 1:
            self.mirror.setChecked(False)

    def _explain(self) -> None:
        tips: list[tuple[QWidget, str]] = [
            (
                self.distillation,
                self.tr(
                    "Share of the loss that compares outputs with the original's. The rest is the task's own loss."
                ),
            ),
            (self.temperature, self.tr("Softens the outputs of both models before they are compared")),
            (
                self.features,
                self.tr("Also compares the output of each block on the kept channels. 0: off."),
            ),
            (self.optimizer, self.tr("SGD uses Nesterov momentum 0.9. It needs a larger learning rate than AdamW.")),
            (
                self.warm_up,
                self.tr("Share of the steps in which the learning rate rises. Then it follows a cosine decay."),
            ),
            (
                self.mirror,
                self.tr("Adds training data: the teacher needs no labels for mirrored images"),
            ),
            (self.half, self.tr("Faster on processors with bfloat16. Weights keep their data type.")),
        ]
        for field, tip in tips:
            field.setToolTip(tip)
            field.setAccessibleDescription(tip)

    def settings(self) -> RecoverySettings:
        """What was chosen, epochs, learning rate and repair as before."""
        return replace(
            self.before,
            distillation=self.distillation.value(),
            temperature=self.temperature.value(),
            features=self.features.value(),
            optimizer=Optimizer(self.optimizer.currentData()),  # Qt gives back a plain string
            weight_decay=self.decay.value(),
            warm_up=self.warm_up.value() / 100,
            patience=self.patience.value(),
            seed=self.seed.value(),
            mirror=self.mirror.isChecked(),
            half=self.half.isChecked(),
        )
