"""Corrects the time of a run for what other programs took of the CPU."""

import time
from collections.abc import Sequence

import numpy as np

from .protocol import Run


class CpuTimedRun:
    """A run that also notes the processor's time of its process.

    Attributes:
        own: Seconds of the processor of each run, all threads together.
    """

    def __init__(self, run: Run) -> None:
        """Take what is run."""
        self.own: list[float] = []
        self._run = run

    def __call__(self) -> None:
        """Run once."""
        start = time.process_time()
        self._run()
        self.own.append(time.process_time() - start)


def undisturbed_seconds(times: Sequence[float], own: Sequence[float]) -> float:
    """Seconds of a run if nobody else had wanted the processor.

    On one thread a run that waits for nothing lasts as long as its process computes: what is longer went to others. On
    several threads that time is the sum of theirs, and the clock on the wall is the shorter one.
    """
    return min(float(np.median(times)), float(np.median(own)))
