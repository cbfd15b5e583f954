"""A training that is broken off at a step, as a kill does it."""

from secateur.engine.jobs import Job
from secateur.engine.recovery.results import Recovered


def close_at(job: Job[Recovered], step: int) -> None:
    """Run a training until it shows the loss of so many steps, and close it there."""
    for progress in job:
        if progress.values.get("step", 0) >= step and "loss" in progress.values:
            return job.close()
    raise AssertionError(f"The training ended before step {step}.")
