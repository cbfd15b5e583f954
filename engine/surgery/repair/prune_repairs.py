"""Drops literal repairs that are not needed, and expresses the others for any batch size.

A number in which the batch is a factor becomes a part of what the code gives: the example's batch has no place in it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from ...runtime import load_pruned
from .candidates import Site

LiteralPlace: TypeAlias = tuple[str, str, str]
"""Where a number stands: module path, call site, place among the arguments."""


def needed_repairs(
    literals: Sequence[Site], repeated: Mapping[LiteralPlace, set[Any]], run: Callable[[], object]
) -> list[Site]:
    """The replacements without those that the code gives by itself.

    Args:
        literals: Replaced numbers.
        repeated: What those must be in which the batch, or another number that no axis has, is a factor.
        run: Runs the model with the replacements.
    """
    given = defaultdict[LiteralPlace, set[tuple[Any, Any]]](set)

    def note(
        mode: load_pruned.CallSiteMode, site: str, _number: int, changes: dict[str, Any], numbers: dict[str, Any]
    ) -> None:
        for where, value in changes.items():
            given[mode.path, site, where].add((numbers.get(where), value))

    load_pruned.watch = note
    try:
        run()
    finally:
        load_pruned.watch = None
    own = {place: {own for own, _ in pairs} for place, pairs in given.items()}
    needless = {place for place, pairs in given.items() if all(own == wanted for own, wanted in pairs)}
    needless |= {place for place, wanted in repeated.items() if len(wanted) == 1 and own.get(place) == wanted}
    parts = {place: _part(pairs) for place, pairs in given.items() if place in repeated}
    kept = [(_place(one), one) for one in literals]
    return [(*one[:4], parts.get(place) or one[4]) for place, one in kept if place not in needless]


def _place(site: Site) -> LiteralPlace:
    return site[0], site[1], site[3]


def _part(pairs: Iterable[tuple[Any, Any]]) -> tuple[int, int] | None:
    """What wanted numbers are of given ones: (times, by) where it is the same for all, else None."""
    shares = {Fraction(wanted, own) if own and own > 0 and wanted > 0 else None for own, wanted in pairs}
    share = shares.pop() if len(shares) == 1 else None
    return None if share is None else (share.numerator, share.denominator)
