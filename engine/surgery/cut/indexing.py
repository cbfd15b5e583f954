"""Makes operators raise where they would silently read outside of their input.

What lies there is chance, and a model that runs on it cannot be compared with anything.
"""

from collections.abc import Iterable
from typing import Any

import torch

from ...structures.op_sequence import Operation
from ...tracing.operator_mode import OperatorMode

REGIONS = frozenset(f"torchvision.{name}" for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"))
"""Their first argument is [N, C, H, W], their second [K, 5] with the number of an image before each box."""


def reads_regions(script: Iterable[Operation]) -> bool:
    """A run has such operators."""
    return any(one.op in REGIONS for one in script)


class RegionsInRange(OperatorMode):
    """Context manager in which regions outside of an image raise IndexError."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator."""
        if str(func.overloadpacket) in REGIONS:
            images: torch.Tensor = args[1][:, 0]
            if images.numel() and not bool(((images >= 0) & (images < args[0].shape[0])).all()):
                raise IndexError(f"a region of an image that a batch of {args[0].shape[0]} does not have")
        return func(*args, **(kwargs or {}))
