"""What changed between two states, exports or baselines of a session: their predictions on a split, compared."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..baselines.protocol import Baseline
from ..errors import Message, SecateurError
from ..inspection.changes import Changes, compare, group_change
from ..jobs import CancelToken, Job, NeverCancelled, Progress, spanning
from ..messages import listed, title
from ..session.open_model import run_evaluation
from ..session.prediction_store import kept_predictions
from ..session.session import Session
from ..session.state_history import StateHistory
from ..structures.analysis import Mask, from_identities
from ..surgery.cut.cut import cut
from ..tasks.data_task import DataTask
from ..tasks.predictions import Evaluation, Predictions
from ..tasks.protocol import Metric, Sample, Split
from .measure import measurable

NEVER = NeverCancelled()
CLASSES = 3
"""Classes that a sentence names."""
LARGEST = 256
"""Pixels of the longer side of a sample to look at."""
COMPARED = 0.95
"""About what share of the time it takes to predict where nothing was kept."""
FIRST = 256
"""Samples that a trial looks at before it evaluates them all."""
TRIAL = "trial"
"""What a trial is called in its `Changes.after`."""
CUT_ON_TRIAL = 0.1
"""About what share of the time that takes."""


def compare_states(
    session: Session, before: str = "", after: str = "", split: Split | None = None, token: CancelToken = NEVER
) -> Job[Changes]:
    """What changed from one state or baseline to another; what was not predicted yet is predicted now, and kept.

    Args:
        session: Has both.
        before: Id of a state or a baseline, "" for the original.
        after: Id of a state or a baseline, "" for the present state.
        split: Of the data; None for test where both have been evaluated on it, else val.
        token: Cancels.

    Raises:
        SecateurError: There is no such state, no data, or the data knows nothing of single samples.
    """
    before, after = before or session.states()[0].id, after or session.present.id
    task, found = session.task, list[tuple[Metric, Predictions]]()
    if split is None:
        kept = [kept_predictions(session.history, name, Split.TEST) for name in (before, after)]
        split = Split.TEST if all(one is not None for one in kept) else Split.VAL
    for number, name in enumerate((before, after)):
        job = _predictions(session, name, split, token)
        found.append((yield from spanning(job, COMPARED * number / 2, COMPARED * (number + 1) / 2)))
    yield Progress("Comparing the predictions", share=COMPARED)
    (first, predictions), (second, others) = found
    return compare(
        predictions,
        others,
        names=(before, after),
        metrics=(first, second),
        slices=task.slices(split) if isinstance(task, DataTask) else None,
    )


def try_without(session: Session, state: str, removed: Mask, token: CancelToken = NEVER) -> Job[Changes]:
    """What a state would lose on the val split without some structures: they are cut on trial, and nothing is kept.

    Really cut, as in a measurement of sensitivity: a smaller model takes less time than a masked one. It is not proven.
    Of a large split some samples are compared first, and handed over as `Progress.made`.

    Args:
        session: Has the state, and data.
        state: Id of what is cut on trial.
        removed: [S] what goes; what is gone already stays gone.
        token: Cancels.

    Raises:
        PlanError: This cannot be cut.
        SecateurError: The data knows nothing of single samples, or the cut does not run.
    """
    task, one, split = session.task, session.history.state(state), Split.VAL
    # Learned masks are closed gates in an uncut model, and go in the same cut.
    before = session.removed(state)
    after = before | removed | from_identities(session.analysis, one.chosen)[0]
    yield Progress("Cutting on trial", share=0.0)
    cut_model = cut(
        session.model(state), session.analysis, after, session.prepared.inputs, before=before, edits=one.edits
    ).model.eval()
    info, names, shown, share = session.loaded.info, (state, TRIAL), "Evaluating the trial", CUT_ON_TRIAL
    size = info.sizes.get(split.value, 0) if info is not None and isinstance(task, DataTask) else 0
    if size > 2 * FIRST:
        # Samples are often sorted by class or by source: some of all, not the first ones.
        only = np.linspace(0, size - 1, FIRST).round().astype(np.int64)
        found = list[Evaluation]()
        with session.running(state) as model:
            for number, each in enumerate((model, cut_model)):
                job = run_evaluation(task, each, split, token, shown, session.device, session.passes, only=only)
                found.append((yield from spanning(job, share + 0.1 * number, share + 0.1 * (number + 1))))
        first, second = found
        if first.predictions is not None and second.predictions is not None:
            metrics = (first.metric, second.metric)
            part = compare(first.predictions, second.predictions, names=names, metrics=metrics)
            rows = part.samples and replace(part.samples, rows=only[part.samples.rows])
            yield Progress(shown, share=share + 0.2, made=replace(part, samples=rows))
        share += 0.2
    metric, predictions = yield from spanning(_predictions(session, state, split, token), share, (share + COMPARED) / 2)
    job = run_evaluation(task, cut_model, split, token, shown, session.device, session.passes, asked=True)
    tried = yield from spanning(job, (share + COMPARED) / 2, COMPARED)
    if tried.predictions is None:
        raise _no_samples_error(session)
    return compare(
        predictions,
        tried.predictions,
        names=names,
        metrics=(metric, tried.metric),
        slices=task.slices(split) if isinstance(task, DataTask) else None,
    )


def kept_changes(history: StateHistory, before: str, after: str) -> Changes | None:
    """What changed, by what is kept of both on the same split; None where that is not enough. Nothing is opened."""
    for split in (Split.TEST, Split.VAL):
        found = [kept_predictions(history, name, split) for name in (before, after)]
        known = [one for one in found if one is not None]
        if len(known) == 2 and known[0][1].kind is known[1][1].kind:
            (first, predictions), (second, others) = known
            return compare(predictions, others, names=(before, after), metrics=(first, second))
    return None


def classes_that_pay(history: StateHistory, state: str, baselines: Sequence[Baseline]) -> tuple[Message, ...]:
    """Which classes a state or its baselines lose significantly, and the other ones do not; by what is kept of them.

    Args:
        history: Has the state, the baselines and the original.
        state: Id of the state.
        baselines: What it is compared with.
    """
    original = next(iter(history.states))
    own = kept_changes(history, original, state)
    found = list[Message]()
    for one in baselines:
        its = kept_changes(history, original, one.id)
        if own is None or its is None or own.by_class is None or its.by_class is None:
            continue
        mine, theirs = own.by_class, its.by_class
        # A class that all models lose says nothing of either.
        lost = [
            {name: group_change(changes, group, row) for row, name in enumerate(group.names) if group.worse[row]}
            for changes, group in ((own, mine), (its, theirs))
        ]
        words = {"title": title(one.title), "own": state}
        if only := [f"{name} ({lost[1][name]})" for name in lost[1] if name not in lost[0]]:
            template = "Only {title} loses these classes more than the rest: {classes}."
            found.append(Message("baselines.its_classes", template, words | {"classes": listed(only, CLASSES)}))
        if only := [f"{name} ({lost[0][name]})" for name in lost[0] if name not in lost[1]]:
            template = "Only the pruned model loses these classes more than the rest, {title} does not: {classes}."
            found.append(Message("baselines.own_classes", template, words | {"classes": listed(only, CLASSES)}))
    return tuple(found)


def read_samples(session: Session, split: Split, rows: Sequence[int]) -> tuple[Sample, ...]:
    """Some samples of a split to look at, () where the task cannot show single ones."""
    task = session.task
    found = task.show(split, np.array(rows, np.int64)) if isinstance(task, DataTask) else ()
    return tuple(one if one.image is None else replace(one, image=_thumbnail(one.image)) for one in found)


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] with at most `LARGEST` pixels a side: the window keeps hundreds of them."""
    if max(pixels.shape[:2]) <= LARGEST:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST))
    return np.asarray(image)


def _predictions(session: Session, name: str, split: Split, token: CancelToken) -> Job[tuple[Metric, Predictions]]:
    """The metric of a state or a baseline on a split, and what that is made of."""
    if (kept := kept_predictions(session.history, name, split)) is not None:
        return kept
    baseline = session.history.baselines.get(name)
    if baseline is None:
        evaluation = yield from session.evaluate_samples(name, split, token)
    else:
        _, model, _ = measurable(session, name)
        shown = "Evaluating the baseline"
        evaluation = yield from run_evaluation(session.task, model, split, token, shown, session.device, asked=True)
        if split is baseline.metric.split:
            metric = session.keep_predictions(evaluation)
            session.history.put_baseline(replace(baseline, metric=metric))
    if evaluation.predictions is None:
        raise _no_samples_error(session)
    return evaluation.metric, evaluation.predictions


def _no_samples_error(session: Session) -> SecateurError:
    template = (
        "The metric of {data} has no value for single samples, so what changed cannot be shown. Return 'samples' "
        "from evaluate in a task.py, or attach labelled data."
    )
    title = "" if session.loaded.info is None else session.loaded.info.title
    return SecateurError("changes.no_samples", template, data=title)
