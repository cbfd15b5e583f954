"""The optimisers for recovery, one line each, and their learning-rate schedule. Loads torch."""

from collections.abc import Callable
from math import cos, pi
from typing import Any

import torch
from torch import nn

from .protocol import Optimizer, RecoverySettings

MakeOptimizer = Callable[[list[dict[str, Any]], RecoverySettings], torch.optim.Optimizer]

OPTIMIZERS: dict[Optimizer, MakeOptimizer] = {
    Optimizer.ADAMW: lambda groups, s: torch.optim.AdamW(groups, lr=s.peak),
    Optimizer.ADAM: lambda groups, s: torch.optim.Adam(groups, lr=s.peak),
    Optimizer.SGD: lambda groups, s: torch.optim.SGD(groups, lr=s.peak, momentum=0.9, nesterov=True),
}
"""Name in recipes to the optimiser over groups of parameters."""


def optimizer_of(student: nn.Module, settings: RecoverySettings) -> torch.optim.Optimizer:
    """Over what was trainable (everything, where nothing was).

    Vectors such as biases and norms decay with SGD alone, which is what `torch.optim.SGD(model.parameters())` does and
    what published recipes for it mean.
    """
    floating = [p for p in student.parameters() if p.is_floating_point()]
    chosen = [p for p in floating if p.requires_grad] or [p.requires_grad_(True) for p in floating]
    spared = set[nn.Parameter]() if settings.optimizer is Optimizer.SGD else {p for p in chosen if p.ndim < 2}
    groups = [
        {"params": [p for p in chosen if p not in spared], "weight_decay": settings.weight_decay},
        {"params": [p for p in chosen if p in spared], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[settings.optimizer]([g for g in groups if g["params"]], settings)


START = 0.1
END = 0.001
"""Rates at both ends, as shares of the peak."""


def one_cycle(position: float, warm_up: float = 0.15) -> float:
    """Share of the peak learning rate at a position of the training, 0 to 1; it rises in the first `warm_up` (0..1)."""
    if position < warm_up:
        return _cosine(START, 1.0, position / warm_up)
    return _cosine(1.0, END, (position - warm_up) / max(1.0 - warm_up, 1e-9))


def _cosine(first: float, last: float, position: float) -> float:
    return last + (first - last) * (1.0 + cos(pi * position)) / 2.0
