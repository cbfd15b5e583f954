"""torchvision's detectors, whose second stage would otherwise depend on which random boxes win."""

from typing import Any

import torch
from torch import nn
from torchvision import models

from .subject import Subject

SIDE = 128


def detector(name: str) -> Subject:
    """A detector on two small images of one size."""

    def make() -> nn.Module:
        return models.get_model(name, weights=None, weights_backbone=None, **_options(name))

    return Subject(make, lambda: ([torch.rand(3, SIDE, SIDE), torch.rand(3, SIDE, SIDE)],))


def _options(name: str) -> dict[str, Any]:
    return {} if name.startswith("ssd") else {"min_size": SIDE, "max_size": SIDE}
