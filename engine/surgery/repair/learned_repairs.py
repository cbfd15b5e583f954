"""Remembers which axes an attribute or literal follows, as a first guess for the next cut.

A guess is never trusted: the audit confirms all of it at once, or it is undone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from ...structures.analysis import KnownRepairs, inside
from ..cut.edits import Edits
from .candidates import AxisSizes, Site

AttributeRepairs: TypeAlias = dict[tuple[str, str], Any]
"""Attributes by (module path, name)."""


def learn_repairs(
    sizes: AxisSizes, first: Mapping[tuple[str, str], Any], edits: Edits, known: KnownRepairs
) -> KnownRepairs:
    """What is known after a cut.

    An attribute of a module whose numbers were replaced too may have a wrong value that these make up for: it tells
    nothing where an earlier cut has shown what it follows.

    Args:
        sizes: Of the cut.
        first: What the repaired attributes were before, by (module path, name).
        edits: The repairs that made it run.
        known: What was known before it.
    """
    found = {one[:2]: one for one in known.attributes}
    replaced = dict.fromkeys((path, site, where) for path, site, _, where, _ in edits.literals)
    doubtful = {path for path, _, _ in replaced}
    for path, name, value in edits.attributes:
        if (path, name) in first and not (path in doubtful and (path, name) in found):
            axes = tuple(
                sizes.between(path, old, new) or sizes.between("", old, new)
                for old, new in zip(_numbers(first[path, name]), _numbers(value), strict=False)
            )
            earlier = found[path, name][2] if (path, name) in found else axes
            found[path, name] = (path, name, tuple(_both(a, b) for a, b in zip(axes, earlier, strict=False)))
    gone = [path for path, _ in edits.blocks]
    own = (one for one in sizes.followed() if one not in replaced and not any(inside(one[0], path) for path in gone))
    return KnownRepairs(
        tuple(found.values()),
        tuple(dict.fromkeys([*known.literals, *replaced])),
        tuple(dict.fromkeys([*known.given, *own])),
    )


def guess_repairs(
    sizes: AxisSizes, known: KnownRepairs, now: Mapping[tuple[str, str], Any], trial: bool = False
) -> tuple[AttributeRepairs, list[Site]]:
    """Values of attributes and replaced numbers for a cut, where what is known leaves one choice.

    Args:
        sizes: Of the cut.
        known: What earlier cuts have shown.
        now: Values of the known attributes that the model has.
        trial: Replace also the numbers that only some cuts needed: all that counts is whether the cut runs.
    """
    values: AttributeRepairs = {}
    for path, name, axes in known.attributes:
        new = _followed(sizes, now[path, name], axes) if (path, name) in now else None
        if new is not None:
            values[path, name] = new
    given = set[tuple[str, str, str]]() if trial else set(known.given)
    places = dict.fromkeys(one for one in known.literals if one not in given)
    factors = {(site, where) for _, site, where in places}
    paths = dict.fromkeys(path for path, _, _ in places)
    sites = [one for path in paths for one in sizes.literals(path, factors) if (one[0], one[1], one[3]) in places]
    return values, sites


def _followed(sizes: AxisSizes, old: Any, axes: Sequence[tuple[int, ...]]) -> Any | None:
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
