"""Fits a latency table to samples: seconds of each kind of fused block by its widths, and the overhead.

Blocks of one shape share their measurements. Their times are fitted by products of widths with coefficients that are
not negative (least squares of relative errors); the sum over all blocks is then set against the times of the whole
models, which are measured without a profiler, by a factor and an overhead.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SecateurError
from ..targets.protocol import TargetSpec
from .fused_blocks import FusedBlock, blocks_of
from .protocol import LatencySample, LatencyTable, TableErrors

LEAST = 5
"""Samples without which there is no table."""
SMALL = 0.02
"""Blocks below this share of the mean block are not fitted to relative errors: their times are whole microseconds."""
FACTOR = (0.5, 2.0)
"""Bounds of what the sum of the blocks is multiplied by: profiled blocks are slower, and run in another order."""


def fit(
    samples: Sequence[LatencySample], target: TargetSpec, machine: str, multiple: int, itself: float
) -> LatencyTable:
    """The table of some samples.

    Args:
        samples: Cut models at several widths, the original first.
        target: What they were measured on.
        machine: In words.
        multiple: Of the widths in them.
        itself: Relative difference of the original against itself.

    Raises:
        SecateurError: There are too few samples.
    """
    if len(samples) < LEAST:
        template = (
            "Only {count} cut models could be measured; a latency table needs {least}. Limit another cost, for "
            "example MACs."
        )
        raise SecateurError("latency.samples", template, count=len(samples), least=LEAST)
    samples = _at_one_speed(samples)
    blocks, whole = blocks_of(samples), np.array([sample.seconds for sample in samples])
    everything = np.arange(len(samples))
    fitted = _fitted(blocks, whole, everything)
    errors = [float(_fitted(blocks, whole, np.delete(everything, k)).total(k) / whole[k]) - 1 for k in everything[1:]]
    busy = float(np.median([sample.wall / sample.seconds for sample in samples])) - 1
    original = round(float(whole[0]) * 1e9)
    constant, axes, padding, block, names = fitted.terms()
    return LatencyTable(
        target,
        machine,
        multiple,
        original,
        overhead=fitted.overhead * 1e9,
        constant=constant,
        axes=axes,
        padding=padding,
        block=block,
        blocks=names,
        trust=TableErrors(tuple(errors), itself, max(busy, 0.0)),
    )


def _at_one_speed(samples: Sequence[LatencySample]) -> list[LatencySample]:
    """The samples at the speed that the machine had in the median: the original, which ran beside each, tells."""
    usual, found = float(np.median([sample.original for sample in samples])), list[LatencySample]()
    for one in samples:
        faster = usual / one.original
        kernels = tuple(replace(kernel, seconds=faster * kernel.seconds) for kernel in one.kernels)
        found.append(replace(one, seconds=faster * one.seconds, wall=faster * one.wall, kernels=kernels))
    return found


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Coefficients [monomials] of each block in seconds, already multiplied by the factor, and the overhead."""

    blocks: list[FusedBlock]
    coefficients: list[NDArray[np.float64]]
    overhead: float

    def total(self, number: int) -> float:
        """Seconds of a sample."""
        each = (_features(b)[number] @ c for b, c in zip(self.blocks, self.coefficients, strict=True))
        return float(sum(each)) + self.overhead

    def terms(
        self,
    ) -> tuple[
        NDArray[np.float64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], tuple[tuple[str, str], ...]
    ]:
        """Constants in nanoseconds, axes, paddings and blocks of all terms, as a table has them."""
        rows: list[tuple[float, list[int], list[int], int]] = []
        for number, (block, coefficients) in enumerate(zip(self.blocks, self.coefficients, strict=True)):
            for monomial, constant in zip(block.monomials, coefficients, strict=True):
                if constant > 0:
                    widths = [block.widths[n] for n in monomial] + [None] * (2 - len(monomial))
                    axes = [-1 if w is None else w.axis for w in widths]
                    rows.append((constant * 1e9, axes, [1 if w is None else w.padding for w in widths], number))
        constant = np.array([row[0] for row in rows])
        axes = np.array([row[1] for row in rows], np.int32).reshape(-1, 2)
        padding = np.array([row[2] for row in rows], np.int32).reshape(-1, 2)
        names = tuple((block.name, block.kind) for block in self.blocks)
        return constant, axes, padding, np.array([row[3] for row in rows], np.int32), names


def _fitted(blocks: list[FusedBlock], whole: NDArray[np.float64], known: NDArray[np.int64]) -> _Fitted:
    """Fitted to some of the samples alone."""
    shared: dict[tuple[object, ...], list[FusedBlock]] = defaultdict(list)
    for block in blocks:
        shared[block.shape].append(block)
    floor = SMALL * float(np.mean([block.seconds.mean() for block in blocks])) if blocks else 0.0
    found = {shape: _coefficients(alike, known, floor) for shape, alike in shared.items()}
    coefficients = [found[block.shape] for block in blocks]
    sums = np.zeros(len(whole))
    for block, some in zip(blocks, coefficients, strict=True):
        sums += _features(block) @ some
    factor, overhead = _calibrated(sums[known], whole[known])
    return _Fitted(blocks, [factor * some for some in coefficients], overhead)


def _coefficients(alike: list[FusedBlock], known: NDArray[np.int64], floor: float) -> NDArray[np.float64]:
    """[monomials] of blocks of one shape, from all of their measurements."""
    from scipy import optimize  # Slow to import, and a session rarely measures latencies.

    seen = [known[block.alike[known]] for block in alike]
    features = np.concatenate([_features(block)[some] for block, some in zip(alike, seen, strict=True)])
    seconds = np.concatenate([block.seconds[some] for block, some in zip(alike, seen, strict=True)])
    library: Any = optimize  # its types are not known
    scale, weight = np.maximum(np.abs(features).max(axis=0), 1e-30), 1 / np.maximum(seconds, max(floor, 1e-12))
    found: NDArray[np.float64] = library.nnls(features / scale * weight[:, None], seconds * weight)[0]
    return found / scale


def _features(block: FusedBlock) -> NDArray[np.float64]:
    """[K, monomials]."""
    columns = [block.sizes[:, list(monomial)].prod(axis=1) for monomial in block.monomials]
    return np.stack(columns, axis=1).astype(np.float64)


def _calibrated(sums: NDArray[np.float64], whole: NDArray[np.float64]) -> tuple[float, float]:
    """(factor, overhead) between the sums of blocks and whole models, by least absolute relative errors."""
    features, weight = np.stack([sums, np.ones_like(sums)], axis=1) / whole[:, None], np.ones(len(whole))
    factor, overhead = 1.0, 0.0
    for _ in range(20):  # iteratively reweighted: one disturbed sample must not bend the line
        root = np.sqrt(weight)
        factor, overhead = np.linalg.lstsq(features * root[:, None], root, rcond=None)[0].tolist()
        weight = 1 / np.maximum(np.abs(features @ [factor, overhead] - 1), 0.01)
    if not FACTOR[0] <= factor <= FACTOR[1]:
        factor = float(np.clip(factor, *FACTOR))
        overhead = float(np.median(whole - factor * sums))
    return factor, overhead
