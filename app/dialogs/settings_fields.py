"""Fields for the settings of a dataclass, and readers of what people type into lines.

What a field is called, explained and bounded by comes from the setting's option.
"""

import math
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, cast

from PySide6.QtWidgets import QLineEdit, QWidget

from secateur.engine.options import DataKind, Option, Setting, setting_of, settings_of
from secateur.engine.recovery.budget import Budget, Unit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.sources.protocol import InputSpec, check_inputs, read_input
from secateur.engine.text.notation import read_decimals

from ..text.translate import engine_words
from ..widgets.check_boxes import CheckBox
from ..widgets.fields import ComboBox, DoubleSpinBox, LineEdit, SpinBox

MOST = {int: 2**31 - 1, float: 10_000.0}
"""The largest number that a field takes where the setting has no bound."""


class SettingsFields:
    """A field for each setting that a dialog shows.

    Attributes:
        widgets: By the name of the setting.
    """

    def __init__(self, settings: Any, add_row: Callable[[str, QWidget], None], only: Collection[str] = ()) -> None:
        """Add a row for each.

        Args:
            settings: Values of a settings dataclass.
            add_row: Gets each title and its field.
            only: Names of its fields, () for all that dialogs show.
        """
        known = settings_of(type(settings))
        self._shown = {one.name: one for one in known if (one.name in only if only else one.option.in_dialog)}
        self.widgets: dict[str, QWidget] = {}
        for name, one in self._shown.items():
            field = self.widgets[name] = settings_field(one, getattr(settings, name))
            box = isinstance(field, CheckBox)
            # A check box has its own words.
            add_row("" if box else engine_words(one.option.title), field)

    def inapplicable(self, data: Collection[DataKind]) -> list[QWidget]:
        """The fields of settings that change nothing with such data, and still have their defaults."""
        return [
            self.widgets[name]
            for name, one in self._shown.items()
            if one.option.applies_to not in (None, *data) and field_value(one, self.widgets[name]) == one.default
        ]

    def values(self) -> dict[str, Any]:
        """What the fields hold, by the name of the setting."""
        return {name: field_value(one, self.widgets[name]) for name, one in self._shown.items()}


def settings_field(setting: Setting, value: Any) -> QWidget:
    """A field with a value: a check box, a combo box of choices, a spin box in the range of the setting, or a line."""
    option, title = setting.option, engine_words(setting.option.title)
    if setting.kind is bool and not setting.optional:
        field: QWidget = CheckBox(title)
        field.setChecked(value)
    elif setting.kind is bool or issubclass(setting.kind, StrEnum):
        values: list[Any] = [None, True, False] if setting.kind is bool else list(setting.kind)
        field = ComboBox(title)
        for one in values:
            field.addItem(engine_words(setting.words(one)), one)
        field.setCurrentIndex(values.index(value))
    elif option.notation is not None and setting.kind not in (int, float):
        field = LineEdit(title, option.notation.write(value), engine_words(option.hint))
    else:
        field = _number_box(setting, value)
    explain(field, option)
    return field


def number_field(setting: Setting, value: int, title: str = "", minimum: int | None = None) -> SpinBox:
    """The field of a whole number.

    Args:
        setting: Of which its range and words are.
        value: Its value.
        title: What it is called where a dialog asks for it twice, or for several runs at once; "" for its own title.
        minimum: Smallest number that makes sense in this dialog, None for the setting's.
    """
    field = cast("SpinBox", _number_box(setting, value))
    if minimum is not None:
        field.setMinimum(minimum)
    if title:
        field.setAccessibleName(title)
    explain(field, setting.option)
    return field


def training_field(
    recovery: RecoverySettings, titles: Mapping[Unit, str], minimum: int = 1
) -> "SpinBox | DoubleSpinBox":
    """How long a recovery trains, for dialogs that start several of them.

    Args:
        recovery: Gives the value, in what its budget counts.
        titles: What the field is called, by what it counts.
        minimum: Fewest epochs.
    """
    budget = recovery.budget
    setting, title = setting_of(RecoverySettings, budget.unit), titles[budget.unit]
    if budget.unit is not Unit.MINUTES:
        least = minimum if budget.unit is Unit.EPOCHS else 1
        field = number_field(setting, max(least, int(budget.amount)), title=title, minimum=least)
        field.setSpecialValueText("")
        return field
    field = cast("DoubleSpinBox", settings_field(setting, budget.amount))
    field.setMinimum(10.0**-setting.option.decimals)
    field.setSpecialValueText("")
    field.setAccessibleName(title)
    return field


def trained_for(recovery: RecoverySettings, length: float) -> RecoverySettings:
    """The same recovery with what a `training_field` holds."""
    return recovery.within(Budget(recovery.budget.unit, length))


def check_field(setting: Setting, value: bool = False) -> CheckBox:
    """The field of a switch."""
    return cast("CheckBox", settings_field(setting, value))


def explain(field: QWidget, option: Option) -> None:
    """Give a field the words that say what its setting does."""
    tip = engine_words(option.help)
    tip = f"{tip[:1].upper()}{tip[1:]}."
    if option.details:
        tip = f"{tip} {engine_words(option.details)}"
    field.setToolTip(tip)
    field.setAccessibleDescription(tip)


def settings_line(setting: Setting, add_line: Callable[..., QLineEdit], value: Any = "", hint: str = "") -> QLineEdit:
    """A row with a line of text for a setting.

    Args:
        setting: Of which its title, hint and words are.
        add_line: Adds a row, given its title, and by keywords text and hint: `FormDialog.add_line` or `add_path`.
        value: Its value; what counts as none leaves the line empty.
        hint: What it shows while it is empty, "" for the setting's own.
    """
    option = setting.option
    text = (option.notation.write(value) if option.notation else str(value)) if value else ""
    line = add_line(engine_words(option.title), text=text, hint=hint or engine_words(option.hint))
    explain(line, option)
    return line


def _number_box(setting: Setting, value: Any) -> SpinBox | DoubleSpinBox:
    """A spin box in the range of a setting."""
    option, title = setting.option, engine_words(setting.option.title)
    high = next((most for most in (option.dialog_maximum, option.maximum) if most is not None), MOST[setting.kind])
    low = -MOST[setting.kind] if option.minimum is None else option.minimum
    if setting.kind is int or option.percent:
        scale = 100 if option.percent else 1
        number = SpinBox(title, round(scale * low), round(min(scale * high, MOST[int])), " %" if option.percent else "")
        number.setValue(round(scale * value))
    else:
        number = DoubleSpinBox(title, low, high, option.decimals)
        number.setSingleStep(option.step or (10.0**-option.decimals if option.decimals > 2 else 0.1))
        number.setValue(value)
    if option.zero:
        number.setSpecialValueText(engine_words(option.zero))
    return number


def field_value(setting: Setting, field: QWidget) -> Any:
    """What a field holds; raises SecateurError for a line that says nothing of the kind."""
    if isinstance(field, CheckBox):
        return field.isChecked()
    if isinstance(field, ComboBox):
        value = field.currentData()
        # Qt gives a member of an enumeration back as a plain string.
        return value if setting.kind is bool else setting.kind(value)
    if isinstance(field, QLineEdit):
        assert setting.option.notation is not None
        return setting.option.notation.read(field.text())
    value = cast("SpinBox | DoubleSpinBox", field).value()
    return value / 100 if setting.option.percent else value


def shape(text: str) -> tuple[int, ...]:
    """Read 1x3x224x224 (also with commas or spaces) as numbers; raises ValueError."""
    parts = text.lower().replace("x", " ").replace("×", " ").replace(",", " ").split()
    numbers = tuple(int(part) for part in parts)
    if any(number < 1 for number in numbers):
        raise ValueError(text)
    return numbers


def model_inputs(text: str) -> tuple[InputSpec, ...]:
    """Read 1x3x224x224, or input_ids=2x16:int64 mask=2x16:int64; raises ValueError."""
    parts = text.replace(",", " ").split()
    if parts and all(part.isdecimal() for part in parts):
        return (InputSpec(shape(text)),)
    found = tuple(read_input(part) for part in parts)
    check_inputs(found)
    return found


def numbers(text: str, count: int = 0) -> tuple[float, ...]:
    """Read 0.485, 0.456, 0.406 as numbers, `count` where that is given; raises ValueError, also for infinity."""
    found = read_decimals(text, count)
    if not all(map(math.isfinite, found)):
        raise ValueError(text)
    return found


def shares(text: str) -> tuple[float, ...]:
    """Read 80 %, 50, 20 as 0.8, 0.5, 0.2; raises ValueError for none, and for what is no share of a whole."""
    found = tuple(dict.fromkeys(number / 100 for number in numbers(text.replace("%", " "))))
    if not found or not all(0 < share < 1 for share in found):
        raise ValueError(text)
    return found


def words(text: str) -> tuple[str, ...]:
    """Read logits, boxes as words."""
    return tuple(text.replace(",", " ").split())


def is_valid(read: object, text: str) -> bool:
    """Whether a reader takes a text."""
    try:
        read(text)  # type: ignore[operator]
    except ValueError:
        return False
    return True
