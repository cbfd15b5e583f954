"""The rows of the Layers tab as flat arrays: what of a layer never changes, and what the present plan makes of it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secateur.engine.masks.learned_gates import LearnedGates
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import Costs, kept_sizes

from ...widgets.score_map import ScoreScale
from ..tree.figures import Figures
from ..tree.rows import Rows

LANES = 6
"""How many ties can be drawn side by side; what finds no lane is drawn while it is selected."""


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
    # Rows whose outputs are on a set, by set; the outputs of a layer are the first axis of its first parameter.
    own: dict[str, int] = {}
    for number, tensor in enumerate(analysis.tensors):
        if tensor.parameter and tensor.shape:
            own.setdefault(tensor.module, number)
    row_by_tensor = {own[module]: row for module, row in row_of.items() if module in own}
    writers: dict[int, tuple[int, ...]] = {}
    for number, one in enumerate(analysis.sets):
        rows = {row_by_tensor[tensor] for tensor, dim in one.touches if dim == 0 and tensor in row_by_tensor}
        if rows:
            writers[number] = tuple(sorted(rows))
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}
    for number, rows in writers.items():
        shared[rows] = (*shared.get(rows, ()), number)
    ties = [Tie(np.array(rows), sets, False) for rows, sets in shared.items() if len(rows) > 1]
    first = {number: rows[0] for number, rows in writers.items()}
    ties += _concatenation_ties(analysis, row_of, first)
    # Short ones are nearest to the names; two that overlap never share a lane.
    taken = np.zeros((LANES, 1 + max((int(tie.rows[-1]) for tie in ties), default=0)), np.bool_)
    placed: list[Tie] = []
    for tie in sorted(ties, key=lambda t: (int(t.rows[-1] - t.rows[0]), int(t.rows[0]))):
        span = slice(int(tie.rows[0]), int(tie.rows[-1]) + 1)
        lane = next((n for n in range(LANES) if not taken[n, span].any()), -1)
        if lane >= 0:
            taken[lane, span] = True
        placed.append(replace(tie, lane=lane))
    return tuple(placed)


def _concatenation_ties(analysis: Analysis, row_of: dict[str, int], first: dict[int, int]) -> list[Tie]:
    """Sets that are concatenated on the axis that a layer reads."""
    readers: dict[int, list[int]] = {}
    for number, one in enumerate(analysis.sets):
        for tensor, dim in one.touches:
            if dim == 1 and analysis.tensors[tensor].module in row_of:
                readers.setdefault(tensor, []).append(number)
    found: dict[tuple[int, ...], Tie] = {}
    for tensor, sets in readers.items():
        several = tuple(dict.fromkeys(n for n in sets if n in first))
        if len(several) < 2 or several in found:
            continue
        # Concatenated sets have parts of the axis of their own; two factors of one axis (heads, dimensions) share it.
        axis = analysis.tensors[tensor].axes[1]
        start, end = analysis.axis_start[axis], analysis.axis_start[axis + 1]
        holders = np.zeros(int(end - start), np.int64)
        for number in several:
            one = analysis.sets[number]
            begin, stop = analysis.member_start[one.first], analysis.member_start[one.first + one.count]
            positions = np.unique(analysis.member_position[begin:stop])
            holders[positions[(positions >= start) & (positions < end)] - start] += 1
        if holders.max(initial=0) < 2:
            rows = {first[number] for number in several} | {row_of[analysis.tensors[tensor].module]}
            found[several] = Tie(np.array(sorted(rows)), several, True)
    return [tie for tie in found.values() if len(tie.rows) > 1]


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Layers:
    """R layers, in the order of the tree.

    Attributes:
        node: [R] row of the tree.
        modules: Paths.
        details: A few words for each.
        width: [R] outputs in the original.
        axis: [R] axis of the outputs, -1 where they are fixed.
        sets: [R] coupled set of the outputs, -1 for none.
        tensor_row: [T] layer that a parameter belongs to, R for none and for buffers.
        ties: What joins them.
    """

    node: Ints
    modules: tuple[str, ...]
    details: tuple[str, ...]
    width: Ints
    axis: Ints
    sets: NDArray[np.int32]
    tensor_row: Ints
    ties: tuple[Tie, ...]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Rows by module path."""
        return {module: row for row, module in enumerate(self.modules)}

    @cached_property
    def spans(self) -> Ints:
        """[T, 2] the first and the last row of each tie."""
        return np.array([(tie.rows[0], tie.rows[-1]) for tie in self.ties], np.int64).reshape(-1, 2)

    @cached_property
    def lanes(self) -> int:
        """How many ties are drawn side by side."""
        return max((tie.lane + 1 for tie in self.ties), default=0)

    def ties_of(self, row: int) -> list[Tie]:
        """The ties that a row is part of."""
        inside = np.flatnonzero((self.spans[:, 0] <= row) & (self.spans[:, 1] >= row))
        return [self.ties[n] for n in inside if row in self.ties[n].rows]


def layers_of(analysis: Analysis, rows: Rows) -> Layers:
    """All layers: modules with outputs of their own."""
    nodes = [node for node in range(rows.module_count) if rows.axis[node] >= 0 or rows.fixed[node] >= 0]
    node = np.array(nodes, np.int64)
    axis = rows.axis[node].astype(np.int64) if len(node) else np.zeros(0, np.int64)
    modules = tuple(rows.modules[n] for n in nodes)
    row_of = {module: row for row, module in enumerate(modules)}
    lengths = np.diff(analysis.axis_start)
    fixed = [analysis.fixed[rows.fixed[n]].count if rows.axis[n] < 0 else int(lengths[rows.axis[n]]) for n in nodes]
    sets = np.maximum(rows.owner[node], rows.lead[node]).astype(np.int32) if len(node) else np.zeros(0, np.int32)
    owners = [row_of.get(t.module, len(nodes)) if t.parameter else len(nodes) for t in analysis.tensors]
    return Layers(
        node=node,
        modules=modules,
        details=tuple(rows.details[n] for n in nodes),
        width=np.array(fixed, np.int64),
        axis=np.where(sets >= 0, axis, -1),
        sets=sets,
        tensor_row=np.array(owners, np.int64),
        ties=ties_of(analysis, row_of),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What the current state and the plan make of R layers.

    Attributes:
        present: [R] outputs that the current state has.
        kept: [R] outputs that the plan leaves.
        locked: [R] structures of the state that are locked.
        scores: [R] mean score of what the current state has, NaN unknown.
        fractions: [R] the same on the scale, 0..1.
        macs: [R] share of the plan's multiply-accumulates.
        parameters: [R] share of the plan's parameters.
        scale: From scores to words.
        open: [R] gates that are open on average while masks are learned, NaN where none are.
        final: [R] how many of them will be, -1 where none are learned.
    """

    present: Ints
    kept: Ints
    locked: Ints
    scores: Floats
    fractions: Floats
    macs: Floats
    parameters: Floats
    scale: ScoreScale
    open: Floats
    final: Ints


def plan_of(
    analysis: Analysis,
    rows: Rows,
    layers: Layers,
    removed: Mask,
    locked: Mask,
    figures: Figures,
    plan: Costs,
    gates: LearnedGates | None = None,
) -> Plan:
    """Count all layers again; with gates of masks that are learned, what is open on average counts as kept."""
    count, fixed = len(layers.node), layers.axis < 0
    before = kept_sizes(analysis, removed)
    present = np.where(fixed, layers.width, before[layers.axis])
    kept = np.where(fixed, layers.width, figures.outputs[layers.axis])
    shown = rows.set_node[np.maximum(layers.sets, 0)] if len(rows.set_node) else np.zeros(count, np.int32)
    scores = np.where(layers.sets >= 0, figures.node_scores[shown], np.nan) if count else np.zeros(0)
    sizes = plan.tensor_sizes.astype(np.float64)
    parameters = np.bincount(layers.tensor_row, weights=sizes, minlength=count + 1)[:count]
    macs, total = figures.shares[layers.node], max(plan.parameters, 1)
    open, final = np.full(count, np.nan), np.full(count, -1)
    if gates is not None and count:
        owned, number = layers.sets >= 0, np.maximum(layers.sets, 0)
        open = np.where(owned, rows.by_set(gates.open.astype(np.float64))[number], np.nan)
        final = np.where(owned, gates.final[number], -1)
        sizes_of = np.array([one.count for one in analysis.sets], np.float64)
        kept = np.where(owned, np.rint(np.nan_to_num(open) / sizes_of[number] * layers.width), kept).astype(np.int64)
    fractions = figures.node_scale.fractions(scores)
    shut = np.bincount(analysis.set_numbers(), weights=locked & ~removed, minlength=len(analysis.sets) + 1)
    # A layer without a set (-1) reads the last entry, which is 0.
    shut = shut[layers.sets].astype(np.int64)
    return Plan(present, kept, shut, scores, fractions, macs, parameters / total, figures.scale, open, final)
