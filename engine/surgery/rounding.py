"""Can a comparison tell a fault from rounding? Not where a network makes much of every small change."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ..tracing.reading import Inputs
from .compare import TOLERANCE, Run, worst_difference

CHANGE = {torch.float64: 2.0**-32, torch.float32: 2.0**-14}
"""Relative change by which a network is tried, far above the rounding of its type."""
MARGIN = 10
"""Roundings on the way that one change of all numbers stands for."""


def chaotic(model: nn.Module, inputs: Inputs, plain: Run, run: Callable[[Inputs], Run]) -> bool:
    """Rounding alone would exceed the tolerance: small changes of all numbers come out many times as large.

    Args:
        model: A private copy in float64 or float32; its parameters are changed meanwhile.
        inputs: What it was run on.
        plain: That run.
        run: Runs it on other inputs.
    """
    dtype = next((p.dtype for p in model.parameters() if p.dtype in CHANGE), torch.float32)
    generator = torch.Generator().manual_seed(3)

    def nudged(one: torch.Tensor) -> torch.Tensor:
        if not one.is_floating_point():
            return one
        noise = torch.rand(one.shape, generator=generator, dtype=one.dtype)
        return one * (1 + CHANGE[dtype] * noise.to(one.device))

    own = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        for parameter, data in own:
            parameter.data = nudged(data)
        moved = worst_difference(plain.outputs, run(tree_map_only(torch.Tensor, nudged, inputs)).outputs)
    finally:
        for parameter, data in own:
            parameter.data = data
    return moved / CHANGE[dtype] * MARGIN * torch.finfo(dtype).eps > TOLERANCE[dtype]
