"""Top-1 accuracy over batches as a job, with its binomial standard error."""

import math
from collections.abc import Iterable

import torch
from torchmetrics.classification import MulticlassAccuracy

from ..errors import TaskError
from ..jobs import CancelToken, Job, Progress, check
from .protocol import Metric, Split


def measure(
    judged: Iterable[tuple[torch.Tensor, torch.Tensor]], total: int, split: Split, name: str, token: CancelToken
) -> Job[Metric]:
    """The share of answers [N, classes] whose largest is at the right class [N].

    Args:
        judged: Batches of answers and right classes.
        total: Samples in all, 0 when unknown.
        split: What is measured on.
        name: What the share is called.
        token: Looked at before every batch.
    """
    accuracy: MulticlassAccuracy | None = None
    count = 0
    check(token)
    for answers, right in judged:
        if not bool(answers.isfinite().all()):
            raise TaskError(
                "task.not_finite", "The model answers with values that are no numbers. Check the preprocessing."
            )
        accuracy = accuracy or MulticlassAccuracy(answers.shape[1], average="micro")
        accuracy.update(answers.detach().cpu(), right.cpu())
        count += len(right)
        yield Progress(f"Evaluating on {split.value}", count, total, {"top1": float(accuracy.compute())})
        check(token)
    if accuracy is None:
        raise TaskError("task.no_batches", "The split {split} has no batches; give it some data.", split=split.value)
    value = round(float(accuracy.compute()) * count) / count  # torchmetrics answers in float32
    return Metric(name, value, count, math.sqrt(value * (1 - value) / count), split)
