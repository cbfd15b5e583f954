"""Plain data of a latency table: the measured samples and the table that predicts other plans. No torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..targets.protocol import Kernel, TargetSpec


@dataclass(frozen=True, slots=True)
class LatencySample:
    """A plan that was cut, written and measured on the target.

    Attributes:
        kept: [A + 1] what its axes keep (`costs.kept_sizes`).
        seconds: One run.
        original: One run of the original, in turns with it.
        wall: One run by the clock on the wall; longer than `seconds` on one thread where others want the processor.
        kernels: Its fused blocks.
    """

    kept: NDArray[np.int64]
    seconds: float
    original: float
    wall: float
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, slots=True)
class TableErrors:
    """How far a table can be trusted.

    Attributes:
        errors: What the latency of each sample is predicted as from all others, relative to what was measured, less 1.
        itself: The same file against itself: the relative difference of two measurements in turns.
        busy: By how much the clock on the wall was ahead of an undisturbed run, in the median of the samples.
    """

    errors: tuple[float, ...]
    itself: float
    busy: float

    @property
    def median(self) -> float:
        """Of the absolute errors."""
        return float(np.median(np.abs(self.errors))) if self.errors else 0.0

    @property
    def ninetieth(self) -> float:
        """90th percentile of the absolute errors."""
        return float(np.percentile(np.abs(self.errors), 90)) if self.errors else 0.0


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """The latency of any plan: an overhead, and N terms of the fused blocks.

    A term is a constant times the kept sizes of up to R axes, each rounded up to what the runtime pads it to. As the
    constants are not negative, a plan that keeps less is never predicted to be slower.

    Attributes:
        target: Where it holds.
        machine: Processor, cores and runtime version in words.
        multiple: The widths that were measured are multiples of this.
        original: Nanoseconds of the original, as measured.
        overhead: Nanoseconds that no block explains; negative where profiling makes blocks slower than they are, each
            of them: then as much less of it as blocks are gone.
        constant: [N] nanoseconds.
        axes: [N, R] axes whose kept sizes multiply it, -1 where unused.
        padding: [N, R] each of these is rounded up to a multiple of it, where it is negative: down.
        block: [N] which block a term belongs to.
        blocks: Names and kinds of the fused blocks, as the runtime has them.
        trust: How far to trust it.
        homes: The module that each fused block belongs to, "" for none; () where nothing is known of it.
    """

    target: TargetSpec
    machine: str
    multiple: int
    original: int
    overhead: float
    constant: NDArray[np.float64]
    axes: NDArray[np.int32]
    padding: NDArray[np.int32]
    block: NDArray[np.int32]
    blocks: tuple[tuple[str, str], ...]
    trust: TableErrors
    homes: tuple[str, ...] = ()

    def nanoseconds(self, kept: NDArray[np.int64], alive: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """[M] latencies of plans by what their axes keep [M, A + 1] and which fused blocks run [M, blocks]."""
        if alive is None:
            return np.maximum(self.overhead + self._terms(kept) @ self.constant, 0.0).round().astype(np.int64)
        sums = (self._terms(kept) * alive[:, self.block]) @ self.constant
        overhead = min(self.overhead, 0.0) * alive.mean(axis=1) + max(self.overhead, 0.0)
        return np.maximum(overhead + sums, 0.0).round().astype(np.int64)

    def by_block(self, kept: NDArray[np.int64]) -> NDArray[np.float64]:
        """[M, blocks] nanoseconds of each fused block in these plans."""
        found = np.zeros((len(self.blocks), len(kept)))
        np.add.at(found, self.block, (self._terms(kept) * self.constant).T)
        return found.T

    def _terms(self, kept: NDArray[np.int64]) -> NDArray[np.float64]:
        sizes = kept[:, self.axes]
        return (-(-sizes // self.padding) * self.padding).prod(axis=2).astype(np.float64)
