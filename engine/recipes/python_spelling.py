"""Plain data as the Python that makes it again: what a person would write, defaults left away, with the imports.

Only what `secateur.engine` exports can be spelled, so a script needs nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, cast

from ..structures.index_ranges import ranges_of
from ..text.python_code import literal, quoted

BESIDE = "\0"
"""Begins a path that is relative to the script."""
WIDE = 108
"""Columns that a line may have."""
INDENT = 4


class Spelling:
    """Writes values, and remembers what it takes to import.

    Attributes:
        names: Of `secateur.engine`, in use.
        beside: A path relative to the script was written.
    """

    def __init__(self) -> None:
        """Nothing written yet."""
        self.names: set[str] = set()
        self.beside = False

    def use(self, *names: str) -> str:
        """Remember that names are used; returns the first."""
        self.names.update(names)
        return names[0]

    def of(self, value: Any, column: int = 0, indent: int = 0) -> str:
        """The expression of a value that begins in a column of a statement; on several lines where one is too short."""
        flat = self._flat(value)
        return flat if column + len(flat) <= WIDE else self._long(value, indent)

    def marks(self, ranges: Mapping[str, str], indent: int = 0) -> str:
        """A dictionary of ranges, a line for each set, long ones in several strings."""
        inner = indent + INDENT
        lines = [
            f"{' ' * inner}{quoted(key)}: {self._text(text, len(key) + 4, inner)},\n" for key, text in ranges.items()
        ]
        return "{\n" + "".join(lines) + " " * indent + "}"

    def _text(self, text: str, before: int, indent: int) -> str:
        if indent + before + len(text) <= WIDE:
            return quoted(text)
        parts, line = list[str](), ""
        for one in text.split(", "):
            if len(line) + len(one) > WIDE - indent - 12:
                parts, line = [*parts, line], ""
            line += f"{one}, "
        inner = "\n" + " " * (indent + INDENT)
        strings = inner.join(quoted(part) for part in (*parts, line.removesuffix(", ")) if part)
        return f"({inner}{strings}\n{' ' * indent})"

    def _flat(self, value: Any) -> str:
        match value:
            case Enum():
                text = f"{self.use(type(value).__name__)}.{value.name}"
            case str():
                text = self._path(value[1:]) if value.startswith(BESIDE) else quoted(value)
            case bool() | int() | float() | None:
                text = literal(value)
            case tuple() | list():
                values = cast("Iterable[Any]", value)
                is_tuple = isinstance(value, tuple)
                parts = [self._flat(one) for one in values]
                if is_tuple:
                    text = f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
                else:
                    text = f"[{', '.join(parts)}]"
            case dict():
                text = self._dict(cast("dict[Any, Any]", value))
            case _ if is_dataclass(value):
                inner = ", ".join(name + self._flat(one) for name, one in given(value))
                text = f"{self.use(type(value).__name__)}({inner})"
            case _:
                raise TypeError(f"{type(value).__name__} cannot be written as Python")
        return text

    def _long(self, value: Any, indent: int) -> str:
        deeper = indent + INDENT
        inner, end = "\n" + " " * deeper, "\n" + " " * indent
        if is_dataclass(value):
            parts = [name + self.of(one, deeper + len(name), deeper) for name, one in given(value)]
            return f"{self.use(type(value).__name__)}({inner}{f',{inner}'.join(parts)},{end})"
        if isinstance(value, dict) and is_identities(cast("dict[Any, Any]", value)):
            marks = self.marks(ranges_of(cast("dict[str, list[int]]", value)), indent)
            return f"{self.use('indices_of')}({marks})"
        if isinstance(value, tuple | list):
            parts = [self.of(one, deeper, deeper) for one in cast("Iterable[Any]", value)]
            left, right = "()" if isinstance(value, tuple) else "[]"
            return f"{left}{inner}{f',{inner}'.join(parts)},{end}{right}"
        return self._flat(value)

    def _dict(self, value: dict[Any, Any]) -> str:
        if is_identities(value):
            ranges = ", ".join(f"{quoted(key)}: {quoted(text)}" for key, text in ranges_of(value).items())
            return f"{self.use('indices_of')}({{{ranges}}})"
        return "{" + ", ".join(f"{self._flat(key)}: {self._flat(one)}" for key, one in value.items()) + "}"

    def _path(self, relative: str) -> str:
        self.beside = True
        return f"str(HERE / {quoted(relative)})"


def given(value: Any) -> list[tuple[str, Any]]:
    """What a dataclass is called with: ("", its required fields), then ("name=", others that are no defaults)."""
    found: list[tuple[str, Any]] = []
    for field in fields(value):
        own = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if default is MISSING:
            found.append(("", own))
        elif own != default:
            found.append((f"{field.name}=", own))
    return found


def is_identities(value: Mapping[Any, Any]) -> bool:
    """Whether a dictionary is marks: keys of coupled sets (kind, name and dimension) to indices."""
    return bool(value) and all(
        isinstance(key, str) and key.count("|") >= 2 and isinstance(one, list) for key, one in value.items()
    )
