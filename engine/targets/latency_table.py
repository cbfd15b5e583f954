"""Tables of latencies: what they hold, how they predict other plans, and how much time removal saves. Loads no torch.

A fused block is named "block12" in a runtime's profile, "block12.3" is the fourth node of it. It goes with a removed
block when its module is in one of those that go. What a runtime adds by itself, a change of layout, belongs to none
and stays: a prediction without a block is rather too slow than too fast.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    held: dict[str, list[int]] = {}  # by module, the fused blocks of it and of all modules in it
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
        if (after.parameters, after.macs) == (before.parameters, before.macs):  # what is left went with a whole block
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
