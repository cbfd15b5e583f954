"""Measures sensitivity: cuts a share of each coupled set on trial and evaluates on the val split.

Really cut, not masked: a smaller model needs less time than the masked one, and what is measured is what a cut gives.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..batch_parts import PassLimit
from ..devices import CPU
from ..errors import Message, SecateurError, of_the_cut
from ..jobs import CancelToken, Job, Progress, check, part_of
from ..planning.marks import PlanMasks, keep
from ..structures.analysis import Analysis, Mask, identities
from ..surgery.cut.cut import cut
from ..surgery.cut.edits import Edits
from ..tasks.evaluate_on import evaluate_on
from ..tasks.protocol import Metric, Split, Task
from ..tracing.tree import Inputs
from .protocol import PointStore, Sensitivity, SensitivityPoint, remaining, removals, trials


@dataclass(frozen=True, slots=True)
class TrialModel:
    """What is cut on trial.

    Attributes:
        model: At a state; left as it is.
        analysis: Of the original.
        removed: [S] what is gone in the state.
        edits: Repairs of the state.
        inputs: Example inputs that the analysis was made with.
        task: What evaluates.
        scores: [S] in each set the lowest goes first.
        criterion: What they are by.
        device: Where models are evaluated.
        limit: How many samples run at a time there.
    """

    model: nn.Module
    analysis: Analysis
    removed: Mask
    edits: Edits
    inputs: Inputs
    task: Task
    scores: NDArray[np.float64]
    criterion: str
    device: str = CPU
    limit: PassLimit = field(default_factory=PassLimit)


def sensitivity(
    subject: TrialModel, numbers: tuple[int, ...], shares: tuple[float, ...], points: PointStore, token: CancelToken
) -> Job[Sensitivity]:
    """The metric of every set at every share.

    Args:
        subject: What is cut on trial.
        numbers: [N] numbers of the sets.
        shares: [G] of what remains of a set, above 0 and up to 1.
        points: What was measured before is taken from here, and every new point is kept here at once.
        token: Stops the job; what was measured stays in `points`.
    """
    unrated = [number for number in numbers if not _rated(subject, number)]
    numbers = tuple(number for number in numbers if number not in unrated)
    sets = [subject.analysis.sets[number] for number in numbers]
    if unrated and not numbers:
        template = (
            "{criterion} scores none of these layers, so nothing says what to remove first. Choose another criterion."
        )
        raise SecateurError("sensitivity.unrated", template, criterion=subject.criterion)
    removed = removals(subject.analysis, subject.removed, numbers, shares)
    wanted = trials(removed, numbers)
    baseline = yield from _known(subject, (-1, 0), points, token, Progress("Evaluating", 0, len(wanted)))
    found: dict[tuple[int, int], Metric] = {}
    notes = [_left_out(subject, number) for number in unrated]
    for done, point in enumerate(wanted):
        one = subject.analysis.sets[point[0]]
        words = {"count": point[1], "of": remaining(one, subject.removed), "layer": one.module or one.name}
        text = Message("progress.without", "Without {count} of {of} in {layer}", words)
        try:
            found[point] = yield from _known(subject, point, points, token, Progress(text, done, len(wanted)))
        except SecateurError as error:
            if not of_the_cut(error):
                raise
            notes.append(Message("sensitivity.left_out", "{trial}: {reason}", {"trial": text, "reason": error.message}))
    pairs = [[(number, int(n)) for n in row] for number, row in zip(numbers, removed, strict=True)]
    values, errors = (
        np.array([[_number(found, pair, baseline, name) for pair in row] for row in pairs]).reshape(removed.shape)
        for name in ("value", "error")
    )
    keys = tuple(one.key for one in sets)
    return Sensitivity(subject.criterion, baseline, keys, np.array(shares), removed, values, errors, tuple(notes))


def _rated(subject: TrialModel, number: int) -> bool:
    """Whether all that a set still has has a score: else its order would be that of its numbers."""
    there = subject.analysis.sets[number].structures
    return bool(np.isfinite(subject.scores[there][~subject.removed[there]]).all())


def _left_out(subject: TrialModel, number: int) -> Message:
    one = subject.analysis.sets[number]
    words = {"layer": one.module or one.name, "criterion": subject.criterion}
    return Message("sensitivity.no_score", "{layer}: left out, because {criterion} does not score it", words)


def _number(found: Mapping[tuple[int, int], Metric], pair: tuple[int, int], baseline: Metric, name: str) -> float:
    metric = baseline if pair[1] == 0 else found.get(pair)
    return float("nan") if metric is None else float(getattr(metric, name))


def _known(
    subject: TrialModel, point: tuple[int, int], points: PointStore, token: CancelToken, shown: Progress
) -> Job[Metric]:
    """The metric without so many of the weakest of a set (-1: as it is); measured unless it was before."""
    yield shown
    check(token)
    number, count = point
    mask = subject.removed
    if count:
        left = remaining(subject.analysis.sets[number], subject.removed)
        masks = PlanMasks.of(subject.analysis, removed=subject.removed)
        mask = subject.removed | keep(subject.analysis, subject.scores, masks, number, left - count)
    key = _key(subject.analysis, mask)
    metric = points.get(key)
    if metric is None:
        model = subject.model if count == 0 else _smaller(subject, mask)
        job = evaluate_on(subject.task, model, Split.VAL, token, device=subject.device, limit=subject.limit)
        metric = yield from part_of(shown, job, words=False)
        points.put(key, metric)
    yield replace(shown, made=SensitivityPoint(number, count, metric))
    return metric


def _smaller(subject: TrialModel, mask: Mask) -> nn.Module:
    return cut(
        subject.model, subject.analysis, mask, subject.inputs, before=subject.removed, edits=subject.edits
    ).model.eval()


def _key(analysis: Analysis, mask: Mask) -> str:
    """Identity of a point: exactly what is gone, whatever chose it."""
    return hashlib.sha256(msgspec.json.encode(identities(analysis, mask), order="sorted")).hexdigest()
