"""Measures sensitivity: cuts a share of each coupled set on trial and evaluates on the val split.

Really cut, not masked: a smaller model needs less time than the masked one, and what is measured is what a cut gives.
"""

import hashlib
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..errors import Message, SecateurError, of_the_cut
from ..inference.batch_parts import PassLimit
from ..jobs import CancelToken, Job, Progress, check, part_of
from ..machine.devices import CPU
from ..planning.marks import PlanMasks, keep
from ..structures.analysis import Analysis, Mask, identities
from ..surgery.cut.cut import cut
from ..surgery.cut.edits import Edits
from ..tasks.evaluate import evaluate_on
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
    # Structures without a score would go in the order of their numbers, which says nothing: such sets are left out.
    rated, notes = list[int](), list[Message]()
    for number in numbers:
        one = subject.analysis.sets[number]
        scores = subject.scores[one.structures][~subject.removed[one.structures]]
        if np.isfinite(scores).all():
            rated.append(number)
        else:
            words = {"layer": one.module or one.name, "criterion": subject.criterion}
            template = "{layer}: left out, because {criterion} does not score it"
            notes.append(Message("sensitivity.no_score", template, words))
    if numbers and not rated:
        template = (
            "{criterion} scores none of these layers, so nothing says what to remove first. Choose another criterion."
        )
        raise SecateurError("sensitivity.unrated", template, criterion=subject.criterion)
    numbers = tuple(rated)
    removed = removals(subject.analysis, subject.removed, numbers, shares)
    wanted = trials(removed, numbers)
    baseline = yield from _measure_point(subject, (-1, 0), points, token, Progress("Evaluating", 0, len(wanted)))
    found: dict[tuple[int, int], Metric] = {}
    for done, point in enumerate(wanted):
        one = subject.analysis.sets[point[0]]
        words = {"count": point[1], "of": remaining(one, subject.removed), "layer": one.module or one.name}
        text = Message("progress.without", "Without {count} of {of} in {layer}", words)
        try:
            found[point] = yield from _measure_point(subject, point, points, token, Progress(text, done, len(wanted)))
        except SecateurError as error:
            if not of_the_cut(error):
                raise
            notes.append(Message("sensitivity.left_out", "{trial}: {reason}", {"trial": text, "reason": error.message}))
    values, errors = np.full(removed.shape, np.nan), np.full(removed.shape, np.nan)
    for row, counts in enumerate(removed.tolist()):
        for column, count in enumerate(counts):
            metric = found.get((numbers[row], count)) if count else baseline
            if metric is not None:
                values[row, column], errors[row, column] = metric.value, metric.error
    keys = tuple(subject.analysis.sets[number].key for number in numbers)
    return Sensitivity(subject.criterion, baseline, keys, np.array(shares), removed, values, errors, tuple(notes))


def _measure_point(
    subject: TrialModel, point: tuple[int, int], points: PointStore, token: CancelToken, shown: Progress
) -> Job[Metric]:
    """The metric without the weakest structures of a set; measured unless it was before.

    `point` is (number of the set, how many go), (-1, 0) for the state as it is.
    """
    yield shown
    check(token)
    number, count = point
    mask = subject.removed
    if count:
        left = remaining(subject.analysis.sets[number], subject.removed)
        masks = PlanMasks.of(subject.analysis, removed=subject.removed)
        mask = subject.removed | keep(subject.analysis, subject.scores, masks, number, left - count)
    # A point is known by what is gone, whatever chose it.
    key = hashlib.sha256(msgspec.json.encode(identities(subject.analysis, mask), order="sorted")).hexdigest()
    metric = points.get(key)
    if metric is None:
        model = subject.model
        if count:
            before, edits = subject.removed, subject.edits
            made = cut(model, subject.analysis, mask, subject.inputs, before=before, edits=edits)
            model = made.model.eval()
        job = evaluate_on(subject.task, model, Split.VAL, token, device=subject.device, limit=subject.limit)
        metric = yield from part_of(shown, job, words=False)
        points.put(key, metric)
    yield replace(shown, made=SensitivityPoint(number, count, metric))
    return metric
