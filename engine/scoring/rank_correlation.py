"""Spearman's rank correlation between two ratings, for each layer and the whole model. Numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis

Floats = NDArray[np.float64]
LOWEST = 0.2
"""Share of a layer that is compared as what would go first."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two ratings side by side.

    Attributes:
        correlation: [K] Spearman's correlation in each coupled set, NaN where there are fewer than three or all equal.
        shared: [K] of the lowest fifth of a set by one rating the share that is in the lowest fifth by the other.
        count: [K] structures that both rate.
    """

    correlation: Floats
    shared: Floats
    count: NDArray[np.int64]

    @property
    def total(self) -> int:
        """How many structures both rate."""
        return int(self.count.sum())


def ranks(values: Floats) -> Floats:
    """[n] ranks from 1; equal values share the mean of theirs."""
    # The order of equal ones does not matter: they share a rank.
    order = np.argsort(values)
    ordered = values[order]
    starts = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]) if len(values) else np.zeros(0, int)
    counts = np.diff(np.append(starts, len(values)))
    found = np.empty(len(values))
    found[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return found


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rho: the correlation of the ranks; NaN for fewer than three, or where all of one are equal."""
    if len(one) < 3:
        return float("nan")
    first, second = ranks(one), ranks(other)
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size else float("nan")


def agreement(analysis: Analysis, one: Floats, other: Floats) -> Agreement:
    """Compare two ratings [S] of the structures, NaN where unknown."""
    known = np.isfinite(one) & np.isfinite(other)
    size = len(analysis.sets)
    correlation, shared, count = np.full(size, np.nan), np.full(size, np.nan), np.zeros(size, np.int64)
    for number, coupled in enumerate(analysis.sets):
        here = coupled.first + np.flatnonzero(known[coupled.structures])
        count[number] = len(here)
        correlation[number] = spearman(one[here], other[here])
        most = round(LOWEST * len(here))
        if most:
            lowest = [np.argpartition(values[here], most - 1)[:most] for values in (one, other)]
            shared[number] = len(np.intersect1d(*lowest, assume_unique=True)) / most
    return Agreement(correlation, shared, count)


def whole(one: Floats, other: Floats) -> float:
    """Spearman's rho over all structures that both ratings [S] know."""
    known = np.isfinite(one) & np.isfinite(other)
    return spearman(one[known], other[known])
