"""What the profiling process does: time two models in turns, then the fused blocks of the second."""

from typing import Any

import numpy as np

from ..inputs import at_batch, read
from ..jobs import Job, Progress
from .calm import calmest, speed_of, usual_of
from .clocked import undisturbed
from .protocol import Kernel
from .table import target_named
from .worker import load, target_of, timed, warmed


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Profile `job["models"][1]` beside `job["models"][0]`; returns the fields of `profile.Profile`."""
    target, files = target_of(job), job["models"]
    runtime = target_named(target.runtime)
    inputs = at_batch(read(job["inputs"]), target.batch)
    ready = [warmed(load(runtime, path, target), inputs, path) for path in files]
    speed = speed_of(*ready[0])
    usual = job["usual"] or (yield from usual_of(speed))

    def in_turns() -> Job[tuple[dict[str, float], list[float]]]:
        times, own = yield from timed(ready, target)
        original, seconds = (undisturbed(*both) for both in zip(times, own, strict=True))
        original_wall, wall = (float(np.median(some)) for some in times)
        found = {"seconds": seconds, "original": original, "wall": wall, "original_wall": original_wall}
        return found, [original_wall]

    def blocks() -> Job[tuple[list[Kernel], list[float]]]:
        yield Progress("Measuring fused blocks", 100, 100)
        return runtime.kernels(files[1], target, inputs), []

    found = yield from calmest(in_turns, speed, usual, job["patience"])
    del ready[1]  # the runtime loads it again
    kernels = (yield from calmest(blocks, speed, usual, job["patience"])) if job["blocks"] else []
    return found | {"kernels": [_told(one) for one in kernels]}


def _told(one: Kernel) -> list[Any]:
    return [one.name, one.kind, one.sizes, one.seconds]
