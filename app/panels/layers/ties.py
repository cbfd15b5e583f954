"""Which layers are tied: their outputs are the same channels, or are put beside each other for one that reads them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis

LANES = 6
"""How many ties can be drawn beside each other; what finds no lane is drawn while it is selected."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Layers that a line joins.

    Attributes:
        rows: [R] their rows, rising.
        sets: Coupled sets that it is about.
        joined: They are concatenated (the last one reads them); else they lose the same channels.
        lane: Place of its line from the right, -1 for none.
    """

    rows: NDArray[np.int64]
    sets: tuple[int, ...]
    joined: bool
    lane: int = -1


def ties_of(analysis: Analysis, row_of: dict[str, int]) -> tuple[Tie, ...]:
    """All ties, each in a lane where one is free; `row_of` has the rows by module path."""
    writers = _writers(analysis, row_of)
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}
    for number, rows in writers.items():
        shared[rows] = (*shared.get(rows, ()), number)
    ties = [Tie(np.array(rows), sets, False) for rows, sets in shared.items() if len(rows) > 1]
    first = {number: rows[0] for number, rows in writers.items()}
    return _in_lanes([*ties, *_concatenated(analysis, row_of, first)])


def _writers(analysis: Analysis, row_of: dict[str, int]) -> dict[int, tuple[int, ...]]:
    """Rows whose outputs lie on a set, by set; the outputs of a layer are the first axis of its first parameter."""
    own: dict[str, int] = {}
    for number, tensor in enumerate(analysis.tensors):
        if tensor.parameter and tensor.shape:
            own.setdefault(tensor.module, number)
    row_by_tensor = {own[module]: row for module, row in row_of.items() if module in own}
    found: dict[int, tuple[int, ...]] = {}
    for number, one in enumerate(analysis.sets):
        rows = {row_by_tensor[tensor] for tensor, dim in one.touches if dim == 0 and tensor in row_by_tensor}
        if rows:
            found[number] = tuple(sorted(rows))
    return found


def _concatenated(analysis: Analysis, row_of: dict[str, int], first: dict[int, int]) -> list[Tie]:
    """Sets that lie beside each other on the axis that a layer reads."""
    readers: dict[int, list[int]] = {}
    for number, one in enumerate(analysis.sets):
        for tensor, dim in one.touches:
            if dim == 1 and analysis.tensors[tensor].module in row_of:
                readers.setdefault(tensor, []).append(number)
    found: dict[tuple[int, ...], Tie] = {}
    for tensor, sets in readers.items():
        several = tuple(dict.fromkeys(n for n in sets if n in first))
        if len(several) > 1 and several not in found and _beside(analysis, analysis.tensors[tensor].axes[1], several):
            rows = {first[number] for number in several} | {row_of[analysis.tensors[tensor].module]}
            found[several] = Tie(np.array(sorted(rows)), several, True)
    return [tie for tie in found.values() if len(tie.rows) > 1]


def _beside(analysis: Analysis, axis: int, sets: tuple[int, ...]) -> bool:
    """Whether each set holds a part of an axis of its own; two factors of one axis (heads, dimensions) share it."""
    start, end = analysis.axis_start[axis], analysis.axis_start[axis + 1]
    taken = np.zeros(int(end - start), np.bool_)
    for number in sets:
        one = analysis.sets[number]
        first, last = analysis.member_start[one.first], analysis.member_start[one.first + one.count]
        positions = analysis.member_position[first:last]
        own = np.zeros_like(taken)
        own[positions[(positions >= start) & (positions < end)] - start] = True
        if (taken & own).any():
            return False
        taken |= own
    return True


def _in_lanes(ties: list[Tie]) -> tuple[Tie, ...]:
    """Short ones nearest to the names; two that overlap never share a lane."""
    taken = np.zeros((LANES, 1 + max((int(tie.rows[-1]) for tie in ties), default=0)), np.bool_)
    placed: list[Tie] = []
    for tie in sorted(ties, key=lambda t: (int(t.rows[-1] - t.rows[0]), int(t.rows[0]))):
        span = slice(int(tie.rows[0]), int(tie.rows[-1]) + 1)
        lane = next((n for n in range(LANES) if not taken[n, span].any()), -1)
        if lane >= 0:
            taken[lane, span] = True
        placed.append(replace(tie, lane=lane))
    return tuple(placed)
