"""Fields for the settings of a dataclass: what each is called, explained and bounded by comes from its option."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, cast

from PySide6.QtWidgets import QWidget

from secateur.engine.options import Setting, settings_of

from ..text.translate import engine_words
from ..widgets.check_boxes import CheckBox
from ..widgets.fields import ComboBox, DoubleSpinBox, SpinBox

MOST = {int: 2**31 - 1, float: 10_000.0}
"""The largest number that a field takes where the setting has no bound."""


class SettingsFields:
    """A field for each setting that a dialog shows.

    Attributes:
        widgets: By the name of the setting.
    """

    def __init__(self, settings: Any, add_row: Callable[[str, QWidget], None]) -> None:
        """Add a row for each.

        Args:
            settings: Values of a settings dataclass.
            add_row: Gets each title and its field.
        """
        self._shown = {one.name: one for one in settings_of(type(settings)) if one.option.in_dialog}
        self.widgets: dict[str, QWidget] = {}
        for name, one in self._shown.items():
            field = _field(one, getattr(settings, name))
            tip = engine_words(one.option.help)
            tip = f"{tip[:1].upper()}{tip[1:]}."
            field.setToolTip(tip)
            field.setAccessibleDescription(tip)
            self.widgets[name] = field
            add_row("" if one.kind is bool else engine_words(one.option.title), field)  # a box has its own words

    def values(self) -> dict[str, Any]:
        """What the fields hold, by the name of the setting."""
        return {name: _value(one, self.widgets[name]) for name, one in self._shown.items()}


def _field(setting: Setting, value: Any) -> QWidget:
    option, title = setting.option, engine_words(setting.option.title)
    if setting.kind is bool:
        box = CheckBox(title)
        box.setChecked(value)
        return box
    if issubclass(setting.kind, StrEnum):
        choices = ComboBox(title)
        for one in setting.kind:
            choices.addItem(engine_words(setting.words(one)), one)
        choices.setCurrentIndex(list(setting.kind).index(value))
        return choices
    low = option.minimum if option.above is None else option.above + 10.0**-option.decimals
    high = MOST[setting.kind] if option.maximum is None else option.maximum
    low = -MOST[setting.kind] if low is None else low
    if setting.kind is int or option.percent:
        scale = 100 if option.percent else 1
        number = SpinBox(title, round(scale * low), round(min(scale * high, MOST[int])), " %" if option.percent else "")
        number.setValue(round(scale * value))
    else:
        number = DoubleSpinBox(title, low, high, option.decimals)
        number.setSingleStep(10.0**-option.decimals if option.decimals > 2 else 0.1)
        number.setValue(value)
    if option.zero:
        number.setSpecialValueText(engine_words(option.zero))
    return number


def _value(setting: Setting, field: QWidget) -> Any:
    if isinstance(field, CheckBox):
        return field.isChecked()
    if isinstance(field, ComboBox):
        return setting.kind(field.currentData())  # Qt gives back a plain string
    value = cast("SpinBox | DoubleSpinBox", field).value()
    return value / 100 if setting.option.percent else value
