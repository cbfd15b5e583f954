"""Times several models in turns, and repeats what a busy machine disturbed: the speed of the original model tells.

A neighbour on the same core or memory makes a large model half as slow again and a small one less or more than that, so
that the share of one in the other holds for the usual speed only. So does a virtual machine whose processors are put
far apart for half a minute: two threads then wait longer for each other, the more so the smaller the model. Timings of
the original tell at which speed it runs.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np

from ..jobs import Job, Progress
from ..machine.devices import CPU
from .bench import LEAST, CpuTimedRun, in_turns, turn
from .protocol import Run

CALM = 0.05
"""By how much the original may be slower than usual in what counts."""
ATTEMPTS = 3
"""How often what was disturbed is measured, and further while patience lasts; the calmest counts."""
PATIENCE = 10.0
"""Seconds from the beginning in which the usual speed is waited for."""
BRIEF = 0.1
"""Seconds in which the original's speed is seen, in two runs at least."""
LOOKS = 5
"""How often it is timed where its usual speed is not known: the fastest is taken for that."""

Measured = TypeVar("Measured")
Speed = Callable[[], Job[float]]


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

    On another device than the CPU the processor only waits: its time says nothing, so wall time is taken instead.

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


def join_rounds(some: Sequence[TimingRound]) -> TimingRound:
    """All of them as one: lists by round and model become lists by model."""
    times, own = ([one.times for one in some], [one.own for one in some])
    return TimingRound(
        [list(chain.from_iterable(one)) for one in zip(*times, strict=True)],
        [list(chain.from_iterable(one)) for one in zip(*own, strict=True)],
    )


def speed_of(run: Run, once: float) -> Speed:
    """What times the original for a moment: seconds of a run in the median, where one takes about `once`."""

    def speed() -> Job[float]:
        yield Progress("Measuring", 0, 100)
        return float(np.median(turn(run, max(2, math.ceil(BRIEF / once)))))

    return speed


def usual_speed_of(speed: Speed) -> Job[float]:
    """Seconds of the original at the speed that the machine has when it is left alone."""
    seen: list[float] = []
    for _ in range(LOOKS):
        seen.append((yield from speed()))
    return min(seen)


def quietest_rounds(
    rounds: Iterable[TimingRound], enough: float, usual: float, patience: float = PATIENCE
) -> Job[list[TimingRound]]:
    """The rounds in which the original had its usual speed; the calmest where patience ends before there are enough.

    Args:
        rounds: As they are measured, without end; the original is the first model of each.
        enough: Seconds that they take together, in `LEAST` rounds at least.
        usual: Seconds of the original's run at the usual speed.
        patience: Seconds that a slower machine is waited for.
    """
    end, seen, calm, spent, needed = time.monotonic() + patience, list[tuple[float, TimingRound]](), 0, 0.0, LEAST
    for one in rounds:
        slower = float(np.median(one.times[0])) / usual - 1
        seen.append((slower, one))
        calm += slower <= CALM
        spent += sum(map(sum, one.times))
        needed = max(LEAST, math.ceil(enough * len(seen) / spent))
        if calm >= needed or (len(seen) >= needed and time.monotonic() > end):
            break
        yield Progress("Measuring", round(100 * calm / needed), 100)
    return [one for _, one in sorted(seen, key=lambda each: each[0])[:needed]]


def quietest(
    measure: Callable[[], Job[Measured]], speed: Speed, usual: float, patience: float = PATIENCE
) -> Job[Measured]:
    """What is measured while the original has its usual speed, or the closest to that of several attempts.

    Args:
        measure: Measures once, what cannot be measured in rounds.
        speed: Times the original, before and after.
        usual: Seconds of its run at the usual speed.
        patience: Seconds that a slower machine is waited for.
    """
    end, attempts = time.monotonic() + patience, 0
    best, least = None, math.inf
    while best is None or attempts < ATTEMPTS or time.monotonic() < end:
        before = yield from speed()
        while before > (1 + CALM) * usual and time.monotonic() <= end:
            before = yield from speed()
        found = yield from measure()
        after = yield from speed()
        attempts += 1
        # The machine may have become slow in between.
        slower = max(before, after) / usual - 1
        if best is None or slower < least:
            best, least = found, slower
        if slower <= CALM:
            break
    return best


def undisturbed_seconds(times: Sequence[float], own: Sequence[float]) -> float:
    """Seconds of a run on a processor that nothing else uses.

    On one thread a run that waits for nothing lasts as long as its process computes: what is longer went to others. On
    several threads that time is the sum of theirs, and wall time is the shorter one.
    """
    return min(float(np.median(times)), float(np.median(own)))
