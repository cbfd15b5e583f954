"""Can a comparison tell a fault from rounding? Not where a network makes much of every small change."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ..tracing.reading import Inputs, tensors_of
from .compare import TOLERANCE, Beside, Run, Seen, Trail, worst_difference

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
    dtype = _dtype_of(model)
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
    return _too_much(moved, dtype)


def rounds_off(model: nn.Module, run: Callable[[nn.Module, Seen], Run]) -> bool:
    """The roundings of its operators would exceed the tolerance: a norm of what is nearly the same everywhere.

    Where `chaotic` changes what a model is given, here each result is changed on its own, as rounding does.

    Args:
        model: A private copy in float64 or float32.
        run: Runs it, and tells of the results of its modules.
    """
    dtype, trail = _dtype_of(model), Trail()
    plain, beside = run(model, trail.keep), Beside(trail)
    with _Rounded(CHANGE[dtype]):
        moved = worst_difference(plain.outputs, run(model, beside.see).outputs)
    return _too_much(max(moved, beside.worst()[0]), dtype)


def _dtype_of(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.dtype in CHANGE), torch.float32)


def _too_much(moved: float, dtype: torch.dtype) -> bool:
    """What a change of `CHANGE` moved would, for one of the size of roundings, exceed the tolerance."""
    return moved / CHANGE[dtype] * MARGIN * torch.finfo(dtype).eps > TOLERANCE[dtype]


class _Rounded(TorchDispatchMode):
    """Results are off by up to a share of themselves."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share, self._generator = share, torch.Generator().manual_seed(3)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in () if func.is_view else tensors_of(result):
            if one.is_floating_point():
                noise = torch.rand(one.shape, generator=self._generator, dtype=one.dtype).to(one.device)
                one.mul_(1 + self._share * (2 * noise - 1))
        return result
