"""Repeats measurements that a busy machine disturbed, judged by the speed of the original model.

A neighbour on the same core or memory makes a large model half as slow again and a small one less or more than that, so
that the share of one in the other holds for the usual speed only. So does a virtual machine whose processors are put
far apart for half a minute: two threads then wait longer for each other, the more so the smaller the model. Timings of
the original tell at which speed it runs.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from ..jobs import Job, Progress
from .bench import LEAST, turn
from .interleaved_runs import TimingRound
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
"""How often it is timed where nobody knows its usual speed: the fastest is taken for that."""

Measured = TypeVar("Measured")
Speed = Callable[[], Job[float]]


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
        before = yield from _waited(speed, usual, end)
        found = yield from measure()
        after = yield from speed()
        attempts += 1
        slower = max(before, after) / usual - 1
        if best is None or slower < least:
            best, least = found, slower
        if slower <= CALM:
            break
    return best


def _waited(speed: Speed, usual: float, end: float) -> Job[float]:
    """The original's speed as soon as it is the usual one, or when patience ends."""
    while True:
        now = yield from speed()
        if now <= (1 + CALM) * usual or time.monotonic() > end:
            return now
