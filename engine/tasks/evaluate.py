"""Evaluates a model, on a device and by domain, in smaller parts of each batch where there is too little memory."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, TaskError
from ..inference.batch_parts import PassLimit, in_fitting_parts
from ..inference.model_inputs import Inputs, batch_size, token_count
from ..jobs import CancelToken, Job, Progress, check
from ..machine.devices import CPU, device_for, placed
from .domain_mixture import DomainTask
from .predictions import Evaluation, SampledTask
from .protocol import Metric, Split, Task
from .purposes.protocol import Purpose, Rows, written_replicates

Result = TypeVar("Result")


def measure(
    judged: Iterable[Rows],
    purpose: Purpose,
    total: int,
    split: Split,
    agreement: bool,
    token: CancelToken,
    classes: tuple[str, ...] = (),
) -> Job[Evaluation]:
    """The metric of a purpose, with the predictions that it is made of.

    Args:
        judged: Rows of each batch.
        purpose: What turns them into a metric.
        total: Samples in all, 0 when unknown.
        split: What is measured on.
        agreement: Whether the original said what is right.
        token: Looked at before every batch.
        classes: Names of the classes.
    """
    parts: list[Rows] = []
    count = 0
    shown = Message("progress.evaluating", "Evaluating on the {split} split", {"split": split.value})
    check(token)
    for rows in judged:
        parts.append(rows)
        count += len(rows)
        yield Progress(shown, count, total)
        check(token)
    if not parts:
        raise TaskError("task.no_batches", "The {split} split has no batches. Add data to it.", split=split.value)
    rows = np.concatenate(parts)
    replicates = purpose.replicates(rows, purpose.statistic)
    if purpose.error is not None:
        error = purpose.error(rows)
    else:
        error = float(np.nanstd(replicates, ddof=1)) if len(replicates) > 1 else 0.0
    metric = Metric(
        name=purpose.agreement if agreement else purpose.metric,
        value=purpose.statistic(rows),
        count=purpose.count(rows),
        error=error,
        split=split,
        percent=purpose.percent,
        higher_is_better=purpose.higher_is_better,
        replicates=written_replicates(replicates),
    )
    if purpose.predictions is None:
        return Evaluation(metric)
    return Evaluation(metric, replace(purpose.predictions(rows), classes=classes))


def evaluate_on(
    task: Task, model: Any, split: Split, token: CancelToken, *, device: str = CPU, limit: PassLimit | None = None
) -> Job[Metric]:
    """The metric of a model, which is lent to a device meanwhile; a model that is there already stays there.

    Args:
        task: Gives batches and metric.
        model: A module, or a function that answers as one.
        split: What is evaluated on.
        token: Cancels.
        device: Where the model runs.
        limit: How many samples run at a time, kept from one job to the next; None to find out.

    Raises:
        OutOfMemory: One sample at a time is too much.
    """
    job = _run_on(lambda: task.evaluate(model, split, token), task, model, split, device, limit)
    return (yield from job)


def evaluate_samples_on(
    task: Task,
    model: Any,
    split: Split,
    token: CancelToken,
    *,
    device: str = CPU,
    limit: PassLimit | None = None,
    asked: bool = False,
    only: NDArray[np.int64] | None = None,
) -> Job[Evaluation]:
    """The same with the predictions, where the task knows them; `asked` and `only` as in `SampledTask`."""

    def evaluate() -> Job[Evaluation]:
        if isinstance(task, SampledTask):
            return (yield from task.evaluate_samples(model, split, token, asked, only))
        return Evaluation((yield from task.evaluate(model, split, token)))

    return (yield from _run_on(evaluate, task, model, split, device, limit))


def _run_on(
    job: Callable[[], Job[Result]], task: Task, model: Any, split: Split, device: str, limit: PassLimit | None
) -> Job[Result]:
    where = yield from device_for(device, model)
    limit = PassLimit() if limit is None else limit
    limit.begin(where)
    with placed(where, model):
        return (yield from in_fitting_parts(job, model, lambda: first_inputs(task, split), limit))


def fitting_domain_losses(
    task: DomainTask, model: Any, split: Split, token: CancelToken, limit: PassLimit
) -> Job[NDArray[np.float64]]:
    """[k] losses of a model in the domains of a split, in nats a token.

    Args:
        task: Names the domains.
        model: Where it is to run.
        split: What is evaluated on.
        token: Cancels.
        limit: How many samples run at a time; fewer where memory runs out.
    """
    job = in_fitting_parts(
        lambda: task.domain_losses(model, split, token), model, lambda: first_inputs(task, split), limit
    )
    return (yield from job)


def first_inputs(task: Task, split: Split) -> Inputs | None:
    """The model's inputs in the first batch of a split; None where it has none."""
    batch: Any = next(iter(task.batches(split)), None)
    return None if batch is None else task.inputs(batch)


def sample_tokens(task: Task) -> int:
    """Tokens of a sample, padding aside; 0 where it is no text, or where the task gives no example."""
    # What a user's task lacks is reported where it is needed, not here.
    try:
        inputs = task.example_inputs()
    except Exception:
        return 0
    return token_count(inputs) // batch_size(inputs)
