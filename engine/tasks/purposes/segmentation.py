"""Segmentation: cross entropy of every pixel, and the mean intersection over union of the classes (mean IoU).

Intersections and unions are summed over all images before they are divided, as benchmarks of segmentation do
(Everingham et al. 2010). What a model answers at a lower resolution is enlarged to that of the masks.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ...errors import TaskError
from ...inference.model_inputs import Inputs
from ..data import Data, all_rows
from ..model_outputs import described_type, main_output, require_finite
from ..predictions import PredictionKind, Predictions
from ..protocol import Split
from .protocol import Purpose, Rows

IGNORED = 255
"""Class of a mask's pixels that do not count."""
LOOKED_AT = 16
"""Masks of each split, before anything is trained or judged by them."""


def _check(data: Data) -> int:
    """Looks at some masks of each split: whole numbers [N, H, W], from 0, and more than one class of them."""
    if not data.labelled:
        return 0
    looked_at = [(_has_class(mask), bool((mask == IGNORED).any())) for mask in _masks(data, LOOKED_AT)]
    ignored = any(ignores for _, ignores in looked_at) and not any(classes for classes, _ in looked_at)
    if ignored and not any(map(_has_class, _masks(data))):
        template = "The masks contain only 0 and 255, and 255 marks ignored pixels. Save the classes as 0 and 1."
        raise TaskError("segmentation.binary", template)
    return 0


def _masks(data: Data, most: int | None = None) -> Iterator[NDArray[Any]]:
    """Masks [height, width] of each split, the first ones; raises TaskError for what is none."""
    for split in Split:
        for row in all_rows(data, split)[:most]:
            masks = data.targets(split, np.array([row]))
            if not np.issubdtype(masks.dtype, np.integer) or masks.ndim != 3:
                template = (
                    "Targets of the {split} split have shape {shape} and type {dtype}; segmentation expects masks "
                    "[height, width] of integers."
                )
                shape, dtype = str(list(masks.shape[1:])), str(masks.dtype)
                raise TaskError("segmentation.masks", template, split=split.value, shape=shape, dtype=dtype)
            if int(masks.min(initial=0)) < 0:
                template = "The masks contain the number {lowest}. Number classes from 0; 255 marks ignored pixels."
                raise TaskError("segmentation.negative", template, lowest=int(masks.min()))
            yield masks[0]


def _has_class(mask: NDArray[Any]) -> bool:
    """Whether a mask holds a class besides 0."""
    return bool(((mask != 0) & (mask != IGNORED)).any())


def _logits(outputs: Any) -> torch.Tensor:
    """[N, classes, H, W]."""
    found = main_output(outputs)
    if not isinstance(found, torch.Tensor) or found.ndim != 4:
        template = (
            "Model output is {given}; segmentation expects [N, classes, height, width]. Choose another purpose, or "
            "describe the task in a task.py."
        )
        raise TaskError("segmentation.outputs", template, given=described_type(found))
    return found


def _answer(outputs: Any, _inputs: Inputs) -> torch.Tensor:
    """Class of each pixel [N, H, W]."""
    return _logits(outputs).argmax(1)


def _sized(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
    """Logits [N, classes, H, W] at the resolution of the masks [N, H, W], which must not have other classes."""
    logits = _logits(outputs)
    highest = int(torch.where(targets == IGNORED, 0, targets).max())
    if highest >= logits.shape[1]:
        template = (
            "A mask has the class {highest}, but the model has {outputs} outputs for each pixel (0 to {last}). Open "
            "the data of this model."
        )
        count = logits.shape[1]
        raise TaskError("segmentation.classes", template, highest=highest, outputs=count, last=count - 1)
    if logits.shape[2:] == targets.shape[1:]:
        return logits
    return F.interpolate(logits, targets.shape[1:], mode="bilinear", align_corners=False)


def _loss(outputs: Any, _inputs: Inputs, targets: torch.Tensor) -> torch.Tensor:
    """Of the mean pixel that counts; 0 where none does."""
    counting = (targets != IGNORED).sum().clamp_min(1)
    return F.cross_entropy(_sized(outputs, targets), targets, ignore_index=IGNORED, reduction="sum") / counting


def _rows(outputs: Any, _inputs: Inputs, targets: torch.Tensor) -> Rows:
    """[N, 2 C]: pixels in the intersection, then in the union, of each class."""
    logits = require_finite(_sized(outputs, targets))
    classes = logits.shape[1]
    said, right = logits.argmax(1).cpu().numpy(), targets.cpu().numpy()
    return np.stack([_overlaps(one[mask != IGNORED], mask[mask != IGNORED], classes) for one, mask in zip(said, right)])


def _overlaps(said: NDArray[Any], right: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """[2 C] of the pixels of one image."""
    both = np.bincount(right[said == right], minlength=classes)
    union = np.bincount(said, minlength=classes) + np.bincount(right, minlength=classes) - both
    return np.concatenate([both, union]).astype(np.float64)


def _predictions(rows: Rows) -> Predictions:
    both, union = np.split(rows.astype(np.int32), 2, axis=1)
    return Predictions(PredictionKind.OVERLAPS, {"intersection": both, "union": union})


def _mean_iou(rows: Rows) -> float:
    """Over the classes that occur."""
    both, union = np.split(rows.sum(0), 2)
    return float((both[union > 0] / union[union > 0]).mean()) if union.any() else 0.0


PURPOSE = Purpose(
    metric="mean IoU",
    agreement="mean IoU with the original",
    check=_check,
    answer=_answer,
    loss=_loss,
    rows=_rows,
    statistic=_mean_iou,
    predictions=_predictions,
    logits=True,
    percent=True,
)
