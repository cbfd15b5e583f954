"""Options of the command line from the fields of settings dataclasses, and such dataclasses from parsed arguments."""

import argparse
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from ..options import Setting, choices_of, out_of_range, settings_of

Settings = TypeVar("Settings")


class Arguments(Protocol):
    """A parser, or a group of one."""

    def add_argument(self, *flags: str, **details: Any) -> argparse.Action:
        """As argparse has it."""
        ...


def add_settings(command: Arguments, cls: type[Any], only: Collection[str] = (), apart: Collection[str] = ()) -> None:
    """Add the options of a settings dataclass.

    Args:
        command: Gets them.
        cls: The dataclass.
        only: Names of its fields, () for all that the command line shows.
        apart: Names of fields that are left out: they have a place, or a default, of their own.
    """
    for one in settings_of(cls):
        if one.option.on_command_line and (not only or one.name in only) and one.name not in apart:
            add_setting(command, one)


def add_setting(command: Arguments, setting: Setting, unset: bool = False) -> None:
    """Add the option of one setting.

    Args:
        command: Gets it.
        setting: The field.
        unset: Its value is None where it is not given: somebody else knows the default.
    """
    option, details = setting.option, dict[str, Any]()
    text = option.help.replace("%", "%%")
    flags = (setting.flag, *option.aliases)
    if setting.kind is bool:
        command.add_argument(*flags, action="store_true", help=text)
        return
    if issubclass(setting.kind, StrEnum):
        details["choices"] = choices_of(setting.kind)
    else:
        details["type"] = _parser_of(setting)
    if option.metavar and "choices" not in details:
        details["metavar"] = option.metavar
    default = None if unset or setting.optional else setting.default
    if default is not None:
        shown = default.replace(" ", "-") if isinstance(default, StrEnum) else setting.words(default)
        text += f" (default: {shown.replace('%', '%%')})"
        details["default"] = str(shown) if isinstance(default, StrEnum) else default
    command.add_argument(*flags, help=text, **details)


def read_settings(cls: type[Settings], arguments: argparse.Namespace, **given: Any) -> Settings:
    """The settings that arguments mean.

    Args:
        cls: The dataclass.
        arguments: Parsed; what they do not have, or have as None, keeps its default.
        given: Fields whose values are known otherwise.
    """
    values = dict(given)
    for one in settings_of(cls):
        value = getattr(arguments, one.destination, None)
        if one.name in given or value is None:
            continue
        values[one.name] = _choice(one.kind, value) if issubclass(one.kind, StrEnum) else value
    return cls(**values)


def _choice(kind: type[StrEnum], typed: str) -> StrEnum:
    return next(one for one in kind if one.replace(" ", "-") == typed)


def _parser_of(setting: Setting) -> Callable[[str], Any]:
    """What makes a value of the text behind an option; its errors are those of wrong usage."""

    def parse(text: str) -> Any:
        """The value, in its range."""
        if setting.kind is str:
            return text
        digits = text.strip()
        try:
            if setting.option.percent and digits.endswith("%"):
                value: float = float(digits.rstrip("% ")) / 100
            else:
                value = setting.kind(digits)
        except ValueError:
            what = "a whole number" if setting.kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        if not setting.option.holds(value):
            raise argparse.ArgumentTypeError(str(out_of_range(setting, value)))
        return value

    return parse
