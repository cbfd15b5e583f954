"""Mirrors training images; the teacher's outputs serve as targets, so labels are not needed. Loads torch."""

from typing import Any

import torch
from torch import Tensor

from ..errors import TaskError
from ..model_inputs import Inputs, mapped, named_arrays

IMAGES = (4, 5)
"""Dimensions of images [N, C, H, W] and clips [N, C, T, H, W]."""


def mirrored(inputs: Inputs) -> Inputs:
    """A model's inputs with about half of the samples mirrored left to right, in all images of a sample alike.

    Draws from torch's global generator.

    Raises:
        TaskError: No input is a batch of images.
    """
    images = [one for _, one in named_arrays(inputs) if _is_image(one)]
    if not images:
        raise TaskError(
            "recovery.mirror",
            "No model input is a batch of images (N, C, H, W), so nothing can be mirrored. Turn off mirrored images.",
        )
    count = len(images[0])
    chosen = torch.rand(count) < 0.5

    def mirror(one: Any) -> Any:
        if not _is_image(one) or len(one) != count:
            return one
        return torch.where(chosen.to(one.device).reshape(-1, *[1] * (one.ndim - 1)), one.flip(-1), one)

    return mapped(inputs, mirror)


def _is_image(one: Any) -> bool:
    return isinstance(one, Tensor) and one.is_floating_point() and one.ndim in IMAGES
