"""Times several models in turns, round by round."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from ..devices import CPU
from .bench import CpuTimedRun, in_turns
from .protocol import Run


@dataclass(frozen=True, slots=True)
class TimingRound:
    """One turn of each of several models.

    Attributes:
        times: Seconds of the runs of each.
        own: Seconds of the processor that they took.
    """

    times: list[list[float]]
    own: list[list[float]]


def timing_rounds(
    ready: Sequence[tuple[Run, float]], seconds: float, device: str
) -> Iterator[tuple[float, TimingRound]]:
    """Rounds until each model had its seconds, with the share of that which is done.

    On another device than the CPU the processor only waits: what it takes says nothing, and the clock stands for it.

    Args:
        ready: Runs that are warm, with about how long one takes.
        seconds: For each.
        device: That of the target.
    """
    clocked = [CpuTimedRun(run) for run, _ in ready]
    turns = [(run, once) for run, (_, once) in zip(clocked, ready, strict=True)]
    times: list[list[float]] = [[] for _ in ready]
    own = [one.own for one in clocked] if device == CPU else times
    for share in in_turns(turns, times, seconds):
        yield share, TimingRound([list(some) for some in times], [list(some) for some in own])
        for some in (*times, *(one.own for one in clocked)):
            some.clear()


def joined_rounds(some: Sequence[TimingRound]) -> TimingRound:
    """All of them as one."""
    return TimingRound(_chained([one.times for one in some]), _chained([one.own for one in some]))


def _chained(some: Sequence[list[list[float]]]) -> list[list[float]]:
    """Lists by round and model as lists by model."""
    return [list(chain.from_iterable(one)) for one in zip(*some, strict=True)]
