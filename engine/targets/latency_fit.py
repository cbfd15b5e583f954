"""Fits a latency table to samples: seconds of each kind of fused block by its widths, and the overhead. Numpy only.

A runtime names what it runs after the operators in it, which have names for that
(`export/name_fused_blocks.py`): the same name means the same block in every cut model. What it adds in some of them
only (a change of layout between two blocks) counts to the block that follows.

Blocks of one shape share their measurements. Their times are fitted by products of widths with coefficients that are
not negative (least squares of relative errors); the sum over all blocks is then set against the times of the whole
models, which are measured without a profiler, by a factor and an overhead.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import SecateurError
from .latency_table import LatencySample, LatencyTable, TableErrors, block_of, is_block
from .protocol import Kernel, TargetSpec

LEAST = 5
"""The fewest samples that make a table."""
SMALL = 0.02
"""Blocks below this share of the mean block are not fitted to relative errors: their times are whole microseconds."""
FACTOR = (0.5, 2.0)
"""Bounds of what the sum of the blocks is multiplied by: profiled blocks are slower, and run in another order."""
MIXED = 16
"""What widths are rounded up to where a runtime pads them in some of the models."""
PADDINGS = (1, 4, 8, 16, 32, 64)
"""What runtimes round widths up to."""

Monomial: TypeAlias = tuple[int, ...]
"""Numbers of the widths that are multiplied with each other, () for a constant."""


@dataclass(frozen=True, slots=True)
class BlockWidth:
    """A size in a block that changes with the plan: kept positions of an axis, padded.

    A negative padding rounds down: with the whole width it tells an axis that keeps everything from all others, which
    runtimes compute otherwise where only these are multiples of what they like.
    """

    axis: int
    padding: int


@dataclass(frozen=True, slots=True)
class FusedBlock:
    """A fused block in K samples.

    Attributes:
        name: The runtime's.
        kind: The runtime's word for what it computes.
        shape: Equal for blocks that compute the same at other widths: their times belong to one table.
        widths: What its sizes depend on.
        monomials: Products of widths that its time is made of.
        features: [K, monomials] these products.
        seconds: [K] measured.
        alike: [K] the samples in which it computes this; a runtime may do another thing at some widths.
    """

    name: str
    kind: str
    shape: tuple[object, ...]
    widths: tuple[BlockWidth, ...]
    monomials: tuple[Monomial, ...]
    features: NDArray[np.float64]
    seconds: NDArray[np.float64]
    alike: NDArray[np.bool_]


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
    # The original ran in turns with each sample: its time tells at which speed the machine was.
    usual, at_one_speed = float(np.median([sample.original for sample in samples])), list[LatencySample]()
    for one in samples:
        faster = usual / one.original
        kernels = tuple(replace(kernel, seconds=faster * kernel.seconds) for kernel in one.kernels)
        at_one_speed.append(replace(one, seconds=faster * one.seconds, wall=faster * one.wall, kernels=kernels))
    blocks, whole = blocks_of(at_one_speed), np.array([sample.seconds for sample in at_one_speed])
    everything = np.arange(len(samples))
    coefficients, overhead = _fit_blocks(blocks, whole, everything)
    errors = list[float]()
    for k in everything[1:]:  # each sample, predicted from all others
        of_others, more = _fit_blocks(blocks, whole, np.delete(everything, k))
        each = (block.features[k] @ some for block, some in zip(blocks, of_others, strict=True))
        errors.append(float((float(sum(each)) + more) / whole[k]) - 1)
    busy = float(np.median([sample.wall / sample.seconds for sample in at_one_speed])) - 1
    terms: list[tuple[float, list[int], list[int], int]] = []
    for number, (block, some) in enumerate(zip(blocks, coefficients, strict=True)):
        for monomial, constant in zip(block.monomials, some, strict=True):
            if constant > 0:
                widths = [block.widths[n] for n in monomial] + [None] * (2 - len(monomial))
                axes = [-1 if w is None else w.axis for w in widths]
                terms.append((constant * 1e9, axes, [1 if w is None else w.padding for w in widths], number))
    return LatencyTable(
        target,
        machine,
        multiple,
        original=round(float(whole[0]) * 1e9),
        overhead=overhead * 1e9,
        constant=np.array([term[0] for term in terms]),
        axes=np.array([term[1] for term in terms], np.int32).reshape(-1, 2),
        padding=np.array([term[2] for term in terms], np.int32).reshape(-1, 2),
        block=np.array([term[3] for term in terms], np.int32),
        blocks=tuple((block.name, block.kind) for block in blocks),
        trust=TableErrors(tuple(errors), itself, max(busy, 0.0)),
    )


def _fit_blocks(
    blocks: list[FusedBlock], whole: NDArray[np.float64], known: NDArray[np.int64]
) -> tuple[list[NDArray[np.float64]], float]:
    """Coefficients [monomials] of each block and the overhead, in seconds, fitted to the samples `known` alone."""
    from scipy import optimize  # Slow to import, and a session rarely measures latencies.

    library: Any = optimize  # its types are not known
    shared: dict[tuple[object, ...], list[FusedBlock]] = defaultdict(list)
    for block in blocks:
        shared[block.shape].append(block)
    floor = SMALL * float(np.mean([block.seconds.mean() for block in blocks])) if blocks else 0.0
    by_shape = dict[tuple[object, ...], NDArray[np.float64]]()
    for shape, alike in shared.items():
        seen = [known[block.alike[known]] for block in alike]
        features = np.concatenate([block.features[some] for block, some in zip(alike, seen, strict=True)])
        seconds = np.concatenate([block.seconds[some] for block, some in zip(alike, seen, strict=True)])
        scale, weight = np.maximum(np.abs(features).max(axis=0), 1e-30), 1 / np.maximum(seconds, max(floor, 1e-12))
        # No coefficient is negative: a plan that keeps less is then never predicted to be slower.
        found: NDArray[np.float64] = library.nnls(features / scale * weight[:, None], seconds * weight)[0]
        by_shape[shape] = found / scale
    coefficients = [by_shape[block.shape] for block in blocks]
    sums = np.zeros(len(whole))
    for block, some in zip(blocks, coefficients, strict=True):
        sums += block.features @ some
    factor, overhead = _fit_line(sums[known], whole[known])
    return [factor * some for some in coefficients], overhead


def _fit_line(sums: NDArray[np.float64], whole: NDArray[np.float64]) -> tuple[float, float]:
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


def blocks_of(samples: Sequence[LatencySample]) -> list[FusedBlock]:
    """The blocks that all samples have, in the order of the first one's run."""
    by_name = list[dict[str, Kernel]]()
    for sample in samples:
        # The first kernel of each block computes most in it. What a runtime of files adds it counts as it likes, so
        # that its names for that mean nothing in another file.
        of_a_file = any(is_block(one.name) for one in sample.kernels)
        by_name.append({})
        for one in sample.kernels:
            if is_block(one.name) or not of_a_file:
                by_name[-1].setdefault(block_of(one.name), one)
    common = [name for name in by_name[0] if all(name in some for some in by_name)]
    times = list[dict[str, float]]()
    for sample in samples:
        # Each with what ran since the one before, the last with what follows it.
        seconds, waiting, last = dict.fromkeys(common, 0.0), 0.0, ""
        for one in sample.kernels:
            waiting, name = waiting + one.seconds, block_of(one.name)
            if name in seconds:
                seconds[name], waiting, last = seconds[name] + waiting, 0.0, name
        if last:
            seconds[last] += waiting
        times.append(seconds)
    kept = np.stack([sample.kept for sample in samples])
    return [_block(name, [some[name] for some in by_name], [some[name] for some in times], kept) for name in common]


def _block(name: str, seen: Sequence[Kernel], seconds: Sequence[float], kept: NDArray[np.int64]) -> FusedBlock:
    """One block, seen in every sample."""
    every = [tuple(len(shape) for shape in one.sizes) for one in seen]
    ranks = Counter(every).most_common(1)[0][0]
    alike = np.array([one == ranks for one in every])
    some, here = [one for one, same in zip(seen, alike, strict=True) if same], kept[alike]
    flat = np.array([[size for shape in one.sizes for size in shape] for one in some], np.int64)
    widths, pattern = list[BlockWidth](), list[int | tuple[int, float]]()
    for column in flat.reshape(len(some), -1).T:
        width = None if (column == column[0]).all() else _width(column, here)
        if width is None:
            pattern.append(int(column[0]))
            continue
        if width not in widths:
            widths.append(width)
        factor = float(column[0] / _pad(here[0, width.axis], width.padding))
        pattern.append((widths.index(width), factor))
    monomials, count = _monomials(some[0], pattern, len(widths)), len(widths)
    odd = list[int]()
    for n, width in enumerate(widths):
        axis = kept[:, width.axis]  # the whole width first: odd where it is no multiple of what all others are
        narrower = axis[axis < axis[0]]
        if narrower.size and int(axis[0]) % int(np.gcd.reduce(narrower)):
            odd.append(n)
    for n in odd:
        others = [other for other in range(count) if other != n]
        monomials += ((len(widths),), *((len(widths), other) for other in others))
        widths.append(BlockWidth(widths[n].axis, -int(kept[0, widths[n].axis])))
    sizes = np.stack([_pad(kept[:, w.axis], w.padding) for w in widths], axis=1) if widths else kept[:, :0]
    columns = [sizes[:, list(monomial)].prod(axis=1) for monomial in monomials]
    features = np.stack(columns, axis=1).astype(np.float64)
    shape = (some[0].kind, ranks, *pattern, *odd)
    return FusedBlock(name, some[0].kind, shape, tuple(widths), monomials, features, np.array(seconds), alike)


def _width(column: NDArray[np.int64], kept: NDArray[np.int64]) -> BlockWidth | None:
    """The axis whose kept sizes, padded, a size is a constant multiple of; None where there is none."""
    for padding in PADDINGS:
        padded = _pad(kept[:, :-1], padding)
        fits = (padded * column[0] == padded[0] * column[:, None]).all(axis=0) & (padded[0] > 0)
        if fits.any():
            return BlockWidth(int(np.flatnonzero(fits)[0]), padding)
    least, most = kept[:, :-1], _pad(kept[:, :-1], MIXED)  # padded in some models only: the axis alone is known
    between = ((least <= column[:, None]) & (column[:, None] <= most)).all(axis=0) & (least != least[0]).any(axis=0)
    off = np.where(between, np.abs(most - column[:, None]).sum(axis=0), np.iinfo(np.int64).max)
    return BlockWidth(int(np.argmin(off)), MIXED) if between.any() else None


def _pad(sizes: NDArray[np.int64], padding: int) -> NDArray[np.int64]:
    return -(-sizes // padding) * padding


def _monomials(kernel: Kernel, pattern: Sequence[int | tuple[int, float]], count: int) -> tuple[Monomial, ...]:
    """A constant, each width, each product of two, and the square of one that a single tensor has twice."""
    found: list[Monomial] = [(), *((n,) for n in range(count)), *combinations(range(count), 2)]
    start = 0
    for shape in kernel.sizes:
        here = [one[0] for one in pattern[start : start + len(shape)] if isinstance(one, tuple)]
        found += [(n, n) for n in range(count) if here.count(n) > 1 and (n, n) not in found]
        start += len(shape)
    return tuple(found)
