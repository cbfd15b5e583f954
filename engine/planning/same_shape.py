"""Plans the shape of an earlier plan with new scores: every coupled set keeps a given number."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..messages import of_kind
from ..structures.analysis import Analysis, Mask
from .count_balance import balanced, weakest_first
from .isomorphic_classes import with_their_blocks
from .marks import check_plan


def reshaped(
    analysis: Analysis, scores: NDArray[np.float64], removed: Mask, kept: Mapping[int, int], locked: Mask
) -> Mask:
    """Remove the weakest of each set until it keeps as many as it should.

    Args:
        analysis: Of the original model.
        scores: [S] higher is more important, NaN where unknown: such structures go last.
        removed: [S] what the present state no longer has; stays removed.
        kept: By number of the set how many structures it keeps; others lose none.
        locked: [S] what must not be marked.

    Returns:
        [S] `removed` and the marks on top of it. Sets that must lose as many as others do.

    Raises:
        PlanError: Locks leave too few to remove, or the plan breaks a constraint.
    """
    marked, locked = analysis.empty(), with_their_blocks(analysis, locked)
    for number, count in kept.items():
        one = analysis.sets[number]
        here = one.first + np.flatnonzero(~removed[one.structures])
        free, lose = here[~locked[here]], len(here) - count
        if lose > len(free):
            template = (
                "{where} cannot keep {count}: {locked} of its structures are locked. Unlock some, or plan for a goal."
            )
            where = of_kind(one.module, one.kind)
            raise PlanError("plan.shape_locked", template, where=where, count=count, locked=len(here) - len(free))
        marked[weakest_first(free, scores)[: max(lose, 0)]] = True
    marked = balanced(analysis, marked, removed, scores, locked)
    check_plan(analysis, removed | marked)
    return removed | marked
