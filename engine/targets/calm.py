"""Measure again what a busy machine has disturbed: it changes its speed for seconds, and not of all models alike.

A neighbour on the same core or memory makes a large model half as slow again and a small one less or more than that, so
that the share of one in the other holds for the usual speed only. Timings of the original tell at which it runs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ..jobs import Job
from .protocol import Run, TargetSpec
from .worker import timed

ATTEMPTS = 5
"""How often a measurement is begun at most; the calmest counts."""
CALM = 0.05
"""By how much the original may be slower than usual in one that counts at once."""
BRIEF = 0.1
"""Seconds in which its speed is seen."""
LOOKS = 5
"""How often it is timed where nobody knows its usual speed: the fastest is taken for that."""

Found = TypeVar("Found")
Speed = Callable[[], Job[float]]


def speed_of(original: tuple[Run, float], target: TargetSpec) -> Speed:
    """What times the original for a moment: seconds of a run in the median."""

    def speed() -> Job[float]:
        times, _ = yield from timed([original], replace(target, seconds=BRIEF))
        return float(np.median(times[0]))

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
    before = yield from speed()
    for _ in range(ATTEMPTS):
        found, meanwhile = yield from measure()
        after = yield from speed()
        slower = max(before, after, *meanwhile) / usual - 1
        if best is None or slower < least:
            best, least = found, slower
        if slower <= CALM:
            break
        before = after
    assert best is not None  # one attempt was made
    return best
