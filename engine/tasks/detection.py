"""The detection task: the detector computes its own losses, and its boxes are evaluated.

A live model answers with boxes, and so does the file of one in two stages. The file of another holds the network up to
the maps of its heads, at one size of image; the boxes are chosen here, by the original's anchors and thresholds, and
moved back to the image.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..adapters.torchvision_detection import (
    FOUND,
    IMAGES,
    MAPS,
    analysis_inputs,
    boxes_of,
    classes_of,
    family,
    images_of,
    in_two_stages,
    maps_of,
    resized,
    training_losses,
)
from ..errors import TaskError
from ..model_inputs import Inputs
from .boxes import Boxes
from .data import Data
from .data_task import SHOWN, SHOWN_FROM, DataTask
from .image_samples import sample
from .model_outputs import evaluating, run_model
from .protocol import Sample, Split, TaskInfo, TaskSpec
from .purposes.detection import numbering
from .purposes.protocol import Purpose, Rows

SHOWN_SCORE = 0.5
"""Boxes that are shown have at least this score."""


class BoxData(Data, Protocol):
    """Data of images with boxes.

    Attributes:
        categories: Ids of the categories, sorted.
        used: Those of them that a box has.
    """

    categories: tuple[int, ...]
    used: set[int]


class DetectionTask(DataTask):
    """Images and boxes; a batch is (images [n, 3, H, W] or a list of them, the `Boxes` of each).

    The labels of a batch are category ids; what the model calls them is known with the model.
    """

    def __init__(self, spec: TaskSpec, data: BoxData, purpose: Purpose) -> None:
        """Judge and train by `data`."""
        super().__init__(spec, data, purpose)
        self._known: dict[int, int] | None = None

    def info(self, model: Any | None) -> TaskInfo:
        """As of any data; a model that is no detector, or has other classes, is refused."""
        if model is not None:
            self._numbers(model)
        return super().info(model)

    def example_inputs(self) -> Inputs:
        """Two training images, at the size of the first."""
        images = list(self._data.read(Split.TRAIN, np.arange(2) % self._data.size(Split.TRAIN)))
        return (torch.cat([resized(one[None], images[0].shape[-2:]) for one in images]),)

    def inputs(self, batch: Any) -> Inputs:
        """The images."""
        return (batch[0],)

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The detector's own losses; boxes of crowds are left out."""
        numbers = self._numbers(model)
        targets = [_without_crowds(one, numbers) for one in batch[1]]
        return self.purpose.loss(training_losses(model, batch[0], targets), (batch[0],), targets)

    def _batch(self, split: Split, rows: NDArray[np.int64]) -> tuple[Any, Any]:
        """Images and targets, boxes of each."""
        return self._data.read(split, rows), list(self._data.targets(split, rows))

    def _judged(self, predict: Any, split: Split) -> Iterator[Rows]:
        """What was found in each image of a batch, and what is in it."""
        numbers = self._numbers(predict if isinstance(predict, nn.Module) else self._original)
        for rows in self._ordered(split, None):
            images, targets = self._batch(split, rows)
            found = self._found(predict, images)
            right = [replace(one, labels=_numbered(one.labels, numbers)) for one in targets]
            yield self.purpose.rows(found, (images,), right)

    def _found(self, predict: Any, images: Any) -> Any:
        """Boxes in each image: what a model or a file answers, or what is made of the maps that a file gives."""
        if isinstance(predict, nn.Module):
            return run_model(predict, (images,))
        if in_two_stages(self._original):
            found = [run_model(predict, {IMAGES: torch.as_tensor(image)[None]}) for image in images]
            return [{name: one[name] for name in FOUND} for one in found]
        size = self._size_of_file()
        given = torch.cat([resized(image[None], size) for image in images])
        answer = run_model(predict, {IMAGES: given, MAPS: True})
        maps = {name: torch.as_tensor(answer[name]) for name in maps_of(self._original)}
        found = boxes_of(self._original, maps, size)
        scales = [torch.tensor([image.shape[-1] / size[1], image.shape[-2] / size[0]] * 2) for image in images]
        return [{**one, "boxes": one["boxes"] * scale} for one, scale in zip(found, scales, strict=True)]

    def _size_of_file(self) -> tuple[int, int]:
        """(height, width) that a file takes: that of the examples by which the original was analysed."""
        height, width = images_of(analysis_inputs(self._original, self.example_inputs())).shape[-2:]
        return height, width

    def _numbers(self, model: Any) -> dict[int, int]:
        """Category ids to the model's numbers; a cut one has those of its original."""
        if self._known is None:
            if not family(model):
                template = (
                    "Only torchvision's detectors can be evaluated on boxes (Faster, Mask and Keypoint R-CNN, "
                    "RetinaNet, SSD, FCOS), and {given} is not one. Define its loss and metric in a task.py."
                )
                raise TaskError("detection.model", template, given=type(model).__name__)
            data = cast("BoxData", self._data)
            self._known = numbering(data.categories, *classes_of(model), data.used)
        return self._known

    def _samples(self, model: Any | None) -> tuple[Sample, ...]:
        """The first images, with what is in them and what the model finds, in words."""
        rows = np.arange(min(self._data.size(SHOWN_FROM), SHOWN))
        images, targets = list(self._data.read(SHOWN_FROM, rows)), self._data.targets(SHOWN_FROM, rows)
        said = [""] * len(images)
        if model is not None:
            with evaluating(model):
                found = self.purpose.answer(run_model(model, (images,)), (images,))
            ids = {number: category for category, number in self._numbers(model).items()}
            said = [self._words([ids.get(n, -1) for n in _sure(one)]) for one in found]
        words = [self._words(one.labels.tolist()) for one in targets]
        return tuple(sample(*one) for one in zip(images, words, said, strict=True))

    def _words(self, categories: Sequence[int]) -> str:
        """How often each category occurs: "2 cat, 1 dog"."""
        names = dict(zip(cast("BoxData", self._data).categories, self._data.classes, strict=True))
        counted = Counter(names[one] for one in categories if one in names)
        return ", ".join(f"{count} {name}" for name, count in counted.most_common(SHOWN)) or "nothing"


def _sure(found: Mapping[str, Tensor]) -> list[int]:
    return [int(one) for one in found["labels"][found["scores"] >= SHOWN_SCORE]]


def _numbered(labels: Tensor, numbers: Mapping[int, int]) -> Tensor:
    return torch.tensor([numbers[int(one)] for one in labels], dtype=torch.int64)


def _without_crowds(one: Boxes, numbers: Mapping[int, int]) -> dict[str, Tensor]:
    """What a detector learns of an image."""
    kept = ~one.crowd
    return {"boxes": one.boxes[kept], "labels": _numbered(one.labels[kept], numbers)}
