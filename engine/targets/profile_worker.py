"""The profiling process: times two models in turns, then the fused blocks of the second."""

import math
from typing import Any

import numpy as np

from ..jobs import Job, Progress
from ..model_inputs import at_batch, read
from .cpu_time import undisturbed_seconds
from .interleaved_runs import joined_rounds, timing_rounds
from .noise import quietest, quietest_rounds, speed_of, usual_speed_of
from .protocol import Kernel
from .table import target_named
from .worker import load, target_of, warmed


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Profile `job["models"][1]` beside `job["models"][0]`; returns the fields of `profile.Profile`."""
    target, files = target_of(job), job["models"]
    runtime = target_named(target.runtime)
    inputs = at_batch(read(job["inputs"]), target.batch)
    ready = [warmed(load(runtime, path, target), inputs, path) for path in files]
    speed = speed_of(*ready[0])
    usual = job["usual"] or (yield from usual_speed_of(speed))

    def blocks() -> Job[list[Kernel]]:
        yield Progress("Measuring fused blocks", 100, 100)
        return runtime.kernels(files[1], target, inputs)

    turns = (one for _, one in timing_rounds(ready, math.inf, target.device))
    calm = yield from quietest_rounds(turns, len(ready) * target.seconds, usual, job["patience"])
    turns.close()  # it holds the models
    seen = joined_rounds(calm)
    original, seconds = (undisturbed_seconds(*both) for both in zip(seen.times, seen.own, strict=True))
    original_wall, wall = (float(np.median(some)) for some in seen.times)
    found = {"seconds": seconds, "original": original, "wall": wall, "original_wall": original_wall}
    del ready[1]  # the runtime loads it again
    kernels = (yield from quietest(blocks, speed, usual, job["patience"])) if job["blocks"] else []
    return found | {"kernels": [_told(one) for one in kernels]}


def _told(one: Kernel) -> list[Any]:
    return [one.name, one.kind, one.sizes, one.seconds]
