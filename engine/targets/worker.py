"""What the measuring process does: load every model, warm up, then time them in turns."""

import gc
import math
import time
from typing import Any

from ..errors import SecateurError
from ..inputs import Inputs, at_batch, batch_size, read
from ..jobs import Job, Progress
from .protocol import Run, Target, TargetSpec
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
    runs = [_load(runtime, path, target.threads) for path in job["models"]]
    inputs = at_batch(read(job["inputs"]), target.batch)
    per_run = [_warm(run, inputs, path) for run, path in zip(runs, job["models"], strict=True)]
    times = yield from _in_turns(runs, per_run, inputs, target.seconds)
    return {"times": times}


def _load(runtime: Target, path: str, threads: int) -> Run:
    try:
        return runtime.load(path, threads)
    except SecateurError:
        raise
    except Exception as error:
        raise SecateurError(
            "target.load", "{title} cannot load {path}: {error}", title=runtime.title, path=path, error=str(error)
        ) from error


def _warm(run: Run, inputs: Inputs, path: str) -> float:
    """Run for a while; returns seconds a run."""
    count, start = 0, time.perf_counter()
    try:
        while count < 2 or time.perf_counter() - start < WARM_UP:
            run(inputs)
            count += 1
    except Exception as error:
        raise SecateurError(
            "target.run",
            "{path} cannot run at batch {batch}: {error}",
            path=path,
            batch=batch_size(inputs),
            error=str(error),
        ) from error
    return (time.perf_counter() - start) / count


def _in_turns(runs: list[Run], per_run: list[float], inputs: Inputs, seconds: float) -> Job[list[list[float]]]:
    """Time every model in rounds, each round beginning with another one, until each had its `seconds`."""
    times: list[list[float]] = [[] for _ in runs]
    start, rounds, budget = time.perf_counter(), 0, seconds * len(runs)
    gc.disable()
    while rounds < LEAST or time.perf_counter() - start < budget:
        for place in range(len(runs)):
            number = (place + rounds) % len(runs)
            times[number] += _turn(runs[number], inputs, math.ceil(TURN / per_run[number]))
        rounds += 1
        spent = min(1.0, (time.perf_counter() - start) / budget, rounds / LEAST)
        yield Progress("Measuring", round(100 * spent), 100)
    return times


def _turn(run: Run, inputs: Inputs, count: int) -> list[float]:
    """`count` timed runs in seconds; before several short ones, one that only fills the caches again."""
    if count > 1:
        run(inputs)
    times = list[float]()
    for _ in range(count):
        start = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - start)
    return times
