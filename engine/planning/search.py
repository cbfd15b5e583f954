"""Searches the plan for one goal: bisection over one ratio for all classes, then single steps. Numpy only.

One global ratio says how much of its weakest each isomorphic class loses; kept counts are rounded to what the target
likes; the ratio is found by bisection on exact costs. Rounding leaves a gap between the last ratio that costs too much
and the first that does not; single steps between these two, the least score for the most cost first, close it.

Scores that say what the outputs lose need no ratio (`Ranking.COST`): from the first step on, the least score for the
most cost goes first, which is the Lagrangian solution of the knapsack over the sets' error curves.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Mask
from .cost_meter import Amounts, CostMeter
from .isomorphic_classes import RemovalOption
from .local_search import Counts, start_search

COARSE = 48
"""Steps of a set at first, where it has more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A goal, ready to be searched.

    Attributes:
        meter: Measures what is limited.
        removed: [S] what is gone already.
        options: Sets that can lose something.
        limits: [K] amounts to stay at or under.
    """

    meter: CostMeter
    removed: Mask
    options: list[RemovalOption]
    limits: Amounts

    def mask(self, counts: Counts) -> Mask:
        """[S] removed and marked, weakest first, when these counts are kept."""
        mask = self.removed.copy()
        for option, count in zip(self.options, counts, strict=True):
            mask[option.order[: option.remaining - count]] = True
        return mask

    def costs(self, counts: Counts) -> Amounts:
        """[K] exact costs when these counts are kept."""
        return self.meter.measure(self.mask(counts))

    def holds(self, costs: Amounts) -> bool:
        """Whether these costs are at or under all limits."""
        return bool((costs <= self.limits).all())

    def counts(self, ratio: float) -> Counts:
        """What is kept when each class loses this share of its weakest, rounded."""
        return np.array([option.nearest(ratio) for option in self.options], np.int64)

    def bracket(self) -> tuple[Counts, Counts]:
        """The counts just above the goal and the counts just under it, for a goal that the highest ratio reaches."""
        ratios = np.append(self._ranks(), np.inf)  # counts change only where the ratio passes a rank
        low, high = 0, len(ratios) - 1
        above, below = self.counts(ratios[low]), self.counts(ratios[high])
        while high - low > 1:
            middle = (low + high) // 2
            counts = self.counts(ratios[middle])
            if self.holds(self.costs(counts)):
                high, below = middle, counts
            else:
                low, above = middle, counts
        return above, below

    def cheapest_first(self) -> tuple[Counts, Counts]:
        """The same where the least score for the most cost goes first; in large steps, as `finest` takes small ones."""
        options = [replace(option, allowed=thinned(option.allowed, COARSE + 1)) for option in self.options]
        lowest = np.array([option.allowed[0] for option in options], np.int64)
        above = np.array([option.remaining for option in options], np.int64)
        walk = start_search(self.meter, options, self.limits, above, self.removed)
        while not walk.met:
            above = walk.counts.copy()
            walk.take_cheapest(lowest)
        return above, np.array([option.allowed[0] for option in self.options], np.int64)

    def _ranks(self) -> NDArray[np.float64]:
        ranks = [option.rank[np.isfinite(option.rank)] for option in self.options]
        return np.unique(np.concatenate([np.zeros(0), *ranks]))


def thinned(allowed: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Of the counts that a set may keep the lowest, the highest, and others between them: so many steps at most."""
    if len(allowed) <= steps + 1:
        return allowed
    return allowed[np.unique(np.linspace(0, len(allowed) - 1, steps + 1).round().astype(np.int64))]


def finest(problem: Problem, above: Counts, below: Counts) -> Mask:
    """[S] the plan between two counts that is as close to the limits as whole steps allow."""
    walk = start_search(problem.meter, problem.options, problem.limits, above, problem.mask(above))
    walk.down_to(below)
    walk.up()
    return walk.close_in().removed
