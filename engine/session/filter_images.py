"""The filters of a model's first convolution as images: the one layer whose weights people can see. Loads no torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Mask

COLOURS = (1, 3)
"""Input channels that make an image: grey, or red, green and blue."""
LARGEST = 64
"""Side of a kernel in pixels beyond which it is no filter to look at."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Images of filters.

    Attributes:
        parameter: Name of the weight.
        index: [n] original numbers of the filters that are left.
        images: [n, height, width, 3] uint8; grey is 0, the largest weight of each filter is full.
    """

    parameter: str
    index: NDArray[np.int64]
    images: NDArray[np.uint8]


def first_convolution(analysis: Analysis) -> int:
    """Number of the weight whose filters read the image itself and can be removed, -1 where there is none."""
    for number, one in enumerate(analysis.tensors):
        if one.parameter and len(one.shape) == 4 and one.axes[0] >= 0 and one.axes[1] < 0:
            height, width = one.shape[2:]
            if one.shape[1] in COLOURS and height * width > 1 and max(height, width) <= LARGEST:
                return number
    return -1


def filters_of(model: Any, analysis: Analysis, removed: Mask) -> Filters | None:
    """The images of a state's model, None where it has no such layer."""
    number = first_convolution(analysis)
    if number < 0:
        return None
    one = analysis.tensors[number]
    weights = model.get_parameter(one.name).detach().float().cpu().numpy()
    dimensions = analysis.kept_indices(removed).get(one.name, ())
    kept = dimensions[0] if dimensions else None
    index = np.arange(one.shape[0]) if kept is None else kept
    return Filters(one.name, index.astype(np.int64), images_of(weights))


def images_of(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[n, 1 or 3, height, width] weights as [n, height, width, 3] images; not-a-number is grey."""
    whole = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(whole).max(axis=(1, 2, 3), keepdims=True)
    scaled = 127.5 * (1 + whole / np.where(largest > 0, largest, 1.0))
    images = np.rint(scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images)
