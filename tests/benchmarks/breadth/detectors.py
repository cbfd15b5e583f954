"""torchvision's detectors, compared before the step that chooses boxes.

With random weights nearly equal scores decide which boxes win, so that a difference of 1e-7 gives other detections.
What the network computes is compared instead: the first stage's maps, and the second stage on boxes that are given.
"""

from typing import Any

import torch
from torch import nn
from torchvision import models

from .subject import Subject

SIDE = 128
BOXES = torch.tensor([[4.0, 4.0, 60.0, 90.0], [30.0, 20.0, 120.0, 100.0], [0.0, 50.0, 128.0, 128.0]])


def detector(name: str) -> Subject:
    """A detector whose forward returns what it computes instead of what it detects."""

    def make() -> nn.Module:
        model = models.get_model(name, weights=None, weights_backbone=None, **_options(name))
        model.__class__ = type(type(model).__name__, (_Maps, type(model)), {})
        return model

    return Subject(make, lambda: ([torch.rand(3, SIDE, SIDE), torch.rand(3, SIDE, SIDE)],), afterwards=detects)


def detects(model: nn.Module) -> None:
    """The model's own forward runs too."""
    own = type(model)
    model.__class__ = own.__mro__[2]
    with torch.no_grad():
        model([torch.rand(3, SIDE, SIDE)])
    model.__class__ = own


def _options(name: str) -> dict[str, Any]:
    return {} if name.startswith("ssd") else {"min_size": SIDE, "max_size": SIDE}


class _Maps:
    """Mixed into a detector's class."""

    def forward(self: Any, images: list[torch.Tensor]) -> Any:
        """All raw results of the heads."""
        batch, _ = self.transform(images)
        features = self.backbone(batch.tensors)
        if not hasattr(self, "roi_heads"):
            return self.head(list(features.values()))
        first = self.rpn.head(list(features.values()))
        boxes = [BOXES.to(batch.tensors.dtype) for _ in images]
        heads, sizes = self.roi_heads, batch.image_sizes
        second = [heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))]
        if heads.has_mask():
            second.append(heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, sizes))))
        if heads.has_keypoint():
            pooled = heads.keypoint_roi_pool(features, boxes, sizes)
            second.append(heads.keypoint_predictor(heads.keypoint_head(pooled)))
        return first, second
