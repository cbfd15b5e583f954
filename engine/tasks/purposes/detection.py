"""Detection: the detector's own losses, and mean average precision over IoU 0.5 to 0.95 as COCO measures it.

Boxes of crowds are ignored: what is found in them counts neither for nor against. The standard error is by a jackknife
that leaves out a group of images in turn (Quenouille 1956, Tukey 1958): average precision ranks the boxes of all images
together, so that a bootstrap would rank all of them again for each of its draws.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...adapters.torchvision_detection import FOUND
from ...errors import Message, TaskError
from ...inference.model_inputs import Inputs
from ..data import Data, all_rows
from ..packages import require_package
from ..protocol import Split
from .protocol import Purpose, Rows


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes in an image; no mapping, so that a list of them is one for each image and nothing else.

    Attributes:
        boxes: [M, 4] as x1, y1, x2, y2 in pixels.
        labels: [M] int64, category ids or a model's numbers.
        crowd: [M] bool, whether a box stands for a crowd.
        area: [M] of what is in the box, in pixels.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    area: Tensor


GROUPS = 20
"""Of images, each left out once."""


def _check(data: Data) -> int:
    for split in Split:
        targets: Rows = data.targets(split, all_rows(data, split)) if data.labelled else np.empty(0)
        if targets.dtype != np.object_:
            raise TaskError("detection.data", "Detection needs images with boxes. Open COCO-style annotations.")
        if not any((~one.crowd).any() for one in targets):
            template = (
                "No image of the {split} split has a box, so nothing can be measured on it. Add images with boxes."
            )
            raise TaskError("detection.empty", template, split=split.value)
    return 0


def _answer(outputs: Any, _inputs: Inputs) -> Any:
    """What was found in each image."""
    found = cast("list[Any]", outputs) if isinstance(outputs, list) else [outputs]
    if not all(isinstance(one, Mapping) and "boxes" in one for one in found):
        template = (
            "Model output is {given}; detection expects boxes, labels and scores for each image, as torchvision's "
            "detectors return them."
        )
        raise TaskError("detection.outputs", template, given=type(found[0]).__name__)
    return found


def _loss(outputs: Any, _inputs: Inputs, _targets: Any) -> Tensor:
    """The sum of the losses that a detector answers with in training."""
    return torch.stack([part.reshape(()) for part in outputs.values()]).sum()


def _rows(outputs: Any, inputs: Inputs, targets: Sequence[Boxes]) -> Rows:
    """[n] pairs: what was found in an image, and what is in it."""
    found = _answer(outputs, inputs)
    rows = np.empty(len(found), dtype=object)
    for place, (one, right) in enumerate(zip(found, targets, strict=True)):
        said = {name: one[name].detach().cpu() for name in FOUND}
        if not bool(said["boxes"].isfinite().all() & said["scores"].isfinite().all()):
            template = "The predicted boxes contain NaN or infinity. Check the preprocessing."
            raise TaskError("task.boxes_not_finite", template)
        crowd = {"iscrowd": right.crowd.long(), "area": right.area}
        rows[place] = said, {"boxes": right.boxes, "labels": right.labels, **crowd}
    return rows


def _mean_average_precision(rows: Rows) -> float:
    """0 to 1; not a number where no image has a box."""
    what = Message("task.detections", "Detections")
    require_package("faster_coco_eval", "detection", what)
    metric = require_package("torchmetrics.detection", "detection", what).MeanAveragePrecision(
        backend="faster_coco_eval"
    )
    metric.warn_on_many_detections = False
    metric.update([said for said, _ in rows], [right for _, right in rows])
    value = float(metric.compute()["map"])
    return value if value >= 0 else math.nan


def jackknife(rows: Rows, statistic: Callable[[Rows], float]) -> NDArray[np.float64]:
    """[n] a statistic without each of at most `GROUPS` groups of samples, spread to deviate by its standard error."""
    groups = min(GROUPS, len(rows))
    if groups < 2:
        return np.empty(0)
    group = np.random.default_rng(0).permutation(len(rows)) % groups
    values = np.array([statistic(rows[group != left]) for left in range(groups)])
    return values.mean() + (groups - 1) / math.sqrt(groups) * (values - values.mean())


PURPOSE = Purpose(
    metric="mAP",
    agreement="mAP with the original's boxes",
    check=_check,
    answer=_answer,
    loss=_loss,
    rows=_rows,
    statistic=_mean_average_precision,
    replicates=jackknife,
    percent=True,
)


def numbering(categories: Sequence[int], classes: int, background: bool, used: Collection[int]) -> dict[int, int]:
    """Category ids to the numbers that a model gives classes.

    Args:
        categories: Ids, sorted; they need not follow one another.
        classes: How many classes the model tells apart, 0 where it does not say.
        background: Whether its class 0 stands for nothing at all.
        used: Categories that a box has: some tools write one above all others as 0, and give it to none.

    Returns:
        The ids themselves where the model has a class for each number up to the highest (COCO's own models have 91 for
        80 categories); else numbers in the order of the ids, from 1 behind a background, or from 0.

    Raises:
        TaskError: The model has another number of classes.
    """
    count, same = len(categories), {one: one for one in categories}
    if not classes or (classes == categories[-1] + 1 and not (background and 0 in same)):
        return same
    if classes in (count + 1, count + (1 if background else 0)):
        return {one: place + classes - count for place, one in enumerate(categories)}
    if background and 0 in same and 0 not in used and count > 1:
        return numbering(categories[1:], classes, background, used)
    template = (
        "The data has {count} categories with ids up to {highest}, but the model distinguishes {classes} classes. "
        "Open the data that it was trained on."
    )
    raise TaskError("detection.classes", template, count=count, highest=categories[-1], classes=classes)
