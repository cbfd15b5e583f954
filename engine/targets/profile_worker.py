"""What the profiling process does: time two models in turns, then the fused blocks of the second."""

from typing import Any

import numpy as np

from ..inputs import at_batch, read
from ..jobs import Job, Progress
from .bench import in_turns
from .clocked import Clocked, undisturbed
from .protocol import Kernel
from .table import target_named
from .worker import load, target_of, warmed


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Profile `job["models"][1]` beside `job["models"][0]`; returns the fields of `profile.Profile`."""
    target, files = target_of(job), job["models"]
    runtime = target_named(target.runtime)
    inputs = at_batch(read(job["inputs"]), target.batch)
    ready = [warmed(load(runtime, path, target), inputs, path) for path in files]
    clocked = [Clocked(run) for run, _ in ready]
    times: list[list[float]] = [[] for _ in ready]
    turns = [(one, seconds) for one, (_, seconds) in zip(clocked, ready, strict=True)]
    for share in in_turns(turns, times, target.seconds):
        yield Progress("Measuring", round(100 * share), 100)
    original, seconds = (undisturbed(some, one.own) for some, one in zip(times, clocked, strict=True))
    del ready, turns, clocked
    yield Progress("Measuring fused blocks", 100, 100)
    kernels = [_told(one) for one in runtime.kernels(files[1], target, inputs)]
    original_wall, wall = (float(np.median(some)) for some in times)
    found = {"seconds": seconds, "original": original, "wall": wall, "original_wall": original_wall}
    return found | {"kernels": kernels}


def _told(one: Kernel) -> list[Any]:
    return [one.name, one.kind, one.sizes, one.seconds]
