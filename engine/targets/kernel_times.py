"""Collects the time of each fused block over many profiled runs, in execution order."""

import math
import time
from collections.abc import Sequence

import numpy as np

from .protocol import Kernel, Run

LOWER = 0.6
"""Share of the runs of a block that count, the fastest: the others had to wait for something else on the machine."""
MOST = 200
"""Runs that are profiled at most."""


class KernelTimes:
    """Times of blocks by name, which is another for each block of a run."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._times: dict[str, list[float]] = {}
        self._about: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {}

    def add(self, name: str, kind: str, sizes: Sequence[tuple[int, ...]], seconds: float) -> None:
        """One run of a block; kind and sizes are those of its first."""
        self._about.setdefault(name, (kind, tuple(sizes)))
        self._times.setdefault(name, []).append(seconds)

    def kernels(self) -> list[Kernel]:
        """Each block once, as the fastest of its runs say."""
        return [Kernel(name, *about, _typical(self._times[name])) for name, about in self._about.items()]


def repeat(run: Run, seconds: float) -> None:
    """Run once, then for about that long."""
    start = time.perf_counter()
    run()
    once = max(time.perf_counter() - start, 1e-6)
    for _ in range(min(max(math.ceil(seconds / once), 1), MOST)):
        run()


def _typical(times: list[float]) -> float:
    """Mean of the faster ones: a mean, because runtimes count whole microseconds."""
    ordered = np.sort(times)
    return float(ordered[: max(math.ceil(LOWER * len(ordered)), 1)].mean())
