"""The boxes and labels of an image, as targets of detection."""

from dataclasses import dataclass

from torch import Tensor


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
