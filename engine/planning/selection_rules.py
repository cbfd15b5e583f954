"""Marks by rule: which layers by name and kind, and which of their structures. Numpy only.

Names are globs ("layer3.*.conv1", with commas between several; a name alone means all below it too) or, between
slashes, a regular expression ("/conv[12]$/"). Masks are [S]; the given ones are never changed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Kind, Mask
from .count_balance import bundle_of
from .marks import PlanMasks, best_stay, keep
from .scope import in_scope

Scores = NDArray[np.float64] | None


class StructureChoice(StrEnum):
    """Which structures of the matching layers are meant."""

    ALL = "all"
    LOWEST_EACH = "lowest of each layer"
    LOWEST_ALL = "lowest of all"
    BELOW = "below"
    BETWEEN = "between"
    NUMBERS = "numbers"
    KEEP_SHARE = "keep a share"
    KEEP_COUNT = "keep a number"


SCORED = frozenset(
    {StructureChoice.LOWEST_EACH, StructureChoice.LOWEST_ALL, StructureChoice.BELOW, StructureChoice.BETWEEN}
)
KEEPS = frozenset({StructureChoice.KEEP_SHARE, StructureChoice.KEEP_COUNT})


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """A rule.

    Attributes:
        names: Which layers, "" for all.
        kind: Which kind of structures, None for every kind (whole blocks only when they are asked for).
        which: Which of them.
        low: A share 0..1, a number to keep, or the score that bounds them from above (from below in a range).
        high: The score that bounds a range from above.
        numbers: Original numbers, as (first, last) ranges.
    """

    names: str = ""
    kind: Kind | None = None
    which: StructureChoice = StructureChoice.ALL
    low: float = 0.0
    high: float = 0.0
    numbers: tuple[tuple[int, int], ...] = ()


def matcher(names: str) -> Callable[[str], bool]:
    """Whether a module path is named; raises ValueError for a regular expression that is none."""
    text = names.strip()
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            found = re.compile(text[1:-1])
        except re.error as error:
            raise ValueError(str(error)) from error
        return lambda path: found.search(path) is not None
    places = [one for one in text.replace(",", " ").split() if one]
    return lambda path: not places or any(in_scope(path, one) for one in places)


def ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Read "0-7, 12, 20-23" as ranges; raises ValueError."""
    found: list[tuple[int, int]] = []
    for part in text.replace(",", " ").replace("\u2013", "-").split():
        first, dash, last = part.partition("-")
        found.append((int(first), int(last) if dash else int(first)))
    if not found or any(first > last for first, last in found):
        raise ValueError(text)
    return tuple(found)


def sets_of(analysis: Analysis, rule: SelectionRule) -> list[int]:
    """Numbers of the coupled sets that a rule is about."""
    named = matcher(rule.names)
    kinds = {rule.kind} if rule.kind is not None else set(Kind) - {Kind.BLOCK}
    return [n for n, one in enumerate(analysis.sets) if one.kind in kinds and named(one.module)]


def along_with(analysis: Analysis, rule: SelectionRule) -> list[str]:
    """Layers that a rule names and that have no structures of their own: with which others they go."""
    named = matcher(rule.names)
    return list(dict.fromkeys(one.module for one in analysis.sets if any(named(path) for path in one.along)))


def meant_structures(analysis: Analysis, scores: Scores, removed: Mask, rule: SelectionRule) -> Mask:
    """[S] the structures that a rule means, whatever their marks and locks; for "keep" all of the sets."""
    numbers = sets_of(analysis, rule)
    inside, found = np.isin(analysis.set_numbers(), numbers) & ~removed, analysis.empty()
    if rule.which is StructureChoice.NUMBERS:
        for first, last in rule.numbers:
            found |= (analysis.index >= first) & (analysis.index <= last)
        return inside & found
    if rule.which not in SCORED:
        return inside
    if scores is None:
        return found
    known = inside & np.isfinite(scores)
    if rule.which is StructureChoice.BELOW:
        return known & _less(scores, rule.low)
    if rule.which is StructureChoice.BETWEEN:
        return known & ~_less(scores, rule.low) & (_less(scores, rule.high) | (scores == rule.high))
    whole = rule.which is StructureChoice.LOWEST_ALL
    for part in [slice(0, analysis.count)] if whole else [analysis.sets[number].structures for number in numbers]:
        here = part.start + np.flatnonzero(known[part])
        values, most = scores[here], round(rule.low * len(here))
        if most:
            # Of equal ones the first go. Nothing is sorted for it: that is too slow to type by.
            bound = np.partition(values, most - 1)[most - 1]
            lowest, equal = values < bound, np.flatnonzero(values == bound)
            lowest[equal[: most - int(np.count_nonzero(lowest))]] = True
            found[here[lowest]] = True
    return found


def _less(scores: NDArray[np.float64], bound: float) -> Mask:
    with np.errstate(invalid="ignore"):
        return scores < bound


def marked_by(analysis: Analysis, scores: Scores, masks: PlanMasks, rule: SelectionRule) -> tuple[Mask, Mask]:
    """([S] marks with those of a rule, [S] what it touched); of every layer the best structure stays.

    Raises:
        PlanError: Locks leave no way to keep so few.
        ValueError: The names are no pattern.
    """
    touched = meant_structures(analysis, scores, masks.removed, rule)
    if rule.which in KEEPS:
        for number in sets_of(analysis, rule):
            # A share is one of what the original had; a set keeps the nearest number that it can keep.
            one, bundle = analysis.sets[number], bundle_of(analysis, number)
            size = bundle.sizes[bundle.sets.index(number)]
            left = one.count - int(np.count_nonzero(masks.removed[one.structures]))
            held = int(np.count_nonzero((masks.locked & ~masks.removed)[one.structures]))
            wanted = rule.low * one.count if rule.which is StructureChoice.KEEP_SHARE else rule.low
            lowest = max(one.count - size * bundle.most, held)
            steps = int((left - min(max(wanted, lowest), left)) / size + 0.5)
            count = left - size * min(steps, (left - lowest) // size)
            masks = replace(masks, marked=keep(analysis, scores, masks, number, count, alone=True))
        return masks.marked, touched
    touched &= ~masks.locked
    return best_stay(analysis, scores, masks, masks.marked | touched), touched
