"""Measures the costs that a goal limits, for one plan or many that differ by a step. Numpy only.

Parameters, MACs and bytes of a file are sums of terms: a constant times the kept sizes of axes, gone with a block. So
only the terms of what is limited are computed. The peak of the activations is no sum
(`structures/memory.py`), and a latency is what a table of measured blocks predicts (`targets/latency_table.py`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..structures.analysis import Analysis, Mask
from ..structures.costs import kept_sizes
from ..structures.memory import memory
from ..targets.latency_table import LatencyTable, running_blocks, vanishing_blocks
from .protocol import BYTES, Cost

Amounts = NDArray[np.int64]
"""[K] an amount of each cost."""


@dataclass(frozen=True, slots=True)
class CostMeter:
    """K costs as sums of N terms.

    Attributes:
        analysis: What can be removed.
        costs: [K] what is measured.
        constant: [N, K] of each term in each cost.
        axes: [N, R] axes whose kept sizes multiply it, -1 where unused.
        blocks: [*, 2] (structure, term): terms that vanish with a block.
        latencies: Where a latency is measured; the last terms are its fused blocks then, which cost nothing else.
    """

    analysis: Analysis
    costs: tuple[Cost, ...]
    constant: NDArray[np.int64]
    axes: NDArray[np.int32]
    blocks: NDArray[np.int64]
    latencies: LatencyTable | None = None

    @property
    def peak(self) -> int:
        """Column of the peak of the activations, -1 where it is not measured."""
        return self.costs.index(Cost.PEAK) if Cost.PEAK in self.costs else -1

    @property
    def latency(self) -> int:
        """Column of the latency, -1 where it is not measured."""
        return self.costs.index(Cost.LATENCY) if Cost.LATENCY in self.costs else -1

    def measure(self, removed: Mask) -> Amounts:
        """[K] what a plan costs."""
        kept = kept_sizes(self.analysis, removed)
        each = kept[self.axes].prod(axis=1)
        # A block's terms vanish whole: its axes may belong to others and keep their sizes.
        each[self.blocks[removed[self.blocks[:, 0]], 1]] = 0
        total = each @ self.constant
        if self.peak >= 0:
            total[self.peak] = memory(self.analysis, removed).peak
        if self.latencies is not None and self.latency >= 0:
            found = predict_latency(self.analysis, self.latencies, removed, kept)
            if found is None:
                raise no_blocks()
            total[self.latency] = found
        return total

    def sums(self, kept: NDArray[np.int64], alive: NDArray[np.bool_]) -> NDArray[np.int64]:
        """[M, K] costs of plans given by what their axes keep [M, A + 1] and which terms stay [M, N]; peaks are 0."""
        total = ((kept[:, self.axes].prod(axis=2) * alive) @ self.constant).astype(np.int64)
        if self.latencies is not None and self.latency >= 0:
            fused = alive[:, len(self.constant) - len(self.latencies.blocks) :]
            total[:, self.latency] = self.latencies.nanoseconds(kept, fused)
        return total


def meter_of(
    analysis: Analysis, costs: tuple[Cost, ...], dtype: str = "float32", latencies: LatencyTable | None = None
) -> CostMeter:
    """A meter of these costs; `dtype` of the weights in a file, and `latencies` where one of the costs is a latency."""
    if Cost.LATENCY in costs and latencies is None:
        template = "A latency limit needs a latency table of the target. Measure it first."
        raise PlanError("plan.no_latencies", template)
    if dtype not in BYTES:
        known = ", ".join(BYTES)
        raise PlanError("plan.dtype", "Unknown weight type {dtype}. Choose one of {known}.", known=known, dtype=dtype)
    # For each origin of terms: what they add to which cost, the axes that multiply them, blocks that they vanish with.
    origins = list[tuple[dict[Cost, NDArray[np.int64]], NDArray[np.int32], NDArray[np.int64]]]()
    if Cost.MACS in costs:
        operators = analysis.operators
        origins.append(({Cost.MACS: operators.constant}, operators.axes, analysis.block_operator.astype(np.int64)))
    if Cost.PARAMETERS in costs or Cost.SIZE in costs:
        rank = max((len(tensor.shape) for tensor in analysis.tensors), default=1) or 1
        lying = np.full((len(analysis.tensors), rank), -1, np.int32)
        # Elements of a tensor that no axis expresses.
        elements = np.ones(len(analysis.tensors), np.int64)
        for number, tensor in enumerate(analysis.tensors):
            for dim, (length, axis) in enumerate(zip(tensor.shape, tensor.axes, strict=True)):
                lying[number, dim] = axis
                elements[number] *= length if axis < 0 else 1
        learned = np.array([tensor.parameter for tensor in analysis.tensors], np.int64)
        weights = {Cost.PARAMETERS: elements * learned, Cost.SIZE: elements * BYTES[dtype]}
        origins.append((weights, lying, analysis.block_tensor.astype(np.int64)))
    if latencies is not None and Cost.LATENCY in costs:
        # Fused blocks of a runtime cost nothing in other units; they are terms only so that a removed block switches
        # them off.
        no_axis = np.full((len(latencies.blocks), 1), -1, np.int32)
        origins.append(({}, no_axis, vanishing_blocks(analysis, latencies)))
    count = sum(len(part) for _, part, _ in origins)
    axes = np.full((count, max((part.shape[1] for _, part, _ in origins), default=1)), -1, np.int32)
    constant, blocks, start = np.zeros((count, len(costs)), np.int64), [np.zeros((0, 2), np.int64)], 0
    for amounts, part, held in origins:
        stop = start + len(part)
        for column, cost in enumerate(costs):
            constant[start:stop, column] = amounts.get(cost, 0)
        axes[start:stop, : part.shape[1]] = part
        blocks.append(held + np.array([0, start]))
        start = stop
    return CostMeter(analysis, costs, constant, axes, np.concatenate(blocks), latencies)


def predict_latency(
    analysis: Analysis, table: LatencyTable, removed: Mask, kept: NDArray[np.int64] | None = None
) -> int | None:
    """Nanoseconds without the `removed` [S]; None where whole blocks go and the table knows not what goes with them."""
    kept = kept_sizes(analysis, removed) if kept is None else kept
    held = removed[analysis.block_tensor[:, 0]].any() or removed[analysis.block_operator[:, 0]].any()
    if held and not table.homes:
        return None
    alive = running_blocks(analysis, table, removed)[None] if held else None
    return int(table.nanoseconds(kept[None], alive)[0])


def no_blocks() -> PlanError:
    """The error for a limit of the latency where whole blocks go that the target's runtime does not name."""
    template = "The latency without whole blocks cannot be predicted on this target. Limit MACs instead."
    return PlanError("plan.latency_blocks", template)
