"""Models in bfloat16: which they are, and inputs of their type. Loads torch.

Such a model is kept as it is: it is opened, rated, evaluated and exported with weights of 2 bytes. Where sums need more
digits, the code that sums takes float32 for them, a tensor at a time.
"""

from typing import Any

import torch
from torch import nn

from .model_inputs import Inputs, mapped

WIDER = (torch.float32, torch.float64)


def in_bfloat16(model: Any) -> bool:
    """Whether any weight of a model is in bfloat16."""
    return isinstance(model, nn.Module) and any(one.dtype is torch.bfloat16 for one in model.parameters())


def settled(model: nn.Module) -> nn.Module:
    """The same module with its floating tensors in float32, but for those in bfloat16."""

    def change(one: torch.Tensor) -> torch.Tensor:
        return one.float() if one.is_floating_point() and one.dtype is not torch.bfloat16 else one

    return model._apply(change)  # pyright: ignore[reportPrivateUsage] - what `float()` itself calls


def narrowed(inputs: Inputs) -> Inputs:
    """The same inputs with floating tensors in bfloat16."""
    return mapped(inputs, lambda one: one.to(torch.bfloat16) if getattr(one, "dtype", None) in WIDER else one)


def widened(inputs: Inputs) -> Inputs:
    """The same inputs with tensors in bfloat16 as float32."""
    return mapped(inputs, lambda one: one.float() if getattr(one, "dtype", None) is torch.bfloat16 else one)
