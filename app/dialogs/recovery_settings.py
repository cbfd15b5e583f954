"""How a recovery trains, beyond epochs and learning rate: another budget, teacher, optimiser, schedule, its end."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from PySide6.QtCore import Slot
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QWidget

from secateur.engine.errors import SecateurError
from secateur.engine.options import setting_of
from secateur.engine.recovery.budget import Unit
from secateur.engine.recovery.protocol import Mixing, RecoverySettings
from secateur.engine.tasks.domain_mixture import require_losses
from secateur.engine.tasks.protocol import TaskInfo

from ..text.translate import engine_words, sentence
from ..widgets.fields import ComboBox, DoubleSpinBox, LineEdit, SpinBox
from .form import FormDialog
from .settings_fields import SettingsFields

BUDGETS = tuple(unit for unit in Unit if unit is not Unit.EPOCHS)
"""Fields that say how long it trains; the panel has that of epochs."""


class RecoverySettingsDialog(FormDialog):
    """The dialog; its fields come from the options of `RecoverySettings`.

    Attributes:
        fields: Of the settings.
    """

    def __init__(
        self,
        parent: QWidget,
        settings: RecoverySettings,
        use: Callable[[RecoverySettings], None],
        task: TaskInfo | None = None,
    ) -> None:
        """Ask in a window.

        Args:
            parent: What the dialog opens over.
            settings: Those so far.
            use: Gets what was chosen.
            task: The data, which says what settings are about; None where there is none yet.
        """
        sentence = self.tr("The original is the teacher. The settings apply to the next recoveries of this session.")
        super().__init__(parent, self.tr("Recovery settings"), sentence, self.tr("Use these settings"))
        self.before, self._task = settings, task
        self.fields = SettingsFields(settings, self.add_row)
        self._mirror = cast("ComboBox", self.fields.widgets["mirror"])
        cast("DoubleSpinBox", self.fields.widgets["distillation"]).valueChanged.connect(self._allow_mirroring)
        self._allow_mirroring(settings.distillation)
        self._references = cast("LineEdit", self.fields.widgets["references"])
        if domains := () if task is None else task.domains:
            example = ",".join(f"{name}=2.5" for name in domains)
            self._references.setPlaceholderText(self.tr("empty: the original's; or {0}").format(example))
        self._references.textChanged.connect(self.check)
        cast("ComboBox", self.fields.widgets["mixing"]).currentIndexChanged.connect(self.check)
        self._use = use
        for unit in BUDGETS:
            cast("SpinBox | DoubleSpinBox", self.fields.widgets[unit]).valueChanged.connect(self.check)
        for field in () if task is None else self.fields.inapplicable(task.kinds):
            self.show_row(field, False)
        self.check()

    def problem(self) -> str:  # noqa: PLR0911 - a sentence for each problem
        """Several budgets, of which a recovery ends by one; one that the data cannot count; losses of no domain."""
        try:
            values = self.fields.values()
        except SecateurError as error:
            return sentence(error.message)
        given = [unit for unit in BUDGETS if values[unit]]
        # Lengths that are not given say which one counts.
        titles = {
            Unit.MINUTES: self.tr("by minutes"),
            Unit.STEPS: self.tr("by steps"),
            Unit.TOKENS: self.tr("by tokens"),
        }
        for unit in BUDGETS:
            zero = setting_of(RecoverySettings, unit).option.zero
            words = titles[given[0]] if given else engine_words(zero)
            cast("SpinBox | DoubleSpinBox", self.fields.widgets[unit]).setSpecialValueText(words)
        if len(given) > 1:
            return self.tr("Give a recovery one length: minutes, steps or tokens.")
        if Unit.TOKENS in given and self._task is not None and not self._task.tokens:
            return self.tr("The data has no tokens to count. Give the length in minutes, steps or epochs.")
        settings = replace(self.before, **values)
        if settings.references and settings.mixing is Mixing.NATURAL:
            return self.tr("Reference losses are for a mixing by where the loss lags. Choose it, or leave them out.")
        if self._task is None:
            return ""
        try:
            for one in settings.references:
                require_losses(self._task.domains, [name for name, _ in one.losses])
        except SecateurError as error:
            return sentence(error.message)
        return ""

    def act(self) -> None:
        """Use the settings."""
        self._use(self.settings())

    @Slot(float)
    def _allow_mirroring(self, weight: float) -> None:
        """Offer mirrored images where the teacher alone is learned from: labels may be others for them."""
        always = self._mirror.findData(True)
        cast("QStandardItemModel", self._mirror.model()).item(always).setEnabled(weight == 1)
        if weight < 1 and self._mirror.currentIndex() == always:
            self._mirror.setCurrentIndex(self._mirror.findData(None))

    def settings(self) -> RecoverySettings:
        """What was chosen; what the dialog does not show is as before."""
        return replace(self.before, **self.fields.values())
