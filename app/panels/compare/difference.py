"""How two models differ, row by row: what each keeps and costs, and the change; in numpy, whole arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import Costs, kept_sizes

from ..tree.rows import Rows

Ints = NDArray[np.int64]
SAME, REMOVED, ADDED, NARROWER, WIDER, OTHERS, COSTS = range(7)
"""How the right model differs from the left in a row: not at all; the row is gone, or back; it keeps fewer, or more;
as many, but others; it keeps the same and costs something else."""


@dataclass(frozen=True, slots=True)
class Difference:
    """N nodes, S structures; of two models, the left one first.

    Attributes:
        gone: [2, S] what each lacks.
        kept: [2, N] outputs or structures that a row keeps, -1 where it has none of its own.
        macs: [2, N] multiply-accumulates in or below a row.
        parameters: [2, N] the same.
        others: [N] structures that only the right one keeps.
        kinds: [N] how the row differs.
        structures: [S] how the structure differs (SAME, REMOVED or ADDED).
    """

    gone: NDArray[np.bool_]
    kept: Ints
    macs: Ints
    parameters: Ints
    others: Ints
    kinds: NDArray[np.int8]
    structures: NDArray[np.int8]

    @property
    def differing(self) -> NDArray[np.bool_]:
        """[N] rows that differ in what they keep."""
        return (self.kinds != SAME) & (self.kinds != COSTS)


def difference_of(analysis: Analysis, rows: Rows, left: tuple[Mask, Costs], right: tuple[Mask, Costs]) -> Difference:
    """Compare two models of one analysis, each by what it lacks and what it costs."""
    both = (left, right)
    gone = np.stack([mask for mask, _ in both])
    kept = np.stack([_kept(analysis, rows, mask) for mask, _ in both])
    macs = np.stack([_macs(rows, costs) for _, costs in both])
    sizes = [np.where(rows.parameters, costs.tensor_sizes, 0) for _, costs in both]
    parameters = np.stack([rows.summed(one) for one in sizes])
    only_right = rows.by_set(gone[0] & ~gone[1])
    named = np.maximum(rows.owner, rows.lead)
    others = np.where(named >= 0, only_right[np.maximum(named, 0)], 0) if len(only_right) else np.zeros_like(kept[0])
    kinds = _kinds(kept, macs, parameters, others)
    structures = np.where(gone[0] == gone[1], SAME, np.where(gone[1], REMOVED, ADDED)).astype(np.int8)
    return Difference(gone, kept, macs, parameters, others, kinds, structures)


def _macs(rows: Rows, costs: Costs) -> Ints:
    """[N] multiply-accumulates in or below each row."""
    nodes, below = rows.below_operator
    weights = costs.operator_macs[below].astype(np.float64)
    return np.bincount(nodes, weights=weights, minlength=rows.count).astype(np.int64)


def _kept(analysis: Analysis, rows: Rows, gone: Mask) -> Ints:
    """[N] outputs of what has an axis of its own, structures of a set in a row of its own, -1 for the rest."""
    of_set, sizes = np.append(rows.by_set(~gone), 0), kept_sizes(analysis, gone)
    along = np.where(rows.lead >= 0, sizes[rows.axis], -1)
    return np.where(rows.owner >= 0, of_set[rows.owner], along)


def _kinds(kept: Ints, macs: Ints, parameters: Ints, others: Ints) -> NDArray[np.int8]:
    costly = (macs[0] + parameters[0] > 0) & (macs[1] + parameters[1] == 0)
    back = (macs[1] + parameters[1] > 0) & (macs[0] + parameters[0] == 0)
    narrower, wider = kept[1] < kept[0], kept[1] > kept[0]
    changed = (macs[0] != macs[1]) | (parameters[0] != parameters[1])
    empty = (kept[1] == 0) & (kept[0] > 0)
    full = (kept[0] == 0) & (kept[1] > 0)
    conditions = [costly | empty, back | full, narrower, wider, others > 0, changed]
    return np.select(conditions, [REMOVED, ADDED, NARROWER, WIDER, OTHERS, COSTS], SAME).astype(np.int8)
