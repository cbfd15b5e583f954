"""The training curve of a recovery, stored with its state."""

from collections.abc import Iterator, Sequence

from ..jobs import Job, Progress, Result, followed

MOST = 240
"""Points of the loss that are kept; all measured metrics are kept."""


def recorded_curve(job: Job[Result], points: list[dict[str, float]]) -> Job[Result]:
    """Run a job and append the points of its training curve to a list."""

    def record(progress: Progress) -> Iterator[Progress]:
        if "step" in progress.values and len(progress.values) > 1:
            points.append(dict(progress.values))
        yield progress

    return (yield from followed(job, record))


def thinned(points: Sequence[dict[str, float]]) -> tuple[dict[str, float], ...]:
    """All points with a metric, and evenly spread ones of the others."""
    losses = [point for point in points if "loss" in point]
    every = -(-len(losses) // MOST) or 1
    kept = {id(point) for point in losses[::every]}
    return tuple(point for point in points if "loss" not in point or id(point) in kept)
