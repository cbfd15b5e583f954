"""Hints that a model was trained on the same data prepared otherwise: another normalisation, another order of classes.

Both are found by what the model predicts for a few samples, and are only suggested, never applied unasked.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check
from ..messages import listed, title
from .image_samples import per_channel
from .model_outputs import evaluating, logits, run_model
from .protocol import CLASSES, DataHint, Split, Task, option

SPLITS = (Split.VAL, Split.TRAIN)
"""Where samples are from: a small val split decides nothing, and the test split is kept for the result."""
SEED = 0
"""Of the order in which samples are drawn: folders are sorted by class."""

MeanAndStd = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation per channel, of pixels from 0 to 1."""
WAYS: dict[int, dict[str, MeanAndStd]] = {
    3: {
        "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
        "values from -1 to 1": ((0.5,), (0.5,)),
        "values from 0 to 1": ((0.0,), (1.0,)),
        "values from 0 to 255": ((0.0,), (1 / 255,)),
    },
    1: {
        "MNIST": ((0.1307,), (0.3081,)),
        "Fashion-MNIST": ((0.286,), (0.353,)),
        "values from -1 to 1": ((0.5,), (0.5,)),
        "values from 0 to 1": ((0.0,), (1.0,)),
        "values from 0 to 255": ((0.0,), (1 / 255,)),
    },
}
"""What the field subtracts and divides by, for colours and for greys."""
PICTURES = ("folder", "arrays", "parquet", "idx", "cifar")
"""Forms of data that may be pictures with a class each."""
FIRST, ALL = 64, 512
"""Samples that are looked at, and those that are where the first let another way seem better."""
SURE, LEAST = 3.0, 0.02
"""Standard errors, and share of right answers, by which another way must be better."""
NAMED_CLASSES = ("folder", "parquet", "csv")
"""Forms of data whose classes have names, and that can take another order of them."""
MOST, EACH = 512, 8
"""Samples that are looked at for the order of classes, and how many there must be for each class."""
RIGHT, LEAD = 0.6, 0.2
"""Share of right predictions that another order must have, and by which it must be better."""
NAMED = 8
"""Classes that a sentence names."""

Labelled = tuple[torch.Tensor, torch.Tensor]
"""Pixels from 0 to 1 [N, C, H, W], and which class each is [N]."""


def better_normalisation(task: Task, model: Any, token: CancelToken) -> Job[DataHint | None]:
    """A hint where the model is right clearly more often with other means and deviations; None otherwise.

    Samples are paired, so that a few are enough: the difference of two shares of right answers on the same samples has
    the standard error of the mean of the differences, each -1, 0 or 1.

    Args:
        task: Only classification of images is looked at; all else gives no remark. Samples are drawn from all classes.
        model: Left as it is.
        token: Stops the job.
    """
    now = (task.spec.mean or (0.0,), task.spec.std or (1.0,))
    seen = list(_read_pixels(task, now))
    if not seen:
        return None
    yield Progress("Trying other normalisations")
    ways = {name: way for name, way in WAYS[seen[0][0].shape[1]].items() if not _are_equal(way, now)}
    right = {name: np.zeros(0) for name in ways}
    asked = np.zeros(0)
    for part in seen:
        check(token)
        # After the first samples only ways that seem better are tried further.
        if len(asked) >= FIRST:
            right = {name: found for name, found in right.items() if _lead(found, asked)[0] > 0}
        asked = np.append(asked, _correct(task, model, part, now))
        right = {name: np.append(found, _correct(task, model, part, ways[name])) for name, found in right.items()}
        if not right:
            break
    leads = {name: _lead(found, asked) for name, found in right.items()}
    sure = {name: lead for name, (lead, error) in leads.items() if lead > max(SURE * error, LEAST)}
    if not sure:
        return None
    best = max(sure, key=sure.__getitem__)
    mean, std = ways[best]
    return DataHint(
        Message(
            "task.preparation",
            "The model gets {before} of {count} samples right with the current normalisation, and {after} with the "
            "normalisation for {way}. If it was trained that way, open the data with mean {mean} and std {std}.",
            {
                "count": len(asked),
                "before": int(asked.sum()),
                "after": int(right[best].sum()),
                "way": title(best),
                "mean": ", ".join(f"{v:g}" for v in mean),
                "std": ", ".join(f"{v:g}" for v in std),
            },
        ),
        replace(task.spec, mean=mean, std=std),
    )


def _read_pixels(task: Task, now: MeanAndStd) -> Iterator[Labelled]:
    """Samples of the val split, then of the train split, as pixels; nothing for what is no such image."""
    count = 0
    if not _is_classification(task, PICTURES):
        return
    for batch in chain.from_iterable(task.batches(split, SEED) for split in SPLITS):
        x, labels = cast("tuple[Any, Any]", batch)
        is_image = isinstance(x, torch.Tensor) and x.dtype == torch.float32 and x.ndim == 4 and x.shape[1] in WAYS
        if not is_image or not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
            return
        pixels = x * per_channel(now[1], x) + per_channel(now[0], x)
        if float(pixels.min()) < -1e-3 or float(pixels.max()) > 1.001:
            return
        for part in range(0, len(labels), FIRST):
            if count >= ALL:
                return
            end = part + min(FIRST, ALL - count)
            yield pixels[part:end], labels[part:end]
            count += len(labels[part:end])


def _is_classification(task: Task, kinds: tuple[str, ...]) -> bool:
    return task.spec.kind in kinds and option(task.spec, "purpose", "classification") == "classification"


def _correct(task: Task, model: Any, samples: Labelled, way: MeanAndStd) -> NDArray[np.float64]:
    """[N] 1 where the model answers with the right class."""
    pixels, labels = samples
    x = (pixels - per_channel(way[0], pixels)) / per_channel(way[1], pixels)
    with evaluating(model):
        outputs = logits(run_model(model, task.inputs((x, labels))))
    return (outputs.argmax(1).cpu() == labels).double().numpy()


def _lead(found: NDArray[np.float64], asked: NDArray[np.float64]) -> tuple[float, float]:
    """By how much a way is better, and the standard error of that; of one sample that is not known."""
    differences = found - asked
    if len(differences) < 2:
        return float(differences.mean()), math.inf
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _are_equal(one: MeanAndStd, other: MeanAndStd) -> bool:
    return all(np.allclose(np.broadcast_arrays(a, b)[0], b) for a, b in zip(one, other, strict=True))


def other_class_order(task: Task, model: Any, names: tuple[str, ...], token: CancelToken) -> Job[DataHint | None]:
    """A hint where the model is right in another order of the classes, and not in that of the data; None otherwise.

    A folder's classes are numbered by the alphabet, a model's by whoever trained it. Where they differ, a good model
    seems bad, and recovery would train it anew. The order is chosen on one half of the samples and has to be right on
    the other half.

    Args:
        task: Only classification with named classes is looked at.
        model: Left as it is.
        names: Of the classes, in the order of the data; with more than 64 of them nothing is predicted.
        token: Stops the job.
    """
    classes = len(names)
    if not _is_classification(task, NAMED_CLASSES) or not 2 <= classes <= MOST // EACH:
        return None
    yield Progress("Comparing the order of the classes")
    labels, predicted = _predict_classes(task, model, min(MOST, 2 * EACH * classes), token)
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


def _predict_classes(
    task: Task, model: Any, most: int, token: CancelToken
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels [N] and predicted classes [N] of samples in a drawn order; nothing for what is no classification."""
    nothing = np.zeros(0, np.int64)
    labels, predicted = [nothing], [nothing]
    for batch in chain.from_iterable(task.batches(split, SEED) for split in SPLITS):
        check(token)
        _, given = cast("tuple[Any, Any]", batch)
        with evaluating(model):
            outputs = logits(run_model(model, task.inputs(batch)))
        if not isinstance(given, torch.Tensor) or given.ndim != 1 or outputs.ndim != 2:
            return nothing, nothing
        labels.append(given.cpu().numpy().astype(np.int64))
        predicted.append(outputs.argmax(1).cpu().numpy().astype(np.int64))
        if sum(map(len, labels)) >= most:
            break
    return np.concatenate(labels)[:most], np.concatenate(predicted)[:most]
