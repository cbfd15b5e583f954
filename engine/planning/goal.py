"""The plan for a goal: which structures go so that at most a share of the original's MACs is kept. Numpy only.

One global ratio says how much of its weakest each isomorphic class loses; kept counts are rounded to what the target
likes; the ratio is found by bisection on exact costs. Rounding leaves a gap between the last ratio that costs too much
and the first that does not; single steps between these two, the least score for the most MACs first, close it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..scoring.choices import Ranking
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs, kept_sizes
from .classes import DEFAULT_KINDS, Candidate, candidates
from .marks import check_plan as check_plan
from .marks import keep as keep
from .steps import Counts, start_walk


@dataclass(frozen=True, slots=True)
class Problem:
    """A goal, ready to be searched.

    Attributes:
        analysis: What can be removed.
        removed: [S] what is gone already.
        options: Sets that can lose something.
        limit: MACs to stay at or under.
    """

    analysis: Analysis
    removed: Mask
    options: list[Candidate]
    limit: int

    def mask(self, counts: Counts) -> Mask:
        """[S] removed and marked, weakest first, when these counts are kept."""
        mask = self.removed.copy()
        for option, count in zip(self.options, counts, strict=True):
            mask[option.order[: option.remaining - count]] = True
        return mask

    def macs(self, counts: Counts) -> int:
        """Exact MACs when these counts are kept."""
        return macs(self.analysis, self.mask(counts))

    def counts(self, ratio: float) -> Counts:
        """What is kept when each class loses this share of its weakest, rounded."""
        return np.array([option.nearest(ratio) for option in self.options], np.int64)


def suggest(
    analysis: Analysis,
    scores: NDArray[np.float64],
    keep_macs: float,
    removed: Mask,
    locked: Mask,
    multiple: int = 1,
    kinds: frozenset[Kind] | None = None,
    ranking: Ranking = Ranking.SHAPES,
) -> Mask:
    """Plan for a goal: keep at most a share of the original's MACs, as close to it as whole steps allow.

    Args:
        analysis: Of the original model.
        scores: [S] higher is more important, NaN where unknown (never marked).
        keep_macs: Share of the original's MACs to stay at or under, above 0 and up to 1.
        removed: [S] what the present state no longer has; stays removed.
        locked: [S] what must not be marked.
        multiple: Kept widths are multiples of this (see `classes.step` for heads and small layers).
        kinds: Kinds of structures to choose from, None for `DEFAULT_KINDS`.
        ranking: What competes by its scores.

    Returns:
        [S] `removed` and the marks on top of it.

    Raises:
        PlanError: The goal cannot be reached; says how far one gets.
    """
    if not 0.0 < keep_macs <= 1.0:
        raise PlanError(
            "plan.share", "A goal keeps more than 0 and at most 100 % of the MACs, not {share:.0%}.", share=keep_macs
        )
    original = costs(analysis).macs
    limit = int(keep_macs * original + 0.5)
    if macs(analysis, removed) <= limit:
        return removed.copy()
    options = candidates(analysis, scores, removed, locked, max(int(multiple), 1), kinds or DEFAULT_KINDS, ranking)
    problem = Problem(analysis, removed, options, limit)
    lowest = problem.macs(problem.counts(np.inf))
    if lowest > limit:
        raise _unreachable(keep_macs, lowest / original, bool(locked.any()))
    above, below = _bisect(problem)
    mask = problem.mask(above)
    walk = start_walk(analysis, options, above, mask, macs(analysis, mask))
    walk.down_to(below, limit)
    walk.up_to(limit)
    return problem.mask(walk.counts)


def macs(analysis: Analysis, removed: Mask) -> int:
    """MACs of one sample, as `costs` counts them, without the rest of it."""
    operators = analysis.operators
    kept = kept_sizes(analysis, removed)
    each = operators.constant * np.where(operators.axes < 0, 1, kept[operators.axes]).prod(axis=1)
    each[analysis.block_operator[removed[analysis.block_operator[:, 0]], 1]] = 0
    return int(each.sum())


def _bisect(problem: Problem) -> tuple[Counts, Counts]:
    """The counts just above the goal and the counts just under it, over one ratio for all classes."""
    ranks = np.unique(np.concatenate([option.rank[np.isfinite(option.rank)] for option in problem.options]))
    ratios = np.append(ranks, np.inf)  # counts change only where the ratio passes a rank
    low, high = 0, len(ratios) - 1
    above, below = problem.counts(ratios[low]), problem.counts(ratios[high])
    while high - low > 1:
        middle = (low + high) // 2
        counts = problem.counts(ratios[middle])
        if problem.macs(counts) > problem.limit:
            low, above = middle, counts
        else:
            high, below = middle, counts
    return above, below


def _unreachable(asked: float, lowest: float, locked: bool) -> PlanError:
    advice = f"{'unlock some structures, ' if locked else ''}allow more kinds or a smaller multiple"
    return PlanError(
        "plan.unreachable",
        "Keeping {asked:.1%} of the MACs cannot be reached: the lowest is {lowest:.1%}. Ask for that, or {advice}.",
        asked=asked,
        lowest=np.ceil(lowest * 1000) / 1000,
        advice=advice,
    )
