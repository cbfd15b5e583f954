"""How much time removal saves on a target, for each coupled set. Numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..structures.analysis import Analysis, CoupledSet, Kind, Mask
from ..structures.costs import costs, kept_sizes
from .block_modules import running_blocks
from .protocol import LatencyTable

HALF = 0.5
"""Of a set: what is removed to see what that saves."""
PAYS = 0.5
"""A step pays where it saves at least this much of what the best step saves of the time for each MAC."""
FLAT = 0.1
"""Removal buys no time where it saves less than this much of the time, for each share of the MACs."""
SEEN = 0.001
"""Shares of the MACs below which nothing can be said."""


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
    plans = [_halved(removed, one) for one in sets]
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


def _halved(removed: Mask, one: CoupledSet) -> Mask:
    """[S] the first half of what remains of a set removed too."""
    plan = removed.copy()
    here = one.first + np.flatnonzero(~removed[one.structures])
    plan[here[: int(HALF * len(here))]] = True
    return plan


def paying_step(measured: Sequence[tuple[int, float, float]], noise: float) -> int:
    """The fewest structures whose removal from every set saves time as it should; 0 where none does.

    Args:
        measured: For each number of structures the shares of the MACs and of the time that go with them.
        noise: Relative difference of a file against itself: savings below it are none.
    """
    worth = [(size, time / macs) for size, macs, time in measured if macs > SEEN and time > noise]
    best = max((value for _, value in worth), default=0.0)
    return min((size for size, value in worth if value >= PAYS * best), default=0)
