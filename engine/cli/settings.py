"""Options of the command line from the fields of settings dataclasses, and such dataclasses from parsed arguments."""

import argparse
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from ..errors import SecateurError
from ..options import Setting, choices_of, out_of_range, settings_of
from ..text.notation import Notation
from .flag_hints import with_hint

Settings = TypeVar("Settings")
NO_FLAGS: Mapping[str, str] = {}
"""Every option has its own name."""


class Arguments(Protocol):
    """A parser, or a group of one."""

    def add_argument(self, *flags: str, **details: Any) -> argparse.Action:
        """As argparse has it."""
        ...

    def add_mutually_exclusive_group(self, *, required: bool = False) -> "Arguments":
        """As argparse has it."""
        ...


def group(command: argparse.ArgumentParser, title: str) -> Arguments:
    """The options of a command under a heading of its `--help`."""
    known = (one for one in command._action_groups if one.title == title)  # pyright: ignore[reportPrivateUsage]
    return next(known, None) or command.add_argument_group(title)


def add_settings(
    command: argparse.ArgumentParser,
    cls: type[Any],
    heading: str,
    only: Collection[str] = (),
    apart: Collection[str] = (),
    flags: Mapping[str, str] = NO_FLAGS,
    choices: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Add the options of a settings dataclass.

    Args:
        command: Gets them.
        cls: The dataclass.
        heading: Of those that have no heading of their own.
        only: Names of its fields, () for all that the command line shows.
        apart: Names of fields that are left out: they have a place, or a default, of their own.
        flags: Names of options that are called otherwise in this command, by field.
        choices: What fields may be whose choices a table further up knows, by destination.
    """
    seen = set[str]()
    for one in settings_of(cls):
        wanted = one.option.on_command_line and (not only or one.name in only) and one.name not in apart
        # Two fields may be read from one option.
        if wanted and one.flag not in seen:
            seen.add(one.flag)
            heading_of_one = group(command, one.option.group or heading)
            add_setting(heading_of_one, one, flags.get(one.name, ""), (choices or {}).get(one.destination, ()))


def add_setting(
    command: Arguments,
    setting: Setting,
    flag: str = "",
    choices: Collection[str] = (),
    repeated: bool = False,
    help: str = "",
) -> None:
    """Add the option of one setting.

    Args:
        command: Gets it.
        setting: The field.
        flag: Its name in this command, "" for its own.
        choices: What it may be, where a table further up knows that.
        repeated: It may be given several times, for several settings.
        help: What it says of itself in this command, "" for its own words.
    """
    option, details = setting.option, dict[str, Any]()
    # argparse fills in % of help texts.
    text = (help or option.help).replace("%", "%%")
    flags = (flag or setting.flag, *option.aliases)
    # Three values: on, off, or decided by itself.
    if setting.kind is bool and setting.optional:
        text += f" (default: {option.automatic})"
        command.add_argument(*flags, action=argparse.BooleanOptionalAction, help=text)
        return
    if setting.kind is bool or option.switch:
        command.add_argument(*flags, action="store_true", help=text)
        return
    known = choices or (choices_of(setting.kind) if issubclass(setting.kind, StrEnum) else option.choices)
    if known:
        details["choices"] = [*known]
    else:
        details["type"] = _parser_of(setting)
        if metavar := option.metavar or (option.notation.example if option.notation else ""):
            details["metavar"] = metavar
    if option.several:
        details |= {"action": "extend", "nargs": "+"}
    elif option.repeated or repeated:
        details["action"] = "append"
        text += ", once for each"
    # The default as it is typed, "" where there is none, or nothing.
    value = setting.default
    if setting.optional or value is None or value == "" or value == () or value == {}:
        default = ""
    else:
        default = value.replace(" ", "-") if isinstance(value, StrEnum) else setting.words(value)
    if option.automatic:
        text += f" (default: {option.automatic.replace('%', '%%')})"
    elif default:
        text += f" (default: {default.replace('%', '%%')})"
        details["default"] = default if known else setting.default
    command.add_argument(*flags, help=text, **details)


def parsed_by(notation: Notation) -> Callable[[str], Any]:
    """What reads a notation behind an option; its errors are those of wrong usage."""

    def parse(text: str) -> Any:
        """The value."""
        try:
            return notation.read(text)
        except SecateurError as error:
            raise argparse.ArgumentTypeError(with_hint(error.message)) from None
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def given_settings(
    cls: type[Any],
    arguments: argparse.Namespace,
    flags: Mapping[str, str] = NO_FLAGS,
    apart: Collection[str] = (),
) -> dict[str, Any]:
    """The values of a dataclass's fields that arguments give, by name; what they lack, or have as None, is left out.

    Args:
        cls: The dataclass.
        arguments: Parsed.
        flags: Names of options that are called otherwise in this command, by field.
        apart: Names of fields that are left out.
    """
    values = dict[str, Any]()
    for one in settings_of(cls):
        destination = (flags[one.name]).removeprefix("--").replace("-", "_") if one.name in flags else one.destination
        value = getattr(arguments, destination, None)
        if value is None or one.name in apart or not one.option.on_command_line:
            continue
        if issubclass(one.kind, StrEnum):
            value = next(each for each in one.kind if each.replace(" ", "-") == value)
        convert = one.option.convert
        if one.option.repeated:
            value = one.kind(value if convert is None else map(convert, value))
        elif convert is not None:
            value = convert(value)
        if one.shared:
            more = value if one.option.repeated or one.option.gives_several else (value,)
            value = (*values.get(one.name, ()), *more)
        values[one.name] = value
    return values


def read_settings(
    cls: type[Settings], arguments: argparse.Namespace, flags: Mapping[str, str] = NO_FLAGS, **given: Any
) -> Settings:
    """The settings that arguments mean.

    Args:
        cls: The dataclass.
        arguments: Parsed; what they do not have, or have as None, keeps its default.
        flags: Names of options that are called otherwise in this command, by field.
        given: Fields whose values are known otherwise.
    """
    return cls(**given_settings(cls, arguments, flags, apart=given), **given)


def _parser_of(setting: Setting) -> Callable[[str], Any]:
    """What makes a value of the text behind an option; its errors are those of wrong usage."""
    if setting.option.notation is not None:
        return parsed_by(setting.option.notation)

    def parse(text: str) -> Any:
        """The value, in its range."""
        if setting.kind not in (int, float):
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
