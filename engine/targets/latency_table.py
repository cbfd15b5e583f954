"""Tables of latencies: what they hold, how they are fitted and predict other plans, and how much time removal saves.

Loads no torch.

A fused block is named "block12" in a runtime's profile, "block12.3" is the fourth node of it. It goes with a removed
block when its module is in one of those that go. What a runtime adds by itself, a change of layout, belongs to none
and stays: a prediction without a block is rather too slow than too fast.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import SecateurError
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs, kept_sizes
from .protocol import Kernel, TargetSpec

BLOCK_NAMES = 2
"""Version of the names of fused blocks: what was measured under other names does not fit."""
_BEFORE = "before "
"""How the name begins that a runtime of modules gives to what runs between two of them, before that of the second."""
_NAME = re.compile(r"block\d+(?=\.)")
HALF = 0.5
"""Of a set: what is removed to see what that saves."""
PAYS = 0.5
"""A step pays where it saves at least this much of what the best step saves of the time for each MAC."""
FLAT = 0.1
"""Removal buys no time where it saves less than this much of the time, for each share of the MACs."""
SEEN = 0.001
"""Shares of the MACs below which nothing can be said."""


@dataclass(frozen=True, slots=True)
class LatencySample:
    """A plan that was cut, written and measured on the target.

    Attributes:
        kept: [A + 1] what its axes keep (`costs.kept_sizes`).
        seconds: One run.
        original: One run of the original, in turns with it.
        wall: Wall time of one run; longer than `seconds` on one thread where others want the processor.
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
        busy: By how much wall time was longer than an undisturbed run, in the median of the samples.
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


def block_name(number: int, part: int) -> str:
    """The name of a node of a block."""
    return f"block{number}.{part}"


def block_of(name: str) -> str:
    """The block that a runtime's name for something means ("block12"); the name itself where it means none."""
    found = _NAME.search(name)
    return found.group() if found else name


def is_block(name: str) -> bool:
    """Whether a runtime's name for something means a block of a file, and not something that the runtime added."""
    return _NAME.search(name) is not None


def module_of(name: str) -> str:
    """The module that a runtime of modules means by a name: "layer1.0.conv1 1" is its first call."""
    return name.removeprefix(_BEFORE).rpartition(" ")[0]


def block_modules(blocks: tuple[tuple[str, str], ...], files: Mapping[str, str] | None) -> tuple[str, ...]:
    """[blocks] the module of each, "" for none.

    Args:
        blocks: Names and kinds of fused blocks.
        files: What an exported file says, module by block; None where a runtime runs modules and names them.
    """
    if files is None:
        return tuple(module_of(name) for name, _ in blocks)
    return tuple(files.get(block_of(name), "") for name, _ in blocks)


def module_times(analysis: Analysis, table: LatencyTable, removed: Mask) -> dict[str, float]:
    """Share of the predicted time of what a plan leaves, 0..1, by module; what belongs to none is left out."""
    kept, alive = kept_sizes(analysis, removed)[None], running_blocks(analysis, table, removed)
    each = table.by_block(kept)[0] * alive
    whole, found = max(float(each.sum()) + max(table.overhead, 0.0), 1.0), dict[str, float]()
    for home, time in zip(table.homes, each.tolist(), strict=False):
        if home:
            found[home] = found.get(home, 0.0) + time / whole
    return found


def running_blocks(analysis: Analysis, table: LatencyTable, removed: Mask) -> NDArray[np.bool_]:
    """[blocks] the fused blocks that a plan leaves."""
    alive, pairs = np.ones(len(table.blocks), np.bool_), vanishing_blocks(analysis, table)
    alive[pairs[removed[pairs[:, 0]], 1]] = False
    return alive


def vanishing_blocks(analysis: Analysis, table: LatencyTable) -> NDArray[np.int64]:
    """[*, 2] (structure, fused block): fused blocks that vanish with a whole block."""
    # By module, the fused blocks of it and of all modules in it.
    held: dict[str, list[int]] = {}
    for number, home in enumerate(table.homes):
        parts = home.split(".")
        for depth in range(1, len(parts) + 1 if home else 0):
            held.setdefault(".".join(parts[:depth]), []).append(number)
    rows = [(one.structure, number) for one in analysis.stand_ins for number in held.get(one.path, ())]
    return np.array(sorted(set(rows)), np.int64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Saving:
    """What half of a set's structures are worth, all else kept.

    Attributes:
        key: Of the set.
        nanoseconds: Predicted to be saved.
        time: The same as a share of the latency before.
        macs: Share of the MACs before that goes.
        flat: Removal there buys no time.
    """

    key: str
    nanoseconds: int
    time: float
    macs: float
    flat: bool


def savings(analysis: Analysis, table: LatencyTable, removed: Mask | None = None) -> tuple[Saving, ...]:
    """What half of every set but blocks is worth, in the order of the model; sets without a half left have no line.

    Args:
        analysis: Of the original.
        table: Of its latencies.
        removed: [S] what is gone already, none without it.
    """
    removed = analysis.empty() if removed is None else removed
    sets = [one for one in analysis.sets if one.kind is not Kind.BLOCK]
    plans = list[Mask]()
    for one in sets:
        plan = removed.copy()
        left = one.first + np.flatnonzero(~removed[one.structures])
        plan[left[: int(HALF * len(left))]] = True
        plans.append(plan)
    kept = np.stack([kept_sizes(analysis, plan) for plan in (removed, *plans)])
    alive = np.broadcast_to(
        running_blocks(analysis, table, removed), (len(kept), len(table.blocks))
    )  # no plan takes a block
    times, before = table.nanoseconds(kept, alive), costs(analysis, removed)
    found: list[Saving] = []
    for one, plan, time in zip(sets, plans, times[1:].tolist(), strict=True):
        after = costs(analysis, plan)
        # What is left went with a whole block.
        if (after.parameters, after.macs) == (before.parameters, before.macs):
            continue
        saved, macs = int(times[0]) - time, 1 - after.macs / max(before.macs, 1)
        share = saved / max(int(times[0]), 1)
        found.append(Saving(one.key, saved, share, macs, macs > SEEN and share < FLAT * macs))
    return tuple(found)


def paying_step(measured: Sequence[tuple[int, float, float]], noise: float) -> int:
    """The fewest structures whose removal from every set saves time as it should; 0 where none does.

    Args:
        measured: For each number of structures the shares of the MACs and of the time that go with them.
        noise: Relative difference of a file against itself: savings below it are none.
    """
    worth = [(size, time / macs) for size, macs, time in measured if macs > SEEN and time > noise]
    best = max((value for _, value in worth), default=0.0)
    return min((size for size, value in worth if value >= PAYS * best), default=0)


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
    # Each sample, predicted from all others.
    for k in everything[1:]:
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
    # Slow to import, and a session rarely measures latencies.
    from scipy import optimize

    # The library has no type stubs.
    library: Any = optimize
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
    # Iteratively reweighted: one disturbed sample must not bend the line.
    for _ in range(20):
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
        # A width is odd where the whole is no multiple of the divisor that all narrower ones share.
        axis = kept[:, width.axis]
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
    # Padded in some models only: the axis alone is known.
    least, most = kept[:, :-1], _pad(kept[:, :-1], MIXED)
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
