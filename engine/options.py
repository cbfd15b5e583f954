"""What a setting is called, what it means and which values it takes: said once, beside the field of its dataclass.

A field of a settings dataclass carries an `Option`:

    warm_up: Annotated[float, Option(title="Warm-up", help="share of the steps ...", minimum=0, maximum=1)] = 0.15

The command line (`cli/settings.py`), dialogs (`app/dialogs/settings_fields.py`) and reports read it from there, and
`require_in_range` refuses other values. So a new setting is a new field, and no other file changes.

Where people write a value otherwise than the field holds it, the option names a `Notation` (text/notation.py), and how
the field's value is made of what was written (`convert`). A field that holds several values of different sorts has an
option for each: a goal's limits have one for each cost. Loads no torch.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from .errors import Message, SecateurError
from .messages import title
from .text.notation import Notation


class DataKind(StrEnum):
    """What data has that some settings are about."""

    IMAGES = "images"
    TEXT = "text"
    DOMAINS = "domains"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How a setting is shown, written and read, and its range.

    Attributes:
        title: Its label ("Weight decay").
        help: A phrase that says what it does, for `--help` and tooltips, without a full stop at its end.
        details: Sentences that tooltips add to it.
        minimum: Smallest number, None for no bound.
        maximum: Largest number, None for no bound.
        percent: A share that people write and read in per cent.
        zero: What 0, or nothing, means ("never"), "" for a value like others.
        decimals: Digits behind the point in a dialog.
        step: What one turn in a dialog changes, None for the usual.
        dialog_maximum: Largest number that dialogs offer, None for the maximum.
        titles: What choices are called where that is more than their value; translators find them here.
        choices: The texts that it may be, () for any.
        notation: How it is written, None for numbers, texts and enumerations.
        repeated: The option is given once for each of the values that the field holds.
        several: Of a repeated option: several values may also stand behind it.
        gives_several: Of one of the options of a field that holds several values: `convert` gives several of them.
        switch: The option takes no value: it is given or not.
        convert: Makes the field's value of what was written or given; of one of its values where it holds several.
        automatic: Where nobody gives a value, what is taken, if that is more than the field's default.
        hint: What a dialog's line shows while it is empty.
        section: Under which heading reports list it.
        group: Under which heading of `--help` it stands, "" for that of its neighbours.
        flag: Its option on the command line, "" for the field's name with hyphens; without hyphens an argument that is
            known by its place.
        aliases: Further names of that option.
        metavar: What stands for its value in `--help`.
        on_command_line: Whether the command line generates an option for it.
        in_dialog: Whether dialogs generate a field for it.
        in_report: Whether reports list it.
        applies_to: What data needs to have, or the setting changes nothing; None where any will do.
    """

    title: str
    help: str
    details: str = ""
    minimum: float | None = None
    maximum: float | None = None
    percent: bool = False
    zero: str = ""
    decimals: int = 2
    step: float | None = None
    dialog_maximum: float | None = None
    titles: Mapping[str, str] = field(default_factory=dict[str, str])
    choices: Collection[str] = ()
    notation: Notation | None = None
    repeated: bool = False
    several: bool = False
    gives_several: bool = False
    switch: bool = False
    convert: Callable[[Any], Any] | None = None
    automatic: str = ""
    hint: str = ""
    section: str = ""
    group: str = ""
    flag: str = ""
    aliases: tuple[str, ...] = ()
    metavar: str = ""
    on_command_line: bool = True
    in_dialog: bool = True
    in_report: bool = True
    applies_to: DataKind | None = None

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; infinity and what is no number never are."""
        return (
            math.isfinite(value)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )

    @property
    def range(self) -> Message:
        """The range in words: "from 0 to 1", "at least 0"."""
        words = {"low": self.minimum, "high": self.maximum}
        if self.minimum is None:
            return Message("option.at_most", "at most {high:g}", words)
        if self.maximum is None:
            return Message("option.at_least", "at least {low:g}", words)
        return Message("option.between", "from {low:g} to {high:g}", words)


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a settings dataclass with its option.

    Attributes:
        name: Of the field.
        kind: `bool`, `int`, `float`, `str`, a `StrEnum` of choices, or what holds several values (`tuple`, `dict`).
        optional: None is a value too, and means the default of whoever reads it.
        default: Its value where nobody gives one.
        option: How it is shown, and its range.
        shared: The field has further options, for others of its values.
    """

    name: str
    kind: type[Any]
    optional: bool
    default: Any
    option: Option
    shared: bool = False

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
            return option.titles.get("None", "default")
        if isinstance(value, bool):
            return option.titles.get(str(value), "yes" if value else "no")
        if not value and option.zero:
            return option.zero
        if option.notation is not None:
            return option.notation.write(value)
        if isinstance(value, int | float):
            return f"{100 * value:g} %" if option.percent else f"{value:g}"
        return option.titles.get(str(value), str(value))


@cache
def settings_of(cls: type[Any]) -> tuple[Setting, ...]:
    """The options of a dataclass's fields, in their order."""
    hints = get_type_hints(cls, include_extras=True)
    found: list[Setting] = []
    for one in cast("tuple[Any, ...]", fields(cls)):
        hint = hints[one.name]
        options = [extra for extra in _extras(hint) if isinstance(extra, Option)]
        if options:
            kind, optional = get_args(hint)[0], False
            if NoneType in (kinds := get_args(kind)):
                kind, optional = next(other for other in kinds if other is not NoneType), True
            made = None
            if one.default is not MISSING:
                made = one.default
            elif one.default_factory is not MISSING:
                made = one.default_factory()
            shared = len(options) > 1
            found += (Setting(one.name, get_origin(kind) or kind, optional, made, each, shared) for each in options)
    return tuple(found)


def setting_of(cls: type[Any], name: str) -> Setting:
    """The option of one field, which has no further one."""
    (found,) = (one for one in settings_of(cls) if one.name == name)
    return found


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
