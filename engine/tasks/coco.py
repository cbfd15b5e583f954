"""Images with COCO-style annotations: one JSON file for each split, or one to divide."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..adapters.torchvision_detection import resized
from ..errors import DataError
from .boxes import Boxes
from .coco_files import AnnotatedImage, annotation_files, read_annotations
from .detection import DetectionTask
from .images import ImageReader, image_size
from .protocol import Split, TaskSpec
from .purposes.table import purpose_of
from .splitting import divide, seed_of


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
        images = [self._image(self._images[split][row]) for row in map(int, rows)]
        return torch.stack(images) if len({one.shape for one in images}) == 1 else images

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        """[n] objects, the `Boxes` of each image, with the ids of categories as labels."""
        found = np.empty(len(rows), dtype=object)
        for place, row in enumerate(map(int, rows)):
            found[place] = self._target(self._images[split][row])
        return found

    def _image(self, one: AnnotatedImage) -> Tensor:
        pixels = self._reader.read([str(one.file)])
        return (pixels if self._spec.size is None else resized(pixels, self._spec.size))[0]

    def _target(self, one: AnnotatedImage) -> Boxes:
        boxes = torch.tensor(one.boxes, dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        area = torch.tensor(one.areas, dtype=torch.float32)
        if self._spec.size is not None:
            width, height = one.size or image_size(one.file)
            across, down = self._spec.size[1] / width, self._spec.size[0] / height
            boxes, area = boxes * torch.tensor([across, down, across, down]), area * across * down
        labels = torch.tensor(one.categories, dtype=torch.int64)
        return Boxes(boxes, labels, torch.tensor(one.crowd, dtype=torch.bool), area)


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
