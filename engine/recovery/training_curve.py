"""The training curve of a recovery: stored with its state, written for TensorBoard, read by domain. Loads no torch.

A point is {"step": 40, "loss": 1.2}, or with a metric. Where domains of text are mixed, a point has their shares,
losses and references: {"step": 40, "share/wiki": 0.6, "loss/wiki": 2.1, "reference/wiki": 1.8}.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import SecateurError
from ..jobs import Job, Progress, Result, followed
from ..options import settings_of
from ..tasks.domain_mixture import DomainMixture
from .protocol import RecoverySettings

MOST = 240
"""Points of the loss that are kept; all measured metrics are kept."""
SHARE, LOSS, REFERENCE = "share/", "loss/", "reference/"
"""Prefixes of names in a point, before the name of a domain."""


def record_curve(job: Job[Result], points: list[dict[str, float]]) -> Job[Result]:
    """Run a job and append the points of its training curve to a list."""

    def record(progress: Progress) -> Iterator[Progress]:
        if "step" in progress.values and len(progress.values) > 1:
            points.append(dict(progress.values))
        yield progress

    return (yield from followed(job, record))


def thin_curve(points: Sequence[dict[str, float]]) -> tuple[dict[str, float], ...]:
    """All points with a metric, and evenly spread ones of the others."""
    losses = [point for point in points if "loss" in point]
    every = -(-len(losses) // MOST) or 1
    kept = {id(point) for point in losses[::every]}
    return tuple(point for point in points if "loss" not in point or id(point) in kept)


@dataclass(frozen=True, slots=True)
class DomainPoint:
    """A domain after some steps.

    Attributes:
        share: How often it is drawn from then on, 0 to 1.
        loss: On the val split, in nats a token; NaN where it was not measured then.
        reference: The loss that it should reach.
    """

    share: float
    loss: float
    reference: float


def domain_point(mixture: DomainMixture, step: int, losses: Any = ()) -> dict[str, float]:
    """The point of a curve for a mixture.

    Args:
        mixture: With shares and references.
        step: Steps done.
        losses: [k] of now, () where none were measured.
    """
    point = {"step": float(step)}
    for number, name in enumerate(mixture.names):
        found = {SHARE: mixture.proportions[number], REFERENCE: mixture.references[number]}
        if len(losses):
            found[LOSS] = losses[number]
        point |= {kind + name: float(value) for kind, value in found.items() if math.isfinite(value)}
    return point


def domains_of(point: Mapping[str, float]) -> dict[str, DomainPoint]:
    """The domains of a point, by name; none in a point of something else."""
    shares = {name.removeprefix(SHARE): share for name, share in point.items() if name.startswith(SHARE)}
    return {
        name: DomainPoint(share, point.get(LOSS + name, math.nan), point.get(REFERENCE + name, math.nan))
        for name, share in shares.items()
    }


def domain_curves(curve: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, DomainPoint]]]:
    """(step, its point) of each domain of a curve, in the order of the points."""
    found = dict[str, list[tuple[int, DomainPoint]]]()
    for point in curve:
        for name, one in domains_of(point).items():
            found.setdefault(name, []).append((int(point["step"]), one))
    return found


def require_tensorboard(folder: Path) -> None:
    """Refuse a folder for TensorBoard files that cannot be written, before the work.

    Raises:
        SecateurError: TensorBoard is not installed, or the folder cannot be made.
    """
    if find_spec("tensorboard") is None:
        template = "TensorBoard is not installed. Install it with pip install 'secateur[tensorboard]'."
        raise SecateurError("recovery.no_tensorboard", template)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        template = "The folder {folder} for TensorBoard files cannot be made. Name another one."
        raise SecateurError("recovery.log_folder", template, repr(error), folder=str(folder)) from error


def log_curve(job: Job[Result], folder: Path, settings: RecoverySettings) -> Job[Result]:
    """Run a job and write the points of its training curve as scalars, at their steps; the settings as text.

    Files of earlier runs stay: TensorBoard names each file by its time.

    Args:
        job: Of a recovery; its progress has the points.
        folder: Of this run.
        settings: Of the recovery.
    """
    from torch.utils.tensorboard import SummaryWriter  # brings TensorBoard, where it is installed

    rows = [f"| {one.option.title} | {one.words(getattr(settings, one.name))} |" for one in settings_of(type(settings))]
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]))

        def write(progress: Progress) -> Iterator[Progress]:
            for name, value in progress.values.items():
                if name != "step" and "step" in progress.values:
                    writer.add_scalar(name, value, round(progress.values["step"]))
            yield progress

        return (yield from followed(job, write))
