"""How a recovery trains, beyond epochs and learning rate: teacher, optimiser, schedule, when it stops."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from secateur.engine.recovery.protocol import RecoverySettings

from ..widgets.check_boxes import CheckBox
from ..widgets.fields import DoubleSpinBox
from .form import FormDialog
from .settings_fields import SettingsFields


class RecoverySettingsDialog(FormDialog):
    """The dialog; its fields come from the options of `RecoverySettings`.

    Attributes:
        fields: Of the settings.
    """

    def __init__(self, parent: QWidget, settings: RecoverySettings, use: Callable[[RecoverySettings], None]) -> None:
        """Ask in a window; `use` gets what was chosen."""
        sentence = self.tr("The original is the teacher. The settings apply to the next recoveries of this session.")
        super().__init__(parent, self.tr("Recovery settings"), sentence, self.tr("Use these settings"))
        self.before = settings
        self.fields = SettingsFields(settings, self.add_row)
        self._mirror = cast("CheckBox", self.fields.widgets["mirror"])
        cast("DoubleSpinBox", self.fields.widgets["distillation"]).valueChanged.connect(self._weigh)
        self._weigh(settings.distillation)
        self.act = lambda: use(self.settings())
        self.check()

    @Slot(float)
    def _weigh(self, weight: float) -> None:
        """Nobody but the teacher can answer for mirrored images."""
        self._mirror.setEnabled(weight == 1)
        if weight < 1:
            self._mirror.setChecked(False)

    def settings(self) -> RecoverySettings:
        """What was chosen; what the dialog does not show is as before."""
        return replace(self.before, **self.fields.values())
