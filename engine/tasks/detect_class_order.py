"""Detects that a model numbers the classes in another order than the data does, by what it predicts for a few samples.

A folder's classes are numbered by the alphabet, a model's by whoever trained it. Where they differ, a good model seems
bad, and recovery would train it anew. The order that is found is told, never taken unasked. It is chosen on one half of
the samples and has to be right on the other half.
"""

import json
from dataclasses import replace
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check
from ..messages import listed
from .model_outputs import evaluating, logits, run_model
from .protocol import CLASSES, DataHint, Split, Task, option

KINDS = ("folder", "parquet", "csv")
"""Forms of data whose classes have names, and that can take another order of them."""
MOST, EACH = 512, 8
"""Samples that are looked at, and how many there must be for each class."""
SPLITS = (Split.VAL, Split.TRAIN)
"""Where they are from; the test split is kept for the result."""
SEED = 0
RIGHT, LEAD = 0.6, 0.2
"""Share of right predictions that the other order must have, and by which it must be better."""
NAMED = 8
"""Classes that a sentence names."""


def other_class_order(task: Task, model: Any, names: tuple[str, ...], token: CancelToken) -> Job[DataHint | None]:
    """A remark where the model is right in another order of the classes, and not in that of the data; None otherwise.

    Args:
        task: Only classification with named classes is looked at.
        model: Left as it is.
        names: Of the classes, in the order of the data; with more than 64 of them nothing is predicted.
        token: Stops the job.
    """
    classes = len(names)
    if task.spec.kind not in KINDS or option(task.spec, "purpose", "classification") != "classification":
        return None
    if not 2 <= classes <= MOST // EACH:
        return None
    yield Progress("Comparing the order of the classes")
    labels, predicted = _predictions(task, model, min(MOST, 2 * EACH * classes), token)
    if len(labels) < EACH * classes or max(int(predicted.max()), int(labels.max())) >= classes:
        return None
    # Slow to import, and a session starts without it.
    from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportUnknownVariableType]

    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels[::2], predicted[::2]), 1)
    number_of: NDArray[np.int64] = np.asarray(linear_sum_assignment(counts, maximize=True)[1], np.int64)
    asked, found = labels[1::2], predicted[1::2]
    before, after = float((asked == found).mean()), float((number_of[asked] == found).mean())
    if after < RIGHT or after < before + LEAD:
        return None
    order = [names[one] for one in list[int](np.argsort(number_of))]
    template = (
        "The model seems to number the classes in another order: in the order of the data it gets {before} of {count} "
        "samples right, in the order {classes} it gets {after} right."
    )
    fields = {
        "before": int((asked == found).sum()),
        "after": int((number_of[asked] == found).sum()),
        "count": len(asked),
    }
    message = Message("task.class_order", template, {**fields, "classes": listed(order, NAMED)})
    options = tuple(one for one in task.spec.options if one[0] != CLASSES)
    return DataHint(message, replace(task.spec, options=(*options, (CLASSES, json.dumps(order)))))


def _predictions(task: Task, model: Any, most: int, token: CancelToken) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels [N] and predicted classes [N] of samples in a drawn order; nothing for what is no classification."""
    nothing = np.zeros(0, np.int64)
    labels, predicted = [nothing], [nothing]
    # in a drawn order: folders are sorted by class
    for batch in chain.from_iterable(task.batches(split, SEED) for split in SPLITS):
        check(token)
        _, given = cast("tuple[Any, Any]", batch)
        with evaluating(model):
            answer = logits(run_model(model, task.inputs(batch)))
        if not isinstance(given, torch.Tensor) or given.ndim != 1 or answer.ndim != 2:
            return nothing, nothing
        labels.append(given.cpu().numpy().astype(np.int64))
        predicted.append(answer.argmax(1).cpu().numpy().astype(np.int64))
        if sum(map(len, labels)) >= most:
            break
    return np.concatenate(labels)[:most], np.concatenate(predicted)[:most]
