"""Isomorphic classes: which structures are ranked together, and which widths suit a target.

A score compares structures whose slices have equal shapes (Fang et al. 2024, isomorphic pruning): filters of two equal
layers, but not a filter with a head. Each class loses the same share of its weakest; within it layers compete.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, CoupledSet, Kind, Mask
from .count_balance import all_bundles, steps_left
from .protocol import DEFAULT_KINDS, STEPS, Goal, PlanStart, Ranking


@dataclass(frozen=True, slots=True)
class RemovalOption:
    """Coupled sets that lose structures in step, most often one alone, as planning sees them at a state.

    Attributes:
        one: The first set.
        order: [markable] structures that may be marked, weakest first; step by step where there are several sets.
        rank: [markable] their rank in their isomorphic class: the share of the class that is weaker, 0 to 1; the mean
            of a step where there are several sets.
        value: [markable] their scores over the class' mean score, so that classes can be traded against each other.
        allowed: Counts that may be kept, ascending; the last one keeps all that the state still has.
    """

    one: CoupledSet
    order: NDArray[np.int64]
    rank: NDArray[np.float64]
    value: NDArray[np.float64]
    allowed: NDArray[np.int64]

    @property
    def remaining(self) -> int:
        """How many structures the state still has."""
        return int(self.allowed[-1])

    def nearest(self, ratio: float) -> int:
        """The allowed count nearest to what is left when the class loses `ratio`; the larger one of two."""
        wanted = self.remaining - int(np.searchsorted(self.rank, ratio, side="left"))
        distance = np.abs(self.allowed - wanted)
        return int(self.allowed[np.flatnonzero(distance == distance.min())[-1]])


def removal_options(start: PlanStart, goal: Goal) -> list[RemovalOption]:
    """What of the goal's kinds can lose something; a structure without a score (NaN) is never marked."""
    analysis, removed = start.analysis, start.removed
    kinds = goal.kinds or DEFAULT_KINDS
    # A block goes with all it holds, so a lock inside it bars the block; without blocks in the plan nothing asks for
    # that.
    barred = with_their_blocks(analysis, start.locked) if Kind.BLOCK in kinds else start.locked
    markable = ~removed & ~barred & np.isfinite(start.scores)
    rank, value = _rank_in_classes(analysis, start.scores, markable, kinds, goal.ranking)
    markable &= np.isfinite(rank)
    options: list[RemovalOption] = []
    for bundle in all_bundles(analysis):
        steps = steps_left(analysis, bundle, removed, markable)
        if not steps:
            continue
        # Sets that lose structures in step go step by step: the weakest of each set together.
        sets, parts = [analysis.sets[number] for number in bundle.sets], list[NDArray[np.int64]]()
        for one, size in zip(sets, bundle.sizes, strict=True):
            numbers = one.first + np.flatnonzero(markable[one.structures])
            weakest = numbers[np.argsort(rank[numbers], kind="stable")]
            parts.append(weakest[: len(weakest) // size * size].reshape(-1, size))
        order = np.concatenate([part[: min(map(len, parts))] for part in parts], axis=1)
        first, left = sets[0], [int((~removed[one.structures]).sum()) for one in sets]
        whole = step(analysis, first, max(goal.multiples.get(first.kind, goal.multiple), 1), goal.steps)
        # One step stays at least: a layer without any structure could not be cut out.
        least = max(whole, goal.least, ceil(goal.least_share * first.count - 1e-9))
        taken = np.arange(steps, -1, -1, dtype=np.int64)
        # Counted in the first set: the others of the bundle lose as many whole steps.
        kept = left[0] - bundle.sizes[0] * taken
        fits = (kept % whole == 0) & (kept >= (0 if first.kind is Kind.BLOCK else least))
        # That nothing goes is always allowed.
        fits[-1] = True
        if fits.sum() > 1:
            ranks = np.repeat(rank[order].mean(axis=1), order.shape[1])
            allowed = sum(left) - order.shape[1] * taken[fits]
            options.append(RemovalOption(first, order.ravel(), ranks, value[order.ravel()], allowed))
    return sorted(options, key=lambda option: option.one.first)


def _rank_in_classes(
    analysis: Analysis, scores: NDArray[np.float64], markable: Mask, kinds: Collection[Kind], ranking: Ranking
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """([S] rank, [S] value) of what is `markable`, as `RemovalOption` has them, NaN for others.

    The strongest block of a class has no rank: it stays.
    """
    classes: dict[tuple[object, ...], list[CoupledSet]] = defaultdict(list)
    for one in analysis.sets:
        if one.kind in kinds and markable[one.structures].any():
            classes[ranking_class(analysis, one, ranking)].append(one)
    rank, value = np.full(analysis.count, np.nan), np.full(analysis.count, np.nan)
    for members in classes.values():
        # What has equal scores goes evenly from all sets of a class: by the share of its own set that is weaker.
        found, shares = list[NDArray[np.int64]](), list[NDArray[np.float64]]()
        for one in members:
            here = one.first + np.flatnonzero(markable[one.structures])
            # Half a step off both ends, so that a set of one structure has its share in the middle of those of larger
            # sets.
            share = np.empty(len(here))
            share[np.argsort(scores[here], kind="stable")] = (np.arange(len(here)) + 0.5) / len(here)
            found.append(here)
            shares.append(share)
        numbers = np.concatenate(found)
        values = scores[numbers]
        order = np.lexsort((np.concatenate(shares), values))
        rank[numbers[order]] = np.arange(len(values)) / len(values)
        # A sum of scores below nothing would be noise over a block, and a share of it a gain.
        if values.min() < 0:
            values = values - values.min() if (values != values[0]).any() else np.ones(len(values))
        # Over the mean of its class, so that scores of different units can be added and traded.
        value[numbers] = values / (float(values.mean()) or 1.0)
        # A class of equal blocks would else be emptied by a low budget, and with it a stage of the model.
        if members[0].kind is Kind.BLOCK:
            rank[numbers[order[-1]]] = np.nan
    return rank, value


def held_by_blocks(analysis: Analysis) -> dict[int, NDArray[np.int64]]:
    """For each block [*] the structures that lie wholly in it."""
    touched = [(one, {t for t, _ in one.touches}) for one in analysis.sets if one.kind is not Kind.BLOCK]
    found: dict[int, NDArray[np.int64]] = {}
    for block, inside in _tensors_of_blocks(analysis):
        held = [np.arange(one.first, one.first + one.count) for one, tensors in touched if tensors <= inside]
        found[block] = np.concatenate([np.zeros(0, np.int64), *held])
    return found


def with_block_contents(analysis: Analysis, removed: Mask) -> Mask:
    """[S] what is removed, and what lies in removed blocks."""
    gone = removed.copy()
    if removed[analysis.block_tensor[:, 0]].any():
        for block, held in held_by_blocks(analysis).items():
            gone[held] |= removed[block]
    return gone


def with_their_blocks(analysis: Analysis, locked: Mask) -> Mask:
    """[S] what is locked, and the blocks that cannot go because something in them is."""
    found, inside = locked.copy(), dict(_tensors_of_blocks(analysis))
    shut = [
        inside.get(one.first) or {t for t, _ in one.touches} for one in analysis.sets if locked[one.structures].any()
    ]
    for block, tensors in inside.items():
        found[block] |= any(some and some <= tensors for some in shut)
    return found


def _tensors_of_blocks(analysis: Analysis) -> Iterator[tuple[int, set[int]]]:
    for block in np.unique(analysis.block_tensor[:, 0]).tolist():
        yield block, set(analysis.block_tensor[analysis.block_tensor[:, 0] == block, 1].tolist())


def ranking_class(analysis: Analysis, one: CoupledSet, ranking: Ranking) -> tuple[object, ...]:
    """Equal for sets that compete; blocks compete with blocks in any case."""
    if ranking in (Ranking.AUTO, Ranking.SHAPES) or one.kind is Kind.BLOCK:
        return isomorphic_class(analysis, one)
    return (one.key,) if ranking is Ranking.SET else ()


def isomorphic_class(analysis: Analysis, one: CoupledSet) -> tuple[object, ...]:
    """Equal for sets whose structures are of one kind and have slices of equal shapes."""
    if one.kind is Kind.BLOCK:
        held: list[int] = analysis.block_tensor[analysis.block_tensor[:, 0] == one.first, 1].tolist()
        return (one.kind, *sorted(analysis.tensors[t].shape for t in held))
    # Without the dimension that is cut: layers of different widths with equal slices compare.
    shapes = sorted((d, analysis.tensors[t].shape[:d] + analysis.tensors[t].shape[d + 1 :]) for t, d in one.touches)
    return (one.kind, structure_width(analysis, one), *shapes)


def step(analysis: Analysis, one: CoupledSet, multiple: int, steps: int = STEPS) -> int:
    """Structures in one step, so that what is kept makes widths that are multiples of `multiple`.

    A structure may own several channels: a head of 32 satisfies 16 by itself, heads of 8 go in pairs. Where a set is so
    narrow that it would have no two steps, the multiple is halved until it has `steps`.
    """
    if one.kind is Kind.BLOCK:
        return 1
    # As many structures as make up the multiple in channels: least common multiple over the width of one.
    structures = multiple // gcd(structure_width(analysis, one), multiple)
    if one.count < 2 * structures:
        while structures > 1 and one.count < steps * structures:
            structures //= 2
    return structures


def structure_width(analysis: Analysis, one: CoupledSet) -> int:
    """How many channels of a layer a structure owns, on the layer where it owns the fewest."""
    if one.kind is Kind.BLOCK:
        return 1
    axes = {analysis.tensors[t].axes[d] for t, d in one.touches} - {-1}
    start, stop = analysis.member_start[one.first : one.first + 2]
    positions = analysis.member_position[start:stop]
    owned = np.bincount(np.searchsorted(analysis.axis_start, positions, side="right") - 1, minlength=1)
    return min((int(owned[a]) for a in axes if a < len(owned) and owned[a]), default=1)
