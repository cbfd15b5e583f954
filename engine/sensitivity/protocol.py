"""Trial cuts and results of a sensitivity analysis as plain data. No torch, so that the window can count trials."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..planning.count_balance import all_bundles
from ..planning.protocol import DEFAULT_KINDS, Goal
from ..planning.scope import outside_scope
from ..structures.analysis import Analysis, CoupledSet, Kind, Mask
from ..tasks.protocol import Metric

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of a set that are removed by default (as in Li et al., Pruning Filters, 2016, figure 2)."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The metric against the removed share of each of N coupled sets, at G shares; nothing was recovered.

    Attributes:
        criterion: What says which structures of a set go first.
        metric: Of the state as it is, on the val split.
        keys: [N] keys of the sets.
        shares: [G] asked shares of what remains of a set.
        removed: [N, G] how many structures went: whole ones, and one of each set always stays (but for a block).
        values: [N, G] the metric, NaN where the cut failed.
        errors: [N, G] its standard error, 0 where unknown.
        notes: Cuts that failed, in words.
    """

    criterion: str
    metric: Metric
    keys: tuple[str, ...]
    shares: NDArray[np.float64]
    removed: NDArray[np.int64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    notes: tuple[Message, ...] = ()

    @property
    def lost(self) -> NDArray[np.float64]:
        """[N, G] how much worse the metric is, in its own unit; below 0 where it is better."""
        sign = 1.0 if self.metric.higher_is_better else -1.0
        return sign * (self.metric.value - self.values)


@dataclass(frozen=True, slots=True)
class SensitivityPoint:
    """A point of a curve: how a cut on trial scores.

    Attributes:
        set_number: Which coupled set lost its weakest, -1 for the state as it is.
        removed: How many structures it lost.
        metric: On the val split.
    """

    set_number: int
    removed: int
    metric: Metric


class PointStore(Protocol):
    """Where measured points are kept, so that none is measured twice."""

    def get(self, key: str) -> Metric | None:
        """A point that was measured before."""
        ...

    def put(self, key: str, metric: Metric, /) -> None:
        """Keep a point."""
        ...


def sets_of(analysis: Analysis, removed: Mask, goal: Goal) -> tuple[int, ...]:
    """[N] numbers of the sets in a goal's scope and of its kinds that have more left than must stay."""
    kinds, gone = frozenset(goal.kinds or DEFAULT_KINDS), removed | outside_scope(analysis, goal)
    return tuple(
        number
        for number, one in enumerate(analysis.sets)
        if one.kind in kinds and remaining(one, gone) > (0 if one.kind is Kind.BLOCK else 1)
    )


def removals(
    analysis: Analysis, removed: Mask, numbers: tuple[int, ...], shares: tuple[float, ...]
) -> NDArray[np.int64]:
    """[N, G] how many structures of each set each share is, in the steps that its constraints leave it."""
    bundles = {number: bundle for bundle in all_bundles(analysis) for number in bundle.sets}
    counts = list[list[int]]()
    for number in numbers:
        one, bundle = analysis.sets[number], bundles[number]
        size, left = bundle.sizes[bundle.sets.index(number)], remaining(one, removed)
        most = max((left - (one.count - size * bundle.most)) // size, 0)
        counts.append([size * min(int(share * left / size + 0.5), most) for share in shares])
    return np.array(counts, np.int64).reshape(-1, len(shares))


def trials(removed: NDArray[np.int64], numbers: tuple[int, ...]) -> list[tuple[int, int]]:
    """(set, structures that go) of every cut that has to be tried: a count that occurs twice is tried once."""
    rows = zip(numbers, removed.tolist(), strict=True)
    return [(number, count) for number, row in rows for count in sorted({n for n in row if n > 0})]


def remaining(one: CoupledSet, removed: Mask) -> int:
    """How many structures a set still has."""
    return int((~removed[one.structures]).sum())
