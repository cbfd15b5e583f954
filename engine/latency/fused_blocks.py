"""Matches the fused blocks of several cut models with each other and with the analysis' axes. Numpy only.

A runtime names what it runs after the operators in it, which have names for that
(`export/name_fused_blocks.py`): the same name means the same block in every cut model. What it adds in some of them
only (a change of layout between two blocks) counts to the block that follows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..targets.protocol import Kernel
from .block_names import block_of, is_block
from .protocol import LatencySample

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
        sizes: [K, widths] these sizes.
        monomials: Products of widths that its time is made of.
        seconds: [K] measured.
        alike: [K] the samples in which it computes this; a runtime may do another thing at some widths.
    """

    name: str
    kind: str
    shape: tuple[object, ...]
    widths: tuple[BlockWidth, ...]
    sizes: NDArray[np.int64]
    monomials: tuple[Monomial, ...]
    seconds: NDArray[np.float64]
    alike: NDArray[np.bool_]


def blocks_of(samples: Sequence[LatencySample]) -> list[FusedBlock]:
    """The blocks that all samples have, in the order of the first one's run."""
    by_name = [_named(sample.kernels) for sample in samples]
    common = [name for name in by_name[0] if all(name in some for some in by_name)]
    times = [_attributed(sample.kernels, frozenset(common)) for sample in samples]
    kept = np.stack([sample.kept for sample in samples])
    return [_block(name, [some[name] for some in by_name], [some[name] for some in times], kept) for name in common]


def _named(kernels: Sequence[Kernel]) -> dict[str, Kernel]:
    """The first kernel of each block, which is what computes most in it.

    What a runtime of files adds to them it counts as it likes, so that its names for that mean nothing elsewhere.
    """
    found, of_a_file = dict[str, Kernel](), any(is_block(one.name) for one in kernels)
    for one in kernels:
        if is_block(one.name) or not of_a_file:
            found.setdefault(block_of(one.name), one)
    return found


def _attributed(kernels: Sequence[Kernel], common: frozenset[str]) -> dict[str, float]:
    """Seconds of the common blocks, each with what ran since the one before; the last with what follows it."""
    seconds, waiting, last = dict.fromkeys(common, 0.0), 0.0, ""
    for one in kernels:
        waiting, name = waiting + one.seconds, block_of(one.name)
        if name in common:
            seconds[name], waiting, last = seconds[name] + waiting, 0.0, name
    if last:
        seconds[last] += waiting
    return seconds


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
        if width is not None and width not in widths:
            widths.append(width)
        pattern.append(int(column[0]) if width is None else (widths.index(width), _factor(column, width, here)))
    monomials, count = _monomials(some[0], pattern, len(widths)), len(widths)
    odd = [n for n, width in enumerate(widths) if _is_odd(kept[:, width.axis])]
    for n in odd:
        others = [other for other in range(count) if other != n]
        monomials += ((len(widths),), *((len(widths), other) for other in others))
        widths.append(BlockWidth(widths[n].axis, -int(kept[0, widths[n].axis])))
    sizes = np.stack([_padded(kept[:, w.axis], w.padding) for w in widths], axis=1) if widths else kept[:, :0]
    shape = (some[0].kind, ranks, *pattern, *odd)
    return FusedBlock(name, some[0].kind, shape, tuple(widths), sizes, monomials, np.array(seconds), alike)


def _is_odd(sizes: NDArray[np.int64]) -> bool:
    """Whether the whole width, the first, is no multiple of what all others are multiples of."""
    shared = int(np.gcd.reduce(sizes[sizes < sizes[0]])) if (sizes < sizes[0]).any() else 1
    return int(sizes[0]) % shared > 0


def _width(column: NDArray[np.int64], kept: NDArray[np.int64]) -> BlockWidth | None:
    """The axis whose kept sizes, padded, a size is a constant multiple of; None where there is none."""
    for padding in PADDINGS:
        padded = _padded(kept[:, :-1], padding)
        fits = (padded * column[0] == padded[0] * column[:, None]).all(axis=0) & (padded[0] > 0)
        if fits.any():
            return BlockWidth(int(np.flatnonzero(fits)[0]), padding)
    least, most = kept[:, :-1], _padded(kept[:, :-1], MIXED)  # padded in some models only: the axis alone is known
    between = ((least <= column[:, None]) & (column[:, None] <= most)).all(axis=0) & (least != least[0]).any(axis=0)
    off = np.where(between, np.abs(most - column[:, None]).sum(axis=0), np.iinfo(np.int64).max)
    return BlockWidth(int(np.argmin(off)), MIXED) if between.any() else None


def _factor(column: NDArray[np.int64], width: BlockWidth, kept: NDArray[np.int64]) -> float:
    return float(column[0] / _padded(kept[0, width.axis], width.padding))


def _padded(sizes: NDArray[np.int64], padding: int) -> NDArray[np.int64]:
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
