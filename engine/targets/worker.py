"""What the measuring process does: load every model, warm up, then time them in turns."""

import gc
import math
import time
from typing import Any

from ..errors import SecateurError
from ..inputs import Inputs, at_batch, batch_size, read
from ..jobs import Job, Progress
from .protocol import Loaded, Run, Target, TargetSpec
from .table import target_named

WARM_UP = 0.2
"""Seconds each model runs before anything counts."""
TURN = 0.02
"""Seconds of one model's turn: long against what the model before left in the caches, short against drift."""
LEAST = 5
"""Turns each model gets at least, however slow it is."""


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Measure `job["models"]`; returns {"times": seconds a run, for each model}."""
    target = TargetSpec(**job["target"])
    yield Progress("Loading models to measure", 0, 100)
    runtime = target_named(target.runtime)
    loaded = [_load(runtime, path, target.threads) for path in job["models"]]
    inputs = at_batch(read(job["inputs"]), target.batch)
    ready = [_warm(model, inputs, path) for model, path in zip(loaded, job["models"], strict=True)]
    times = yield from _in_turns(ready, target.seconds)
    return {"times": times}


def _load(runtime: Target, path: str, threads: int) -> Loaded:
    try:
        return runtime.load(path, threads)
    except SecateurError:
        raise
    except Exception as error:
        raise SecateurError(
            "target.load", "{title} cannot load {path}: {error}", title=runtime.title, path=path, error=str(error)
        ) from error


def _warm(model: Loaded, inputs: Inputs, path: str) -> tuple[Run, float]:
    """Run for a while; returns the run and its seconds."""
    try:
        run = model(inputs)
        count, start = 0, time.perf_counter()
        while count < 2 or time.perf_counter() - start < WARM_UP:
            run()
            count += 1
    except Exception as error:
        raise SecateurError(
            "target.run",
            "{path} cannot run at batch {batch}: {error}",
            path=path,
            batch=batch_size(inputs),
            error=str(error),
        ) from error
    return run, (time.perf_counter() - start) / count


def _in_turns(ready: list[tuple[Run, float]], seconds: float) -> Job[list[list[float]]]:
    """Time every model in rounds, each round beginning with another one, until each had its `seconds`."""
    times: list[list[float]] = [[] for _ in ready]
    start, rounds, budget = time.perf_counter(), 0, seconds * len(ready)
    gc.disable()
    while rounds < LEAST or time.perf_counter() - start < budget:
        for place in range(len(ready)):
            number = (place + rounds) % len(ready)
            run, per_run = ready[number]
            times[number] += _turn(run, math.ceil(TURN / per_run))
        rounds += 1
        spent = min(1.0, (time.perf_counter() - start) / budget, rounds / LEAST)
        yield Progress("Measuring", round(100 * spent), 100)
    return times


def _turn(run: Run, count: int) -> list[float]:
    """`count` timed runs in seconds; before several short ones, one that only fills the caches again."""
    if count > 1:
        run()
    times = list[float]()
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times
