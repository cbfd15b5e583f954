"""Preliminary scores from a part of the data: for display only, never for a decision."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ..jobs import Job, Progress

Scores = NDArray[np.float64]
PARTS = (4, 2)
"""One over the share of the way after which scores are reported."""
LEAST = 8
"""Fewest steps of a job that reports any on the way."""


class Step(StrEnum):
    """What is looked at one after the other."""

    BATCHES = "batches"
    SAMPLES = "samples"
    LAYERS = "layers"


@dataclass(frozen=True, slots=True, eq=False)
class PartialScores:
    """Scores so far.

    Attributes:
        scores: [S] as the final ones, of what was looked at.
        done: How much was.
        total: How much will be.
        step: Of what.
    """

    scores: Scores
    done: int
    total: int
    step: Step


def with_partial_scores(progress: Progress, scores: Callable[[], Scores], step: Step = Step.BATCHES) -> Progress:
    """The progress of a rating; at a quarter and at half of the way with its raw scores so far."""
    due = progress.total >= LEAST and progress.done in [progress.total // part for part in PARTS]
    return replace(progress, so_far=PartialScores(scores(), progress.done, progress.total, step)) if due else progress


def finished_scores(job: Job[Scores], finish: Callable[[Scores], Scores]) -> Job[Scores]:
    """A rating whose raw scores are finished, those of the way too."""
    with closing(job):
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                return finish(stop.value)
            partial: PartialScores | None = progress.so_far
            if partial is not None:
                progress = replace(progress, so_far=replace(partial, scores=finish(partial.scores)))
            yield progress
