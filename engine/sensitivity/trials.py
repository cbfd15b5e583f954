"""The trial cuts of a sensitivity analysis. Numpy only, so that the window can count them beforehand."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..planning.count_balance import all_bundles
from ..planning.protocol import DEFAULT_KINDS, Goal
from ..planning.scope import outside_scope
from ..structures.analysis import Analysis, CountBundle, CoupledSet, Kind, Mask


def sets_of(analysis: Analysis, removed: Mask, goal: Goal) -> tuple[int, ...]:
    """[N] numbers of the sets in a goal's scope and of its kinds that have more left than must stay."""
    kinds, gone = frozenset(goal.kinds or DEFAULT_KINDS), removed | outside_scope(analysis, goal)
    return tuple(_with_choice(analysis, gone, kinds))


def removals(
    analysis: Analysis, removed: Mask, numbers: tuple[int, ...], shares: tuple[float, ...]
) -> NDArray[np.int64]:
    """[N, G] how many structures of each set each share is, in the steps that its constraints leave it."""
    bundles = {number: bundle for bundle in all_bundles(analysis) for number in bundle.sets}
    counts = [_counts(analysis, removed, number, bundles[number], shares) for number in numbers]
    return np.array(counts, np.int64).reshape(-1, len(shares))


def trials(removed: NDArray[np.int64], numbers: tuple[int, ...]) -> list[tuple[int, int]]:
    """(set, structures that go) of every cut that has to be tried: a count that occurs twice is tried once."""
    rows = zip(numbers, removed.tolist(), strict=True)
    return [(number, count) for number, row in rows for count in sorted({n for n in row if n > 0})]


def remaining(one: CoupledSet, removed: Mask) -> int:
    """How many structures a set still has."""
    return int((~removed[one.structures]).sum())


def _with_choice(analysis: Analysis, gone: Mask, kinds: frozenset[Kind]) -> Iterator[int]:
    for number, one in enumerate(analysis.sets):
        if one.kind in kinds and remaining(one, gone) > (0 if one.kind is Kind.BLOCK else 1):
            yield number


def _counts(
    analysis: Analysis, removed: Mask, number: int, bundle: CountBundle, shares: tuple[float, ...]
) -> list[int]:
    one = analysis.sets[number]
    size, left = bundle.sizes[bundle.sets.index(number)], remaining(one, removed)
    most = max((left - (one.count - size * bundle.most)) // size, 0)
    return [size * min(int(share * left / size + 0.5), most) for share in shares]
