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
from .isomorphic_classes import isomorphic_class, removal_options, with_block_contents
from .protocol import DEFAULT_KINDS, Goal, KindLimit, PlanStart, Reached, plural
from .scope import outside_scope

OUTER_FIRST = (Kind.BLOCK, Kind.EXPERT, Kind.KV_GROUP, Kind.GROUP)
"""Kinds on whose structures others lie: they are planned in this order, before all others."""


def plan_kinds(start: PlanStart, goal: Goal) -> Mask:
    """Mark the weakest of each kind that a goal counts.

    Args:
        start: What is gone, locked and rated.
        goal: Its `kept` says how many stay.

    Returns:
        [S] removed and marked.

    Raises:
        PlanError: A kind is not in the model, is counted twice, or cannot become so few.
    """
    analysis = start.analysis
    if len({limit.kind for limit in goal.kept}) < len(goal.kept):
        raise PlanError("plan.kept_twice", "A goal can count each kind of structure once. Change the counts.")
    # Outer kinds first: the heads that go with a group count as gone before heads are counted.
    order = [*OUTER_FIRST, *(kind for kind in Kind if kind not in OUTER_FIRST)]
    for limit in sorted(goal.kept, key=lambda limit: order.index(limit.kind)):
        gone = with_block_contents(analysis, start.removed)
        excess = count_of(analysis, gone, limit.kind) - _most(analysis, limit)
        if excess > 0:
            marked = _weakest(start, goal, limit.kind, excess)
            if len(marked) < excess:
                total = count_of(analysis, analysis.empty(), limit.kind)
                holders = None
                # Groups that share keys and values hold the heads, where some can go.
                if limit.kind is Kind.HEAD:
                    left = count_of(analysis, gone, Kind.KV_GROUP)
                    holders = Kind.KV_GROUP if _lowest(start, Kind.KV_GROUP, goal, start.locked) < left else None
                lowest = partial(_lowest, start, limit.kind)
                raise too_many(start.without(gone), goal, limit, total, lowest, holders)
            removed = start.removed.copy()
            removed[marked] = True
            start = start.without(removed)
    return start.removed


def check_limit(limit: KindLimit) -> None:
    """Raise `PlanError` for a number or a share that no model keeps."""
    if limit.count < 0 or (not limit.count and not 0.0 < limit.share <= 1.0):
        template = "A goal cannot keep {share:.0%} of the {kinds}. Choose more than 0 and at most 100 %."
        raise PlanError("plan.kind_share", template, share=limit.share, kinds=title(plural(limit.kind)))


def other_kinds(goal: Goal) -> tuple[Kind, ...]:
    """The kinds that a goal leaves to its other limits."""
    return tuple(kind for kind in Kind if kind in (goal.kinds or DEFAULT_KINDS) and kind not in goal.settled)


def reached_kinds(analysis: Analysis, goal: Goal, removed: Mask) -> tuple[Reached, ...]:
    """For each kind that a goal counts what was asked and what is left without the `removed` [S]."""
    gone, nothing = with_block_contents(analysis, removed), analysis.empty()
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


def _most(analysis: Analysis, limit: KindLimit) -> int:
    """How many may stay at most."""
    all_of_them = count_of(analysis, analysis.empty(), limit.kind)
    if not all_of_them:
        template = "The model has no removable {kinds}. Leave them out of the goal."
        raise PlanError("plan.no_such_kind", template, kinds=title(plural(limit.kind)))
    check_limit(limit)
    return limit.count or int(limit.share * all_of_them + 0.5)


def _lowest(start: PlanStart, kind: Kind, goal: Goal, locked: Mask, rated: bool = False) -> int:
    """How many of a kind stay at least under these locks; `rated`: as if everything had a score."""
    start = replace(start.rated if rated else start, locked=locked)
    left = count_of(start.analysis, with_block_contents(start.analysis, start.removed), kind)
    return left - len(_weakest(start, goal, kind, left))


def _weakest(start: PlanStart, goal: Goal, kind: Kind, excess: int) -> NDArray[np.int64]:
    """Structures to mark so that at least `excess` go, as few more as whole steps allow; all where that is too few."""
    analysis, alone = start.analysis, replace(goal, kinds=(kind,))
    start = replace(start, locked=start.locked | outside_scope(analysis, alone))
    if kind is Kind.BLOCK:
        counted, scores = structures_of(analysis, kind), start.scores.copy()
        # A block that the count leaves out (a stage, a branch) must not go in a layer's place: without a score it
        # stays.
        scores[[one.first for one in analysis.sets if one.kind is kind and not counted[one.first]]] = np.nan
        return weakest_blocks(replace(start, scores=scores), goal)[:excess]
    options = removal_options(start.without(with_block_contents(analysis, start.removed)), alone)
    left = np.array([option.remaining for option in options], np.int64)
    counts = np.array([option.allowed[0] for option in options], np.int64)
    # Between two ranks nothing changes, so only ranks are tried.
    ranks = np.unique(np.concatenate([np.zeros(0), *(option.rank for option in options)]))
    # The lowest share of each class with which enough goes.
    low, high = 0, len(ranks)
    while low < high:
        middle = (low + high) // 2
        tried = np.array([option.nearest(float(ranks[middle])) for option in options], np.int64)
        if int((left - tried).sum()) >= excess:
            high, counts = middle, tried
        else:
            low = middle + 1
    surplus = int((left - counts).sum()) - excess
    # Steps that are not needed come back, the most important first.
    while surplus > 0:
        # (mean worth of the structures of a step up, option, how many).
        fitting = list[tuple[float, int, int]]()
        for number, (option, count) in enumerate(zip(options, counts.tolist(), strict=True)):
            more = option.allowed[option.allowed > count]
            size = int(more[0]) - count if len(more) else 0
            if 0 < size <= surplus:
                stop = option.remaining - count
                fitting.append((float(option.value[stop - size : stop].mean()), number, size))
        if not fitting:
            break
        _, number, size = max(fitting)
        counts[number] += size
        surplus -= size
    marked = [option.order[: option.remaining - count] for option, count in zip(options, counts.tolist(), strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *marked])
