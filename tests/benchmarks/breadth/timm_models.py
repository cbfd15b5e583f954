"""timm: the smallest model of every family (a module of `timm.models`), its own test models left out."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from .subject import Subject

SIDE = 64
"""Side of the images where the model takes any; else what its configuration asks for."""


def names() -> list[str]:
    """The smallest model of each family, small ones first."""
    cache = Path(__file__).parent / "results" / f"timm-{timm.__version__}.json"
    if not cache.exists():
        cache.parent.mkdir(exist_ok=True)
        cache.write_text(json.dumps(_smallest(), indent=1), encoding="utf-8")
    return list(json.loads(cache.read_text(encoding="utf-8")))


def _smallest() -> dict[str, int]:
    """Model name to number of parameters, found by building every model on the meta device."""
    best: dict[str, tuple[int, str]] = {}
    for family in timm.list_modules():
        for name in timm.list_models(module=family, exclude_filters="test_*"):
            with contextlib.suppress(Exception), torch.device("meta"):  # those that cannot be built there are not small
                size = sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters())
                best[family] = min(best.get(family, (size, name)), (size, name))
    return {name: size for size, name in sorted(best.values())}


def subject(name: str) -> Subject:
    """A model with random weights and the smallest images that it takes."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return Subject(lambda: _make(name), lambda: _inputs(name))


def _make(name: str) -> nn.Module:
    return timm.create_model(name, pretrained=False)


def _inputs(name: str) -> tuple[torch.Tensor, ...]:
    """Images of `SIDE`, doubled until the model takes them, at last of the size that it was made for."""
    model = _make(name).eval()
    config: dict[str, Any] = model.pretrained_cfg  # pyright: ignore[reportAssignmentType]
    channels, height, width = config["input_size"]
    sizes = [] if config.get("fixed_input_size") else [SIDE, 2 * SIDE]
    for side in sizes:
        with contextlib.suppress(Exception), torch.no_grad():
            model(torch.randn(2, channels, side, side))
            return (torch.randn(2, channels, side, side),)
    return (torch.randn(2, channels, height, width),)
