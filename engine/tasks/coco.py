"""Images with COCO-style annotations: one JSON file for each split, or one to divide."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
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
from ..errors import DataError, TaskError
from ..inference.model_inputs import Inputs
from .coco_files import AnnotatedImage, annotation_files, read_annotations
from .data import Data
from .data_task import SHOWN, SHOWN_FROM, DataTask
from .image_samples import sample
from .images import ImageReader, image_size
from .model_outputs import evaluating, run_model
from .protocol import Sample, Split, TaskInfo, TaskSpec
from .purposes.detection import Boxes, numbering
from .purposes.protocol import Purpose, Rows
from .purposes.table import purpose_of
from .splitting import divide, seed_of

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
        targets: list[dict[str, Tensor]] = []
        for one in batch[1]:
            kept = ~one.crowd
            targets.append({"boxes": one.boxes[kept], "labels": _renumber(one.labels[kept], numbers)})
        return self.purpose.loss(training_losses(model, batch[0], targets), (batch[0],), targets)

    def _batch(self, split: Split, rows: NDArray[np.int64]) -> tuple[Any, Any]:
        """Images and targets, boxes of each."""
        return self._data.read(split, rows), list(self._data.targets(split, rows))

    def _evaluate_batches(self, predict: Any, split: Split, order: NDArray[np.int64]) -> Iterator[Rows]:
        """What was found in each image of a batch, and what is in it."""
        numbers = self._numbers(predict if isinstance(predict, nn.Module) else self._original)
        for rows in self._in_batches(order):
            images, targets = self._batch(split, rows)
            if isinstance(predict, nn.Module):
                found = run_model(predict, (images,))
            elif in_two_stages(self._original):
                answers = [run_model(predict, {IMAGES: torch.as_tensor(image)[None]}) for image in images]
                found = [{name: one[name] for name in FOUND} for one in answers]
            else:
                found = self._boxes_of_maps(predict, images)
            right = [replace(one, labels=_renumber(one.labels, numbers)) for one in targets]
            yield self.purpose.rows(found, (images,), right)

    def _boxes_of_maps(self, predict: Any, images: Any) -> list[dict[str, Tensor]]:
        """Boxes in each image, made of the maps that an exported file gives for images of one size."""
        # A file takes the size of the examples by which the original was analysed.
        height, width = images_of(analysis_inputs(self._original, self.example_inputs())).shape[-2:]
        given = torch.cat([resized(image[None], (height, width)) for image in images])
        outputs = run_model(predict, {IMAGES: given, MAPS: True})
        maps = {name: torch.as_tensor(outputs[name]) for name in maps_of(self._original)}
        found = boxes_of(self._original, maps, (height, width))
        scales = [torch.tensor([image.shape[-1] / width, image.shape[-2] / height] * 2) for image in images]
        return [{**one, "boxes": one["boxes"] * scale} for one, scale in zip(found, scales, strict=True)]

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
            sure = [one["labels"][one["scores"] >= SHOWN_SCORE].tolist() for one in found]
            said = [self._words([ids.get(number, -1) for number in labels]) for labels in sure]
        words = [self._words(one.labels.tolist()) for one in targets]
        return tuple(sample(*one) for one in zip(images, words, said, strict=True))

    def _words(self, categories: Sequence[int]) -> str:
        """How often each category occurs: "2 cat, 1 dog"."""
        names = dict(zip(cast("BoxData", self._data).categories, self._data.classes, strict=True))
        counted = Counter(names[one] for one in categories if one in names)
        return ", ".join(f"{count} {name}" for name, count in counted.most_common(SHOWN)) or "nothing"


def _renumber(labels: Tensor, numbers: Mapping[int, int]) -> Tensor:
    return torch.tensor([numbers[int(one)] for one in labels], dtype=torch.int64)


class CocoImages:
    """Images with boxes (`Data`).

    Attributes:
        title: Name of the folder.
        classes: Names of the categories, in the order of their ids.
        categories: Ids of the categories, which need not follow one another.
        used: Those of them that a box has.
        labelled: Always.
    """

    labelled = True

    def __init__(self, spec: TaskSpec, found: dict[Split, list[AnnotatedImage]], names: dict[int, str]) -> None:
        """Divide the images that were found."""
        self.title = Path(spec.path).name
        self.categories = tuple(sorted(names))
        self.classes = tuple(names[number] for number in self.categories)
        self.used = {one for images in found.values() for image in images for one in image.categories}
        rows = divide({split: len(images) for split, images in found.items()}, seed_of(spec))
        self._images: dict[Split, list[AnnotatedImage]] = {}
        for split, (source, taken) in rows.items():
            self._images[split] = [found[source][row] for row in map(int, taken)]
        self._spec, self._reader = spec, ImageReader(replace(spec, size=None))

    def size(self, split: Split) -> int:
        """How many images a split has."""
        return len(self._images[split])

    def read(self, split: Split, rows: NDArray[np.int64]) -> Any:
        """Images [n, C, H, W] float32, or a list of [C, H, W] where they differ in size and are not resized."""
        images: list[Tensor] = []
        for row in map(int, rows):
            pixels = self._reader.read([str(self._images[split][row].file)])
            images.append((pixels if self._spec.size is None else resized(pixels, self._spec.size))[0])
        return torch.stack(images) if len({one.shape for one in images}) == 1 else images

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        """[n] objects, the `Boxes` of each image, with the ids of categories as labels."""
        found = np.empty(len(rows), dtype=object)
        for place, row in enumerate(map(int, rows)):
            one = self._images[split][row]
            boxes = torch.tensor(one.boxes, dtype=torch.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            area = torch.tensor(one.areas, dtype=torch.float32)
            if self._spec.size is not None:
                width, height = one.size or image_size(one.file)
                across, down = self._spec.size[1] / width, self._spec.size[0] / height
                boxes, area = boxes * torch.tensor([across, down, across, down]), area * across * down
            labels = torch.tensor(one.categories, dtype=torch.int64)
            found[place] = Boxes(boxes, labels, torch.tensor(one.crowd, dtype=torch.bool), area)
        return found


def open_coco(spec: TaskSpec) -> DetectionTask:
    """Open a folder of images with COCO-style annotations, or one such file."""
    root = Path(spec.path)
    files = annotation_files(root) if root.exists() else {}
    if not files:
        template = (
            "{path} contains no annotations. Put a .json file in it, in a folder annotations, or beside each "
            "split's images."
        )
        raise DataError("coco.missing", template, path=spec.path)
    purpose = purpose_of(spec, "detection")
    found: dict[Split, list[AnnotatedImage]] = {}
    names: dict[int, str] = {}
    for split, file in files.items():
        found[split], said = read_annotations(file, root)
        names = names or said
        if said != names:
            template = "{path} has other categories than the other splits. Give all splits the same ids and names."
            raise DataError("coco.splits", template, path=str(file))
    return DetectionTask(spec, CocoImages(spec, found, names), purpose)
