"""Measure again what a busy machine has disturbed: it changes its speed for seconds, and not of all models alike.

A neighbour on the same core or memory makes a large model half as slow again and a small one less or more than that, so
that the share of one in the other holds for the usual speed only. Timings of the original tell at which it runs.
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
"""How often a measurement is begun at most; the calmest counts."""
CALM = 0.05
"""By how much the original may be slower than usual in one that counts at once."""
BRIEF = 0.1
"""Seconds in which its speed is seen, in two runs at least."""
LOOKS = 5
"""How often it is timed where nobody knows its usual speed: the fastest is taken for that."""
PATIENCE = 2.0
"""Seconds that each attempt waits for the usual speed, before it measures anyway."""

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


def calmest(measure: Callable[[], Job[tuple[Found, Sequence[float]]]], speed: Speed, usual: float) -> Job[Found]:
    """What is measured while the original has its usual speed, or the closest to that of `ATTEMPTS`.

    Args:
        measure: Measures once; also gives what the original took meanwhile, where that is known.
        speed: Times the original, before and after.
        usual: Seconds of its run at the usual speed.
    """
    best, least = None, math.inf
    for _ in range(ATTEMPTS):
        before = yield from _waited(speed, usual)
        found, meanwhile = yield from measure()
        after = yield from speed()
        slower = max(before, after, *meanwhile) / usual - 1
        if best is None or slower < least:
            best, least = found, slower
        if slower <= CALM:
            break
    assert best is not None  # one attempt was made
    return best


def _waited(speed: Speed, usual: float) -> Job[float]:
    """The original's speed as soon as it is the usual one, or when patience ends."""
    begin = time.monotonic()
    while True:
        now = yield from speed()
        if now <= (1 + CALM) * usual or time.monotonic() - begin > PATIENCE:
            return now
