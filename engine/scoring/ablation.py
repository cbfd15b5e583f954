"""Measured ablation: how much the loss rises when a structure is removed, one structure at a time.

Michel et al. 2019 rate heads so. Nothing is estimated: the model runs without the structure, as the masked original
that cuts are verified against, so norms and statistics are those of the cut model. It costs a few batches for each
structure, so heads, key/value groups, experts and blocks are rated unless others are selected. Without a loss the
metric on the *val* split takes its place, at a whole pass for each structure.
"""

from collections.abc import Callable
from contextlib import closing, nullcontext
from itertools import islice
from math import isfinite
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import TaskError
from ..jobs import CancelToken, Job, Progress, check
from ..structures.analysis import Analysis, Kind, Mask, from_identities
from ..tasks.protocol import Metric, Split
from .gradients import nan_loss_error, no_batch_error
from .protocol import Criterion, Needs, PassCost, RatedModel, ScoringContext
from .score_options import Choices

Result = TypeVar("Result")

BATCHES = 4
"""Calibration batches for each structure."""

FEW = frozenset({Kind.HEAD, Kind.KV_GROUP, Kind.EXPERT, Kind.BLOCK})
"""Kinds of which a model has few enough to measure each."""

BASELINE = -1
"""In `RatedModel.known`, the number of the model with nothing taken away."""


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] loss without the structure minus loss with it (or what the metric loses); NaN for what is not measured."""
    chosen = structures_of(rated.analysis, rated.removed, rated.choices)
    if not len(chosen):
        template = "Nothing in the selection can be removed any more. Select other structures."
        raise TaskError("scoring.nothing_selected", template)
    assert rated.task is not None
    batches = list(islice(rated.task.batches(Split.TRAIN, seed=rated.seed), rated.choices.batches or BATCHES))
    if not batches:
        raise no_batch_error()
    losses = _loss(rated, batches[:1], BASELINE, token) is not None
    known = rated.known
    for done, structure in enumerate([BASELINE, *chosen.tolist()]):
        check(token)
        progress = Progress("Removing structures one at a time", done, len(chosen))
        yield progress
        if structure in known:
            continue
        if losses:
            known[structure] = _loss(rated, batches, structure, token) or 0.0
        else:
            known[structure] = yield from _metric_loss(rated, structure, token, progress)
    scores = np.full(rated.analysis.count, np.nan)
    scores[chosen] = [known[structure] - known[BASELINE] for structure in chosen.tolist()]
    return scores


def structures_of(analysis: Analysis, removed: Mask, choices: Choices) -> NDArray[np.int64]:
    """Numbers of the structures to measure: the selected ones, else all of few kinds, else all; never the last one."""
    left = ~removed
    for one in analysis.sets:
        if one.kind is not Kind.BLOCK and left[one.structures].sum() == 1:
            left[one.structures] = False
    if choices.selection:
        return np.flatnonzero(left & from_identities(analysis, choices.selection)[0])
    few = analysis.empty()
    for one in analysis.sets:
        few[one.structures] = one.kind in FEW
    return np.flatnonzero(left & few if (left & few).any() else left)


def cost(context: ScoringContext, choices: Choices) -> PassCost:
    """The forwards of a few batches, or of the val split, for each structure and for none taken away."""
    passes = len(structures_of(context.analysis, context.removed, choices)) + 1
    split, most = (Split.TRAIN, choices.batches or BATCHES) if context.loss else (Split.VAL, 0)
    there = (context.batches or {}).get(split, 0)
    return PassCost(passes * (min(there or most, most or there) or 1))


def _run_without(rated: RatedModel, structure: int, token: CancelToken, run: Callable[[], Result]) -> Result:
    """Run the model without a structure."""
    from ..structures.transition import Transition
    from ..surgery.verify.masked_model import masked, run_with_marks
    from ..surgery.verify.nan_masking import Marks
    from ..tracing.isolated_forward import quiet_forward
    from .cancellable_autograd import interruptible

    after = rated.removed.copy()
    if structure != BASELINE:
        after[structure] = True
    transition = Transition(rated.analysis, rated.removed, after)

    def run_with(marks: Marks) -> Result:
        """Run it with these marks for what the structure owns."""
        without = nullcontext() if structure == BASELINE else masked(rated.model, transition, marks)
        with quiet_forward(rated.model), interruptible(token), without:
            return run()

    return run_with(Marks.NAN) if structure == BASELINE else run_with_marks(run_with)[0]


def _loss(rated: RatedModel, batches: list[Any], structure: int, token: CancelToken) -> float | None:
    """Mean loss of the batches without a structure; None where the task has no loss."""
    from ..tracing.model_state import model_state_restored

    assert rated.task is not None
    task = rated.task

    def add_losses() -> float | None:
        """The sum over all batches."""
        total = 0.0
        for batch in batches:
            check(token)
            with model_state_restored(rated.model):
                loss = task.loss(rated.model, batch)
            if loss is None:
                return None
            total += float(loss)
        return total

    total = _run_without(rated, structure, token, add_losses)
    if total is None:
        return None
    if structure == BASELINE and not isfinite(total):
        raise nan_loss_error()
    return total / len(batches)


def _metric_loss(rated: RatedModel, structure: int, token: CancelToken, progress: Progress) -> Job[float]:
    """The metric without a structure, negative where higher is better."""

    def predict(*args: Any, **kwargs: Any) -> Any:
        """The model's outputs without the structure."""
        import torch

        # A pass at a time, because a context around a `yield` would reach whoever waits for it. Masking needs operators
        # as autograd sees them, which inference mode does not show.
        with torch.inference_mode(False):
            return _run_without(rated, structure, token, lambda: rated.model(*args, **kwargs))

    assert rated.task is not None
    with closing(rated.task.evaluate(predict, Split.VAL, token)) as job:
        while True:
            try:
                next(job)
            except StopIteration as stop:
                metric: Metric = stop.value
                return -metric.value if metric.higher_is_better else metric.value
            yield progress


ABLATION = Criterion(
    name="ablation",
    title="Measured ablation",
    formula=(
        "loss without the structure minus loss with it, measured by removing it (without a loss: the drop in the "
        "metric)"
    ),
    paper="Michel et al., Are Sixteen Heads Really Better than One?, 2019",
    needs=Needs.DATA,
    rate=rate,
    watches=True,
    cost=cost,
)
