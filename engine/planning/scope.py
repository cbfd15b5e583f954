"""Where a plan may choose: modules by path or pattern, and what touches them. Numpy only."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np

from ..errors import PlanError
from ..structures.analysis import Analysis, Mask, inside
from .protocol import DEFAULT_KINDS, Goal


def outside_scope(analysis: Analysis, goal: Goal) -> Mask:
    """[S] what lies out of the goal's scope. It takes no scores, so that a scope can be refused before the scoring.

    Raises:
        PlanError: A place of the scope holds no structure of the goal's kinds.
    """
    outside, kinds = analysis.empty(), {*(goal.kinds or DEFAULT_KINDS), *goal.settled}
    if not goal.scope or not analysis.count:
        return outside
    outside[:] = True
    for place in goal.scope:
        there = [one for one in analysis.sets if in_scope(one.module, place)]
        if not any(one.kind in kinds for one in there):
            template = "Nothing in {scope} can be removed. Enter a module's path, or a pattern like *.conv1."
            raise PlanError("plan.scope", template, scope=place)
        for one in there:
            outside[one.structures] = False
    return outside


def structures_touching(analysis: Analysis, places: Iterable[str]) -> Mask:
    """[S] what takes a part of these modules along: without it, they stay as they are.

    Args:
        analysis: Of the original model.
        places: Paths of modules (with everything below them) or patterns.

    Raises:
        PlanError: Nothing that can be removed touches a place.
    """
    found = analysis.empty()
    for place in places:
        there = [n for n, one in enumerate(analysis.tensors) if in_scope(one.module, place)]
        here = analysis.empty()
        # A block takes its tensors along without touching a dimension of them.
        here[analysis.block_tensor[np.isin(analysis.block_tensor[:, 1], there), 0]] = True
        for one in analysis.sets:
            here[one.structures] |= any(tensor in there for tensor, _ in one.touches)
        if not here.any():
            template = "No removable structure touches {place}. Enter a module's path, or a pattern like *.conv1."
            raise PlanError("plan.place", template, place=place)
        found |= here
    return found


def in_scope(module: str, place: str) -> bool:
    """Whether a module is the place or lies below it; a place may be a pattern, and what lies below a match counts."""
    return inside(module, place) or fnmatchcase(module, place) or fnmatchcase(module, f"{place}.*")
