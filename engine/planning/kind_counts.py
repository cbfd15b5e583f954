"""Plans by kind: how many heads, neurons or blocks of the whole model stay, whichever layers they lie in. Numpy only.

The weakest of a kind go first, compared as the goal's ranking says (Michel et al. 2019 rank all heads of the model). A
kind that is planned so is settled: other limits of the goal are met with what is left. Kinds that hold others come
first, and what went with them counts as gone.
"""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..messages import title
from ..structures.analysis import Analysis, Kind, Mask, inside
from .block_pruning import weakest_blocks
from .infeasibility import too_many
from .isomorphic_classes import RemovalOption, held_by_blocks, isomorphic_class, removal_options
from .protocol import DEFAULT_KINDS, Goal, KindLimit, Reached, plural
from .scope import outside_scope

OUTER_FIRST = (Kind.BLOCK, Kind.EXPERT, Kind.KV_GROUP, Kind.GROUP)
"""Kinds on whose structures others lie: they are planned in this order, before all others."""


def with_kinds_planned(
    analysis: Analysis, scores: NDArray[np.float64], goal: Goal, removed: Mask, locked: Mask
) -> Mask:
    """Mark the weakest of each kind that a goal counts.

    Args:
        analysis: Of the original model.
        scores: [S] higher is more important, NaN where unknown (never marked).
        goal: Its `kept` says how many stay.
        removed: [S] what is gone already.
        locked: [S] what must not be marked.

    Returns:
        [S] removed and marked.

    Raises:
        PlanError: A kind is not in the model, is counted twice, or cannot become so few.
    """
    for limit in _outer_first(goal):
        gone = with_what_they_hold(analysis, removed)
        excess = count_of(analysis, gone, limit.kind) - _most(analysis, limit)
        if excess > 0:
            marked = _weakest(analysis, scores, goal, limit.kind, removed, locked, excess)
            if len(marked) < excess:
                lowest = partial(_lowest, analysis, scores, removed, limit.kind)
                total, unrated = count_of(analysis, analysis.empty(), limit.kind), int((np.isnan(scores) & ~gone).sum())
                holders = _holders(analysis, scores, goal, removed, locked) if limit.kind is Kind.HEAD else None
                raise too_many(goal, limit, total, lowest, locked, unrated, holders)
            removed = removed.copy()
            removed[marked] = True
    return removed


def other_kinds(goal: Goal) -> tuple[Kind, ...]:
    """The kinds that a goal leaves to its other limits."""
    return tuple(kind for kind in Kind if kind in (goal.kinds or DEFAULT_KINDS) and kind not in goal.settled)


def reached_kinds(analysis: Analysis, goal: Goal, removed: Mask) -> tuple[Reached, ...]:
    """For each kind that a goal counts what was asked and what is left without the `removed` [S]."""
    gone, nothing = with_what_they_hold(analysis, removed), analysis.empty()
    return tuple(
        Reached(
            limit.kind,
            count_of(analysis, nothing, limit.kind),
            _most(analysis, limit),
            count_of(analysis, gone, limit.kind),
        )
        for limit in goal.kept
    )


def structures_of(analysis: Analysis, kind: Kind) -> Mask:
    """[S] the structures of a kind, as a goal counts them.

    Of blocks that hold others only the layers count: the outermost that the model has several of, neither the branches
    in them nor a stage around them.
    """
    found = analysis.empty()
    for one in analysis.sets:
        found[one.structures] = one.kind is kind
    if kind is not Kind.BLOCK:
        return found
    blocks = [one for one in analysis.sets if one.kind is Kind.BLOCK]
    number = Counter(isomorphic_class(analysis, one) for one in blocks)
    several = {one.first: number[isomorphic_class(analysis, one)] > 1 for one in blocks}
    for one in blocks:
        around = [other for other in blocks if other is not one and inside(one.module, other.module)]
        within = [other for other in blocks if other is not one and inside(other.module, one.module)]
        found[one.first] = not any(several[other.first] for other in around) and (
            several[one.first] or not any(several[other.first] for other in within)
        )
    return found


def count_of(analysis: Analysis, gone: Mask, kind: Kind) -> int:
    """How many structures of a kind are not `gone` [S]."""
    return int(np.count_nonzero(structures_of(analysis, kind) & ~gone))


def with_what_they_hold(analysis: Analysis, removed: Mask) -> Mask:
    """[S] what is removed, and what lies in removed blocks."""
    gone = removed.copy()
    if removed[analysis.block_tensor[:, 0]].any():
        for block, held in held_by_blocks(analysis).items():
            gone[held] |= removed[block]
    return gone


def _outer_first(goal: Goal) -> list[KindLimit]:
    if len({limit.kind for limit in goal.kept}) < len(goal.kept):
        raise PlanError("plan.kept_twice", "A goal can count each kind of structure once. Change the counts.")
    order = [*OUTER_FIRST, *(kind for kind in Kind if kind not in OUTER_FIRST)]
    return sorted(goal.kept, key=lambda limit: order.index(limit.kind))


def _most(analysis: Analysis, limit: KindLimit) -> int:
    """How many may stay at most."""
    all_of_them = count_of(analysis, analysis.empty(), limit.kind)
    if not all_of_them:
        template = "The model has no removable {kinds}. Leave them out of the goal."
        raise PlanError("plan.no_such_kind", template, kinds=title(plural(limit.kind)))
    if limit.count < 0 or (not limit.count and not 0.0 < limit.share <= 1.0):
        template = "A goal cannot keep {share:.0%} of the {kinds}. Choose more than 0 and at most 100 %."
        raise PlanError("plan.kind_share", template, share=limit.share, kinds=title(plural(limit.kind)))
    return limit.count or int(limit.share * all_of_them + 0.5)


def _holders(analysis: Analysis, scores: NDArray[np.float64], goal: Goal, removed: Mask, locked: Mask) -> Kind | None:
    """Groups that share keys and values, where some can go; they hold the heads."""
    left = count_of(analysis, with_what_they_hold(analysis, removed), Kind.KV_GROUP)
    return Kind.KV_GROUP if _lowest(analysis, scores, removed, Kind.KV_GROUP, goal, locked) < left else None


def _lowest(
    analysis: Analysis,
    scores: NDArray[np.float64],
    removed: Mask,
    kind: Kind,
    goal: Goal,
    locked: Mask,
    rated: bool = False,
) -> int:
    """How many of a kind stay at least; `rated`: as if everything had a score."""
    scores = np.nan_to_num(scores) if rated else scores
    left = count_of(analysis, with_what_they_hold(analysis, removed), kind)
    return left - len(_weakest(analysis, scores, goal, kind, removed, locked, left))


def _weakest(
    analysis: Analysis,
    scores: NDArray[np.float64],
    goal: Goal,
    kind: Kind,
    removed: Mask,
    locked: Mask,
    excess: int,
) -> NDArray[np.int64]:
    """Structures to mark so that at least `excess` go, as few more as whole steps allow; all where that is too few."""
    alone = replace(goal, kinds=(kind,))
    barred = locked | outside_scope(analysis, alone)
    if kind is Kind.BLOCK:
        counted = structures_of(analysis, kind)
        others = [one.first for one in analysis.sets if one.kind is kind and not counted[one.first]]
        scores = scores.copy()
        scores[others] = np.nan
        return weakest_blocks(analysis, scores, goal, removed, barred)[:excess]
    options = removal_options(analysis, scores, with_what_they_hold(analysis, removed), barred, alone)
    left = np.array([option.remaining for option in options], np.int64)
    counts = np.array([option.allowed[0] for option in options], np.int64)
    ranks = np.unique(np.concatenate([np.zeros(0), *(option.rank for option in options)]))
    low, high = 0, len(ranks)  # the lowest share of each class with which enough goes
    while low < high:
        middle = (low + high) // 2
        tried = np.array([option.nearest(float(ranks[middle])) for option in options], np.int64)
        if int((left - tried).sum()) >= excess:
            high, counts = middle, tried
        else:
            low = middle + 1
    surplus = int((left - counts).sum()) - excess
    while surplus > 0:  # steps that are not needed come back, the most important first
        steps = [_step_up(option, int(count)) for option, count in zip(options, counts, strict=True)]
        fitting = [(worth, number, size) for number, (size, worth) in enumerate(steps) if 0 < size <= surplus]
        if not fitting:
            break
        _, number, size = max(fitting)
        counts[number] += size
        surplus -= size
    marked = [option.order[: option.remaining - count] for option, count in zip(options, counts.tolist(), strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *marked])


def _step_up(option: RemovalOption, count: int) -> tuple[int, float]:
    """(structures, mean worth of these) of the next step up; (0, 0) where nothing more can stay."""
    place = int(np.searchsorted(option.allowed, count)) + 1
    if place == len(option.allowed):
        return 0, 0.0
    size = int(option.allowed[place]) - count
    stop = option.remaining - count
    return size, float(option.value[stop - size : stop].mean())
