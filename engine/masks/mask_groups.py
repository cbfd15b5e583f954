"""Which structures compete in learned masks, how many of them stay, and the plan that learned numbers mean.

A plan says how many structures each coupled set keeps; masks only choose others. Whole blocks compete with blocks that
cost the same. So what comes out costs what the plan costs, and keeps its constraints.
"""

import numpy as np
from numpy.typing import NDArray

from ..planning.isomorphic_classes import held_by_blocks, isomorphic_class, with_their_blocks
from ..planning.same_shape import reshaped
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs
from .hard_concrete import MaskGroups


def groups_of(analysis: Analysis, plan: Mask, scores: NDArray[np.float64], removed: Mask, locked: Mask) -> MaskGroups:
    """The groups of structures whose gates are learned.

    Args:
        analysis: Of the original model.
        plan: [S] a plan that keeps all constraints: what goes, `removed` included.
        scores: [S] those of the plan; what has none (NaN) stays as the plan has it.
        removed: [S] what a hand has marked; it stays marked.
        locked: [S] what must not go.
    """
    free = np.isfinite(scores) & ~removed & ~with_their_blocks(analysis, locked)
    members: list[NDArray[np.int64]] = []
    classes: dict[tuple[object, ...], list[int]] = {}
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            classes.setdefault(isomorphic_class(analysis, one), []).append(one.first)
    for blocks in classes.values():
        here = np.array([block for block in blocks if free[block]], np.int64)
        if _chosen_among(plan, here) and _cost_alike(analysis, plan, here):
            members.append(here)
    learned = set(np.concatenate([np.zeros(0, np.int64), *members]).tolist())
    for block, held in held_by_blocks(analysis).items():  # what goes with a block in any case
        if plan[block] and block not in learned:
            free[held] = False
    for one in analysis.sets:
        here = one.first + np.flatnonzero(free[one.structures])
        if one.kind is not Kind.BLOCK and _chosen_among(plan, here):
            members.append(here)
    return MaskGroups(
        np.concatenate([np.zeros(0, np.int64), *members]),
        np.repeat(np.arange(len(members)), [len(here) for here in members]),
        np.array([int((~plan[here]).sum()) for here in members], np.int64),
        (~plan).astype(np.float64),
    )


def plan_by(analysis: Analysis, plan: Mask, groups: MaskGroups, worth: NDArray[np.float64]) -> Mask:
    """[S] the plan with as many structures of each set, those of groups by their worth.

    Args:
        analysis: Of the original model.
        plan: [S] the plan that the groups were made of.
        groups: What may be chosen anew.
        worth: [F] of the structures of groups; the least go.

    Raises:
        PlanError: The choice breaks a constraint.
    """
    scores, learned = np.zeros(analysis.count), analysis.empty()
    scores[groups.structures], learned[groups.structures] = worth, True
    gone, kept = plan & ~learned, dict[int, int]()
    for number, one in enumerate(analysis.sets):
        if one.kind is not Kind.BLOCK:
            kept[number] = int((~plan[one.structures]).sum())
    for number, keep in enumerate(groups.keep.tolist()):
        here = groups.structures[groups.groups == number]
        if analysis.set_of(int(here[0])).kind is Kind.BLOCK:
            gone[here[np.argsort(scores[here], kind="stable")[: len(here) - keep]]] = True
    return reshaped(analysis, scores, gone, kept, ~learned)


def first_logits(groups: MaskGroups, scores: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """[F] logits by rank in each group, from `-spread` to `spread`: what the plan removes first, then by scores [S]."""
    logits = np.zeros(len(groups.structures))
    for number in range(len(groups.keep)):
        places = np.flatnonzero(groups.groups == number)
        structures = groups.structures[places]
        order = np.lexsort((scores[structures], groups.decided[structures]))
        logits[places[order]] = spread * ((2 * np.arange(len(places)) + 1) / len(places) - 1)
    return logits


def _chosen_among(plan: Mask, here: NDArray[np.int64]) -> bool:
    """Whether some of these go, and some stay."""
    return 0 < int(plan[here].sum()) < len(here)


def _cost_alike(analysis: Analysis, plan: Mask, blocks: NDArray[np.int64]) -> bool:
    """Whether a plan costs the same whichever of these blocks go."""
    found = set[tuple[int, int]]()
    for block in blocks.tolist():
        tried = plan.copy()
        tried[blocks] = False
        tried[block] = True
        total = costs(analysis, tried)
        found.add((total.parameters, total.macs))
    return len(found) == 1
