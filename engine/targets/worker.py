"""The processes that measure: `main` times models in turns, `profile_model` one with the original, block by block."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from ..errors import SecateurError
from ..inference.model_inputs import Inputs, at_batch, batch_size, read
from ..jobs import Job, Progress
from .bench import warm
from .protocol import Kernel, Run, TargetSpec
from .table import target_named
from .timing import (
    TimingRound,
    join_rounds,
    quietest,
    quietest_rounds,
    speed_of,
    timing_rounds,
    undisturbed_seconds,
    usual_speed_of,
)


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Measure `job["models"]`; returns {"times", "own": seconds a run, and of the processor, for each}."""
    target = _target(job)
    yield Progress("Loading models to measure", 0, 100)
    given = [at_batch(read(path), target.batch) for path in job["inputs"]]
    ready = [_load(path, one, target, job["step"]) for path, one in zip(job["models"], given, strict=True)]
    every = list[TimingRound]()
    for share, one in timing_rounds(ready, target.seconds, target.device):
        every.append(one)
        yield Progress("Measuring", round(100 * share), 100)
    found = join_rounds(every)
    return {"times": found.times, "own": found.own}


def profile_model(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Time `job["models"]`, the original and another, in turns, then the fused blocks of the other.

    Returns:
        The fields of `measure.Profile`.
    """
    target, (original, model) = _target(job), job["models"]
    runtime = target_named(target.runtime)
    inputs = at_batch(read(job["inputs"]), target.batch)
    ready = [_load(path, inputs, target) for path in (original, model)]
    speed = speed_of(*ready[0])
    usual = job["usual"] or (yield from usual_speed_of(speed))

    def blocks() -> Job[list[Kernel]]:
        yield Progress("Measuring fused blocks", 100, 100)
        return runtime.kernels(model, target, inputs)

    turns = (one for _, one in timing_rounds(ready, math.inf, target.device))
    calm = yield from quietest_rounds(turns, len(ready) * target.seconds, usual, job["patience"])
    # The generator holds the models, which must be gone before the runtime loads one again.
    turns.close()
    seen = join_rounds(calm)
    of_original, seconds = (undisturbed_seconds(*both) for both in zip(seen.times, seen.own, strict=True))
    original_wall, wall = (float(np.median(some)) for some in seen.times)
    del ready[1]
    kernels = (yield from quietest(blocks, speed, usual, job["patience"])) if job["blocks"] else []
    found = {"seconds": seconds, "original": of_original, "wall": wall, "original_wall": original_wall}
    return found | {"kernels": [asdict(one) for one in kernels]}


def _target(job: dict[str, Any]) -> TargetSpec:
    return TargetSpec(**job["target"] | {"size": tuple(job["target"]["size"])})


def _load(path: str, inputs: Inputs, target: TargetSpec, step: bool = False) -> tuple[Run, float]:
    """Load a model and run it for a while; returns the run and its seconds."""
    runtime = target_named(target.runtime)
    try:
        model = runtime.load(path, target.threads, target.precision, step, target.device)
    except SecateurError:
        raise
    except Exception as error:
        raise SecateurError(
            "target.load", "{title} cannot load {path}: {error}", title=runtime.title, path=path, error=str(error)
        ) from error
    try:
        return warm(model(inputs))
    except SecateurError:
        raise
    except Exception as error:
        raise SecateurError(
            "target.run",
            "{path} cannot run at batch {batch}: {error}",
            path=path,
            batch=batch_size(inputs),
            error=str(error),
        ) from error
