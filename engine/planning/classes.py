"""What may be ranked with what: isomorphic classes unless chosen otherwise, and the widths that a target likes.

A score compares structures whose slices have equal shapes (Fang et al. 2024, isomorphic pruning): filters of two equal
layers, but not a filter with a head. Each class loses the same share of its weakest; within it layers compete.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ..scoring.choices import Ranking
from ..structures.analysis import Analysis, CoupledSet, Kind, Mask

DEFAULT_KINDS = frozenset(
    {Kind.FILTER, Kind.NEURON, Kind.HEAD, Kind.KV_GROUP, Kind.CHANNEL, Kind.GROUP, Kind.UNIT, Kind.WIDTH}
)
"""Blocks and experts only when asked; head dimensions not beside heads, because both lie on the same weights."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A coupled set as planning sees it, at a state.

    Attributes:
        one: The set.
        order: [markable] structures that may be marked, weakest first.
        rank: [markable] their rank in their isomorphic class: the share of the class that is weaker, 0 to 1.
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


def candidates(
    analysis: Analysis,
    scores: NDArray[np.float64],
    removed: Mask,
    locked: Mask,
    multiple: int,
    kinds: frozenset[Kind],
    ranking: Ranking = Ranking.SHAPES,
) -> list[Candidate]:
    """The sets of these kinds that can lose something; a structure without a score (NaN) is never marked."""
    markable = ~removed & ~locked & np.isfinite(scores)
    classes: dict[tuple[object, ...], list[CoupledSet]] = defaultdict(list)
    for one in analysis.sets:
        if one.kind in kinds and markable[one.structures].any():
            classes[ranking_class(analysis, one, ranking)].append(one)
    found = [c for members in classes.values() for c in _ranked(analysis, scores, removed, markable, members, multiple)]
    return sorted((c for c in found if len(c.allowed) > 1), key=lambda c: c.one.first)


def ranking_class(analysis: Analysis, one: CoupledSet, ranking: Ranking) -> tuple[object, ...]:
    """Equal for sets that compete; blocks compete with blocks in any case."""
    if ranking is Ranking.SHAPES or one.kind is Kind.BLOCK:
        return isomorphic_class(analysis, one)
    return (one.key,) if ranking is Ranking.SET else ()


def isomorphic_class(analysis: Analysis, one: CoupledSet) -> tuple[object, ...]:
    """Equal for sets whose structures are of one kind and have slices of equal shapes."""
    if one.kind is Kind.BLOCK:
        held: list[int] = analysis.block_tensor[analysis.block_tensor[:, 0] == one.first, 1].tolist()
        return (one.kind, *sorted(analysis.tensors[t].shape for t in held))
    shapes = sorted((d, analysis.tensors[t].shape[:d] + analysis.tensors[t].shape[d + 1 :]) for t, d in one.touches)
    return (one.kind, structure_width(analysis, one), *shapes)


def step(analysis: Analysis, one: CoupledSet, multiple: int) -> int:
    """Structures in one step, so that what is kept makes widths that are multiples of `multiple`.

    A structure may own several channels: a head of 32 satisfies 16 by itself, heads of 8 go in pairs. Where a set is so
    small that it could not lose anything, the multiple is halved until it has two steps.
    """
    if one.kind is Kind.BLOCK:
        return 1
    structures = multiple // gcd(structure_width(analysis, one), multiple)
    while structures > 1 and one.count < 2 * structures:
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


def _ranked(
    analysis: Analysis,
    scores: NDArray[np.float64],
    removed: Mask,
    markable: Mask,
    members: list[CoupledSet],
    multiple: int,
) -> list[Candidate]:
    """The candidates of one class."""
    numbers = [one.first + np.flatnonzero(markable[one.structures]) for one in members]
    values = np.concatenate([scores[n] for n in numbers])
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = np.arange(len(values)) / len(values)
    if members[0].kind is Kind.BLOCK:
        rank[np.argmax(rank)] = np.inf  # the strongest block of a class stays
    mean = float(np.abs(values).mean()) or 1.0
    bounds = np.cumsum([0, *(len(n) for n in numbers)])
    found: list[Candidate] = []
    for one, structures, start, stop in zip(members, numbers, bounds[:-1], bounds[1:], strict=True):
        order = np.argsort(rank[start:stop], kind="stable")
        allowed = _allowed(analysis, one, int((~removed[one.structures]).sum()), len(structures), multiple)
        if np.isinf(rank[start:stop]).any():
            allowed = allowed[-1:]
        ordered = structures[order]
        found.append(Candidate(one, ordered, rank[start:stop][order], scores[ordered] / mean, allowed))
    return found


def _allowed(analysis: Analysis, one: CoupledSet, remaining: int, markable: int, multiple: int) -> NDArray[np.int64]:
    """Counts that may be kept: multiples of the step that leave at least one step, and all that remains."""
    if one.kind is Kind.BLOCK:
        return np.array([0, remaining], np.int64)
    size = step(analysis, one, multiple)
    lowest = -(-max(size, remaining - markable) // size) * size
    return np.array([*range(lowest, remaining, size), remaining], np.int64)
