"""How names and values become Python, in every file that the engine writes: an export's README, a script of a recipe.

What a recipe, a checkpoint or a table holds is a stranger's, so nothing of it stands in code but by these functions.
"""

import keyword
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, cast

from ..errors import OpenError


def identifier(name: str) -> str:
    """A name as it stands in code; raises OpenError for what is none."""
    if not is_identifier(name):
        template = "{name!r} is not a Python name. Rename it in the file that uses it."
        raise OpenError("code.name", template, name=name[:80])
    return name


def is_identifier(name: str) -> bool:
    """Whether a text is a name in Python, and no keyword."""
    return name.isidentifier() and not keyword.iskeyword(name)


def literal(value: Any) -> str:
    """A value of JSON as an expression on one line; raises OpenError for any other."""
    match value:
        case str():
            return quoted(value)
        case None | bool() | int():
            return repr(value)
        case float():
            return repr(value) if isfinite(value) else f'float("{value}")'
        case list() | tuple():
            inner = [literal(one) for one in cast("Iterable[Any]", value)]
            if isinstance(value, list):
                return f"[{', '.join(inner)}]"
            return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
        case dict():
            pairs = cast("dict[Any, Any]", value).items()
            return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in pairs) + "}"
        case _:
            template = "A value of type {kind} cannot be written as Python. Use a number or text."
            raise OpenError("code.value", template, kind=type(value).__name__)


def keywords(arguments: Mapping[str, Any]) -> list[str]:
    """Keyword arguments of a call: ["classes=3"]."""
    return [f"{identifier(name)}={literal(value)}" for name, value in arguments.items()]


def called(function: str, *positional: Any, **named: Any) -> str:
    """A call of a function that the code imports."""
    parts = [*map(literal, positional), *keywords(named)]
    return f"{'.'.join(map(identifier, function.split('.')))}({', '.join(parts)})"


def comment(text: str) -> str:
    """A text as it stands behind a # or in a docstring's line: on one line, whatever it holds."""
    return " ".join(text.split())


def quoted(text: str) -> str:
    """A string in double quotes, on one line, whatever it holds; in ASCII but for letters that Python prints."""
    single = repr(text)
    if '"' in text or single.startswith('"'):
        return single
    return '"' + single[1:-1].replace("\\'", "'") + '"'
