"""Measure again what a busy machine has disturbed: it changes its speed for a while, and not of all models alike.

A neighbour on the same core or memory makes a large model half as slow again and a small one less or more than that, so
that the share of one in the other holds for the usual speed only. So does a virtual machine whose processors are put
far apart for half a minute: two threads then wait longer for each other, the more so the smaller the model. Timings of
the original tell at which speed it runs.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ..jobs import Job, Progress
from .bench import turn
from .protocol import Run

ATTEMPTS = 3
"""How often a disturbed measurement is made, and further while patience lasts; the calmest counts."""
CALM = 0.05
"""By how much the original may be slower than usual in one that counts at once."""
BRIEF = 0.1
"""Seconds in which its speed is seen, in two runs at least."""
LOOKS = 5
"""How often it is timed where nobody knows its usual speed: the fastest is taken for that."""
PATIENCE = 10.0
"""Seconds from the beginning in which it waits for the usual speed, before it measures anyway."""

Found = TypeVar("Found")
Speed = Callable[[], Job[float]]


def speed_of(run: Run, once: float) -> Speed:
    """What times the original for a moment: seconds of a run in the median, where one takes about `once`."""

    def speed() -> Job[float]:
        yield Progress("Measuring", 0, 100)
        return float(np.median(turn(run, max(2, math.ceil(BRIEF / once)))))

    return speed


def usual_of(speed: Speed) -> Job[float]:
    """Seconds of the original at the speed that the machine has when it is left alone."""
    seen: list[float] = []
    for _ in range(LOOKS):
        seen.append((yield from speed()))
    return min(seen)


def calmest(
    measure: Callable[[], Job[tuple[Found, Sequence[float]]]], speed: Speed, usual: float, patience: float = PATIENCE
) -> Job[Found]:
    """What is measured while the original has its usual speed, or the closest to that of several attempts.

    Args:
        measure: Measures once; also gives what the original took meanwhile, where that is known.
        speed: Times the original, before and after.
        usual: Seconds of its run at the usual speed.
        patience: Seconds that a slower machine is waited for.
    """
    end, attempts = time.monotonic() + patience, 0
    best, least = None, math.inf
    while best is None or attempts < ATTEMPTS or time.monotonic() < end:
        before = yield from _waited(speed, usual, end)
        found, meanwhile = yield from measure()
        after = yield from speed()
        attempts += 1
        slower = max(before, after, *meanwhile) / usual - 1
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
