"""Corrects the time of a run for what other programs took of the CPU."""

from collections.abc import Sequence

import numpy as np


def undisturbed_seconds(times: Sequence[float], own: Sequence[float]) -> float:
    """Seconds of a run if nobody else had wanted the processor.

    On one thread a run that waits for nothing lasts as long as its process computes: what is longer went to others. On
    several threads that time is the sum of theirs, and the clock on the wall is the shorter one.
    """
    return min(float(np.median(times)), float(np.median(own)))
