"""What one cut has shown about a model's code, told to the next: which numbers follow which axes.

A guess is never trusted: the audit confirms all of it at once, or it is undone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from ...structures.analysis import Known
from ..cut.edits import Edits
from .candidates import Site, Sizes

Values: TypeAlias = dict[tuple[str, str], Any]
"""Attributes by (module path, name)."""


def learnt(sizes: Sizes, first: Mapping[tuple[str, str], Any], edits: Edits, known: Known) -> Known:
    """What is known after a cut.

    Args:
        sizes: Of the cut.
        first: What the repaired attributes were before, by (module path, name).
        edits: The repairs that made it run.
        known: What was known before it.
    """
    found = {one[:2]: one for one in known.attributes}
    for path, name, value in edits.attributes:
        if (path, name) in first:
            axes = tuple(
                sizes.between(path, old, new) or sizes.between("", old, new)
                for old, new in zip(_numbers(first[path, name]), _numbers(value), strict=False)
            )
            earlier = found[path, name][2] if (path, name) in found else axes
            found[path, name] = (path, name, tuple(_both(a, b) for a, b in zip(axes, earlier, strict=False)))
    places = dict.fromkeys([*known.literals, *((path, site, where) for path, site, _, where, _ in edits.literals)])
    return Known(tuple(found.values()), tuple(places))


def guess(sizes: Sizes, known: Known, now: Mapping[tuple[str, str], Any]) -> tuple[Values, list[Site]]:
    """Values of attributes and replaced numbers for a cut, where what is known leaves one choice.

    Args:
        sizes: Of the cut.
        known: What earlier cuts have shown.
        now: Values of the known attributes that the model has.
    """
    values: Values = {}
    for path, name, axes in known.attributes:
        new = _followed(sizes, now[path, name], axes) if (path, name) in now else None
        if new is not None:
            values[path, name] = new
    places = set(known.literals)
    factors = {(site, where) for _, site, where in places}
    paths = dict.fromkeys(path for path, _, _ in known.literals)
    sites = [one for path in paths for one in sizes.literals(path, factors) if (one[0], one[1], one[3]) in places]
    return values, sites


def _followed(sizes: Sizes, old: Any, axes: Sequence[tuple[int, ...]]) -> Any | None:
    """The new value, None where it stays or where nobody knows."""
    numbers = _numbers(old)
    new = [sizes.after(number, own) for number, own in zip(numbers, axes, strict=False)]
    if len(new) != len(numbers) or None in new or new == numbers:
        return None
    return new if isinstance(old, (list, tuple)) else new[0]


def _numbers(value: Any) -> list[int]:
    return list(cast("Sequence[int]", value)) if isinstance(value, (list, tuple)) else [value]


def _both(axes: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that fit both times; those that fit now where none does."""
    return tuple(a for a in axes if a in others) or axes
