"""Detects networks that amplify rounding so much that a comparison cannot show a fault."""

from collections.abc import Callable

import torch
from torch.utils._pytree import tree_map_only

from ...tracing.tree import Inputs
from .run_comparison import TOLERANCE, ComparedRun, worst_difference

CHANGE = {torch.float64: 2.0**-32, torch.float32: 2.0**-14}
"""Relative change by which a network is tried, far above the rounding of its type."""
MARGIN = 10
"""Roundings on the way that one change of all numbers stands for."""


def is_chaotic(dtype: torch.dtype, plain: ComparedRun, run: Callable[[float], ComparedRun]) -> bool:
    """Rounding alone would exceed the tolerance: small changes of all numbers come out many times as large.

    Args:
        dtype: Of the comparison, float64 or float32.
        plain: The network on its weights and inputs.
        run: Runs it with all of them changed by up to a share of themselves.
    """
    moved = worst_difference(plain.outputs, run(CHANGE[dtype]).outputs)
    return moved / CHANGE[dtype] * MARGIN * torch.finfo(dtype).eps > TOLERANCE[dtype]


def perturbed(inputs: Inputs, share: float) -> Inputs:
    """Inputs of which every floating number is larger by up to a share of itself."""
    generator = torch.Generator().manual_seed(3)

    def larger(one: torch.Tensor) -> torch.Tensor:
        if not one.is_floating_point():
            return one
        noise = torch.rand(one.shape, generator=generator, dtype=one.dtype)
        return one * (1 + share * noise.to(one.device))

    return tree_map_only(torch.Tensor, larger, inputs)
