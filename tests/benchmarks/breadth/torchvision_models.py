"""Every model of torchvision except the quantised ones."""

from typing import Any
from unittest import mock

import torch
from torch import nn
from torchvision import models
from torchvision.models.video import mvit

from .subject import Subject

SIDE = {"inception_v3": 299, "googlenet": 96, "maxvit_t": 224}
"""Side of the images where 64 will not do; vision transformers have their own."""


def names() -> list[str]:
    """Classification, segmentation, video, flow, detection; by number of parameters within each."""
    found = [n for n in models.list_models() if not n.startswith("quantized_")]
    return sorted(found, key=lambda n: (GROUPS.index(group(n)), _parameters(n), n))


GROUPS = ("", "segmentation", "video", "optical_flow", "detection")


def group(name: str) -> str:
    """ "detection", "segmentation", "video", "optical_flow", or "" for classification."""
    part = models.get_model_builder(name).__module__.split(".")[2]
    return part if part in GROUPS else ""


def subject(name: str) -> Subject:
    """A model with random weights and images as small as it takes."""
    kind = group(name)
    options: dict[str, Any] = {"weights_backbone": None} if kind in ("detection", "segmentation") else {}
    if name in ("inception_v3", "googlenet"):
        options["init_weights"] = False  # scipy's truncated normal takes a minute
    if kind == "detection":
        from .detectors import detector

        return detector(name)
    if "mvit" in name:
        return Subject(lambda: _small_mvit(name), lambda: _inputs(name, kind))
    return Subject(lambda: models.get_model(name, weights=None, **options), lambda: _inputs(name, kind))


def _small_mvit(name: str) -> nn.Module:
    """An MViT for clips as small as those of the other video networks: its builder allows one size alone."""
    build = mvit._mvit  # pyright: ignore[reportPrivateUsage] - all that a builder calls

    def smaller(*given: Any, **options: Any) -> nn.Module:
        """The same network for other clips."""
        return build(*given, **{**options, "spatial_size": (64, 64)})

    with mock.patch.object(mvit, "_mvit", smaller):
        return models.get_model(name, weights=None)


def _inputs(name: str, kind: str) -> tuple[Any, ...]:
    if kind == "video":
        frames, side = (14, 224) if name.startswith("s3d") else (16, 64)
        return (torch.randn(2, 3, frames, side, side),)
    if kind == "optical_flow":
        return (torch.randn(1, 3, 128, 128), torch.randn(1, 3, 128, 128))
    side = SIDE.get(name, 64)
    if name.startswith("vit_"):
        side = 518 if name == "vit_h_14_swag" else 224
    return (torch.randn(2, 3, side, side),)


def _parameters(name: str) -> int:
    weights = models.get_model_weights(name)
    return min((w.meta["num_params"] for w in weights), default=0)
