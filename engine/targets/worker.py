"""The measuring process: loads every model, warms up, then times them in turns."""

from typing import Any

from ..errors import SecateurError
from ..jobs import Job, Progress
from ..model_inputs import Inputs, at_batch, batch_size, read
from .bench import warm
from .interleaved_runs import TimingRound, joined_rounds, timing_rounds
from .protocol import Loaded, Run, Target, TargetSpec
from .table import target_named


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Measure `job["models"]`; returns {"times", "own": seconds a run, and of the processor, for each."""
    target = target_of(job)
    yield Progress("Loading models to measure", 0, 100)
    runtime = target_named(target.runtime)
    loaded = [load(runtime, path, target, job["step"]) for path in job["models"]]
    given = [at_batch(read(path), target.batch) for path in job["inputs"]]
    ready = [warmed(*one) for one in zip(loaded, given, job["models"], strict=True)]
    every = list[TimingRound]()
    for share, one in timing_rounds(ready, target.seconds, target.device):
        every.append(one)
        yield Progress("Measuring", round(100 * share), 100)
    found = joined_rounds(every)
    return {"times": found.times, "own": found.own}


def target_of(job: dict[str, Any]) -> TargetSpec:
    """The target of a job."""
    return TargetSpec(**job["target"] | {"size": tuple(job["target"]["size"])})


def load(runtime: Target, path: str, target: TargetSpec, step: bool = False) -> Loaded:
    """Load a model; raises SecateurError with a sentence."""
    try:
        return runtime.load(path, target.threads, target.precision, step, target.device)
    except SecateurError:
        raise
    except Exception as error:
        raise SecateurError(
            "target.load", "{title} cannot load {path}: {error}", title=runtime.title, path=path, error=str(error)
        ) from error


def warmed(model: Loaded, inputs: Inputs, path: str) -> tuple[Run, float]:
    """Run for a while; returns the run and its seconds."""
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
