"""What a setting is called, what it means and which values it takes: said once, beside the field of its dataclass.

A field of a settings dataclass carries an `Option`:

    warm_up: Annotated[float, Option(title="Warm-up", help="share of the steps ...", minimum=0, maximum=1)] = 0.15

The command line (`cli/settings.py`), dialogs (`app/dialogs/settings_fields.py`) and reports read it from there, and
`require_in_range` refuses other values. So a new setting is a new field, and no other file changes. Loads no torch.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from .errors import Message, SecateurError
from .messages import title


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How a setting is shown, and its range.

    Attributes:
        title: Its label ("Weight decay").
        help: A phrase that says what it does, for `--help` and tooltips, without a full stop at its end.
        minimum: Smallest number, None for no bound.
        maximum: Largest number, None for no bound.
        above: What a number has to be larger than, None for no such bound.
        percent: A share that people write and read in per cent.
        zero: What 0 means ("never"), "" for a number like others.
        decimals: Digits behind the point in a dialog.
        titles: What choices are called where that is more than their value.
        section: Under which heading reports list it.
        flag: Its option on the command line, "" for the field's name with hyphens.
        aliases: Further names of that option.
        metavar: What stands for its value in `--help`.
        on_command_line: Whether the command line generates an option for it.
        in_dialog: Whether dialogs generate a field for it.
        in_report: Whether reports list it.
    """

    title: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    percent: bool = False
    zero: str = ""
    decimals: int = 2
    titles: Mapping[str, str] = field(default_factory=dict[str, str])
    section: str = ""
    flag: str = ""
    aliases: tuple[str, ...] = ()
    metavar: str = ""
    on_command_line: bool = True
    in_dialog: bool = True
    in_report: bool = True

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; infinity and what is no number never are."""
        return (
            math.isfinite(value)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
        )

    @property
    def range(self) -> Message:
        """The range in words: "from 0 to 1", "above 0"."""
        low, high = self.minimum if self.above is None else self.above, self.maximum
        words = {"low": low, "high": high}
        if low is None:
            return Message("option.at_most", "at most {high:g}", words)
        if self.above is not None and high is None:
            return Message("option.above", "above {low:g}", words)
        if self.above is not None:
            return Message("option.above_to", "above {low:g} and at most {high:g}", words)
        if high is None:
            return Message("option.at_least", "at least {low:g}", words)
        return Message("option.between", "from {low:g} to {high:g}", words)


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a settings dataclass with its option.

    Attributes:
        name: Of the field.
        kind: `bool`, `int`, `float`, `str`, or a `StrEnum` of choices.
        optional: None is a value too, and means the default of whoever reads it.
        default: Its value where nobody gives one.
        option: How it is shown, and its range.
    """

    name: str
    kind: type[Any]
    optional: bool
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """Its option on the command line."""
        return self.option.flag or "--" + self.name.replace("_", "-")

    @property
    def destination(self) -> str:
        """The name that its value has once the command line is parsed."""
        return self.flag.removeprefix("--").replace("-", "_")

    def words(self, value: Any) -> str:
        """A value for a person: "15 %", "never", "AdamW"."""
        option = self.option
        if value is None:
            return "default"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, int | float):
            if not value and option.zero:
                return option.zero
            return f"{100 * value:g} %" if option.percent else f"{value:g}"
        return option.titles.get(str(value), str(value))


@cache
def settings_of(cls: type[Any]) -> tuple[Setting, ...]:
    """The fields of a dataclass that have an option, in their order."""
    hints = get_type_hints(cls, include_extras=True)
    found: list[Setting] = []
    for one in cast("tuple[Any, ...]", fields(cls)):
        hint = hints[one.name]
        option = next((extra for extra in _extras(hint) if isinstance(extra, Option)), None)
        if option is not None:
            kind, optional = get_args(hint)[0], False
            if NoneType in (kinds := get_args(kind)):
                kind, optional = next(other for other in kinds if other is not NoneType), True
            made = one.default if one.default_factory is MISSING else one.default_factory()
            found.append(Setting(one.name, kind, optional, made, option))
    return tuple(found)


def _extras(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def require_in_range(settings: Any) -> None:
    """Raise SecateurError for the first number of a settings dataclass that its option does not allow."""
    for one in settings_of(cast("type[Any]", type(settings))):
        value = getattr(settings, one.name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not one.option.holds(value):
            raise SecateurError.saying(out_of_range(one, value))


def out_of_range(setting: Setting, value: float) -> Message:
    """Why a number cannot be the value of a setting."""
    template = "{title} must be {range}, not {value:g}."
    words = {"title": title(setting.option.title), "range": setting.option.range, "value": value}
    return Message("option.range", template, words)


def choices_of(kind: type[StrEnum]) -> list[str]:
    """The choices of an enumeration as they are typed: without spaces."""
    return [one.replace(" ", "-") for one in kind]
