"""Detects a wrong normalisation by trying other usual means and deviations on a few samples.

A better way is told, never taken unasked. Samples are paired, so that a few are enough: the difference of two shares of
right answers on the same samples has the standard error of the mean of the differences, each -1, 0 or 1.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check
from ..messages import title
from .image_samples import per_channel
from .model_outputs import evaluating, logits, run_model
from .protocol import DataHint, Split, Task, option

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
KINDS = ("folder", "arrays", "parquet", "idx", "cifar")
"""Forms of data that may be pictures with a class each."""
FIRST, ALL = 64, 512
"""Samples that are looked at, and those that are where the first let another way seem better."""
SPLITS = (Split.VAL, Split.TRAIN)
"""Where they are from: a small val split decides nothing. The test split is kept for the result."""
SEED = 0
SURE, LEAST = 3.0, 0.02
"""Standard errors, and share of right answers, by which another way must be better."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Pixels from 0 to 1 [N, C, H, W] and which class each is [N]."""

    pixels: torch.Tensor
    labels: torch.Tensor


def better_normalisation(task: Task, model: Any, token: CancelToken) -> Job[DataHint | None]:
    """A remark where the model answers clearly more often right with other means and deviations; None otherwise.

    Args:
        task: Only classification of images is looked at; all else gives no remark. Samples are drawn from all classes.
        model: Left as it is.
        token: Stops the job.
    """
    now = (task.spec.mean or (0.0,), task.spec.std or (1.0,))
    seen = list(_pixels(task, now))
    if not seen:
        return None
    yield Progress("Trying other normalisations")
    ways = {name: way for name, way in WAYS[seen[0].pixels.shape[1]].items() if not _same(way, now)}
    right = {name: np.zeros(0) for name in ways}
    asked = np.zeros(0)
    for one in seen:
        check(token)
        if len(asked) >= FIRST:  # none that seems no better is tried further
            right = {name: found for name, found in right.items() if _lead(found, asked)[0] > 0}
        asked = np.append(asked, _right(task, model, one, now))
        right = {name: np.append(found, _right(task, model, one, ways[name])) for name, found in right.items()}
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


def _pixels(task: Task, now: MeanAndStd) -> Iterator[_Seen]:
    """Samples of the val split, then of the train split, as pixels from 0 to 1; nothing for what is no such image."""
    count = 0
    if task.spec.kind not in KINDS or option(task.spec, "purpose", "classification") != "classification":
        return
    # in a drawn order: folders are sorted by class
    for batch in chain.from_iterable(task.batches(split, SEED) for split in SPLITS):
        x, labels = cast("tuple[Any, Any]", batch)
        if not (_is(x, torch.float32, 4) and _is(labels, torch.int64, 1) and x.shape[1] in WAYS):
            return
        pixels = x * per_channel(now[1], x) + per_channel(now[0], x)
        if float(pixels.min()) < -1e-3 or float(pixels.max()) > 1.001:
            return
        for part in range(0, len(labels), FIRST):
            if count >= ALL:
                return
            end = part + min(FIRST, ALL - count)
            yield _Seen(pixels[part:end], labels[part:end])
            count += len(labels[part:end])


def _is(x: Any, kind: torch.dtype, dims: int) -> bool:
    return isinstance(x, torch.Tensor) and x.dtype == kind and x.ndim == dims


def _right(task: Task, model: Any, seen: _Seen, way: MeanAndStd) -> NDArray[np.float64]:
    """[N] 1 where the model answers with the right class."""
    x = (seen.pixels - per_channel(way[0], seen.pixels)) / per_channel(way[1], seen.pixels)
    with evaluating(model):
        answer = logits(run_model(model, task.inputs((x, seen.labels))))
    return (answer.argmax(1).cpu() == seen.labels).double().numpy()


def _lead(found: NDArray[np.float64], asked: NDArray[np.float64]) -> tuple[float, float]:
    """By how much a way is better, and the standard error of that; of one sample that is not known."""
    differences = found - asked
    if len(differences) < 2:
        return float(differences.mean()), math.inf
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _same(one: MeanAndStd, other: MeanAndStd) -> bool:
    return all(np.allclose(np.broadcast_arrays(a, b)[0], b) for a, b in zip(one, other, strict=True))
