"""Preliminary scores from a part of the data: for display only, never for a decision."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..jobs import Job, Progress

Scores = NDArray[np.float64]
PARTS = (4, 2)
"""One over the share of the way after which scores are told."""
LEAST = 8
"""Steps that a job has at least where it tells any on the way."""


@dataclass(frozen=True, slots=True, eq=False)
class PartialScores:
    """Scores so far.

    Attributes:
        scores: [S] as the final ones, of what was looked at.
        done: Batches or samples that were.
        total: How many will be.
        samples: They are samples.
    """

    scores: Scores
    done: int
    total: int
    samples: bool


def with_partial_scores(progress: Progress, scores: Callable[[], Scores]) -> Progress:
    """The progress of a rating; at a quarter and at half of the way with its raw scores so far."""
    due = progress.total >= LEAST and progress.done in [progress.total // part for part in PARTS]
    return replace(progress, so_far=scores()) if due else progress


def finished_scores(job: Job[Scores], finish: Callable[[Scores], Scores], samples: bool) -> Job[Scores]:
    """A rating whose raw scores are finished, those of the way as `PartialScores`."""
    with closing(job):
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                return finish(stop.value)
            if progress.so_far is not None:
                told = PartialScores(finish(progress.so_far), progress.done, progress.total, samples)
                progress = replace(progress, so_far=told)
            yield progress
