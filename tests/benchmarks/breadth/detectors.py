"""torchvision's detectors, compared before the step that chooses boxes.

With random weights nearly equal scores decide which boxes win, so that a difference of 1e-7 gives other detections.
What the network computes is compared instead: the maps of its heads, the second stage on boxes that are given.
"""

from typing import Any

import torch
from torch import nn
from torchvision import models

from secateur.engine.adapters.torchvision_detection import IMAGES, MAPS, with_maps

from .subject import Subject

SIDE = 128


def detector(name: str) -> Subject:
    """A detector that is run for its maps."""

    def make() -> nn.Module:
        return with_maps(models.get_model(name, weights=None, weights_backbone=None, **_options(name)))

    return Subject(make, lambda: {IMAGES: torch.rand(2, 3, SIDE, SIDE), MAPS: True}, afterwards=detects)


def detects(model: nn.Module) -> None:
    """The model's own forward runs too."""
    with torch.no_grad():
        model([torch.rand(3, SIDE, SIDE)])


def _options(name: str) -> dict[str, Any]:
    return {} if name.startswith("ssd") else {"min_size": SIDE, "max_size": SIDE}
