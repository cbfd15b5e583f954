"""Parts of sentences that stay translatable: each is a `Message`, to stand in a field of another one.

What a field holds as plain text is the same in every language: numbers, paths, names of modules, words of a library.
"""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from .errors import Message

Phrase = Message | str
"""A part of a sentence: translated with it, or the same in every language."""


def title(template: str) -> Message:
    """A name from a table or an enumeration; `packaging/strings.py` collects these for translators."""
    return Message("phrase.title", str(template))


def module_named(path: str) -> Phrase:
    """A module by its path; the root module has none."""
    return path or Message("phrase.model", "the model")


def of_kind(path: str, kind: str) -> Message:
    """A set of structures by its module and kind: layer1.0.conv1 (filter)."""
    return Message("phrase.of_kind", "{name} ({kind})", {"name": module_named(path), "kind": title(kind)})


def all_of(parts: Iterable[Phrase]) -> Phrase:
    """Join parts with "and"."""
    return _row("phrase.and", "{first} and {second}", parts)


def any_of(parts: Iterable[Phrase]) -> Phrase:
    """Join parts with "or"."""
    return _row("phrase.or", "{first} or {second}", parts)


def listed(parts: Iterable[Phrase], most: int = 0) -> Phrase:
    """Join parts with commas; show at most `most` and count the rest."""
    every = [*parts]
    row = _row("phrase.list", "{first}, {second}", every[: most or None])
    if not most or len(every) <= most:
        return row
    return Message("phrase.more", "{listed} and {count} more", {"listed": row, "count": len(every) - most})


def clauses(parts: Iterable[Phrase]) -> Phrase:
    """Join parts that have commas of their own with semicolons."""
    return _row("phrase.clauses", "{first}; {second}", parts)


def said(message: Message) -> Message:
    """A message whose fields are plain: what else stands in them is only ever shown."""
    return Message(message.code, message.template, {name: _shown(one) for name, one in message.arguments.items()})


def _shown(value: Any) -> Any:
    if isinstance(value, Message):
        return said(value)
    if isinstance(value, bool | float | str) or value is None:
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return int(value)
    return cast("np.generic[Any]", value).item() if isinstance(value, np.generic) else str(value)


def _row(code: str, template: str, parts: Iterable[Phrase]) -> Phrase:
    """Join by halves, so that a long list nests only logarithmically deep."""
    every = [*parts]
    if len(every) < 2:
        return every[0] if every else ""
    half = (len(every) + 1) // 2
    first, second = (_row(code, template, some) for some in (every[:half], every[half:]))
    return Message(code, template, {"first": first, "second": second})
