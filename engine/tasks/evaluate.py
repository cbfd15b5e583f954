"""Evaluates a metric over batches as a job, with n and its standard error."""

from collections.abc import Iterable

import numpy as np

from ..errors import Message, TaskError
from ..jobs import CancelToken, Job, Progress, check
from .protocol import Metric, Split
from .purposes.protocol import Purpose, Rows


def measure(
    judged: Iterable[Rows], purpose: Purpose, total: int, split: Split, agreement: bool, token: CancelToken
) -> Job[Metric]:
    """The metric of a purpose.

    Args:
        judged: Rows of each batch.
        purpose: What turns them into a metric.
        total: Samples in all, 0 when unknown.
        split: What is measured on.
        agreement: Whether the original said what is right.
        token: Looked at before every batch.
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
    return Metric(
        name=purpose.agreement if agreement else purpose.metric,
        value=purpose.statistic(rows),
        count=purpose.count(rows),
        error=purpose.error(rows, purpose.statistic),
        split=split,
        percent=purpose.percent,
        higher_is_better=purpose.higher_is_better,
    )
