"""A forward in double precision throughout, whatever the model's own code converts to on the way."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def throughout(model: nn.Module) -> AbstractContextManager[Any]:
    """`Double` for a model in double precision; another may make its float64 less, as on the way to a table."""
    return Double() if any(p.dtype is torch.float64 for p in model.parameters()) else nullcontext()


class Double(TorchDispatchMode):
    """Within it, float64 is never made less; operators that know no float64 are computed by others.

    Models convert to float32 what they hold to be delicate (a softmax, a norm); in a comparison in float64 that would
    be the least precise step.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, in float64 where it is given that."""
        kwargs = dict(kwargs or {})
        if func is torch.ops.aten._to_copy.default and args[0].dtype is torch.float64:
            wanted = kwargs.get("dtype")
            if wanted is not None and wanted.is_floating_point:
                kwargs["dtype"] = torch.float64
        if func is torch.ops.aten._grouped_mm.default and args[0].dtype is torch.float64:
            return _grouped_mm(*args, **kwargs)
        if func in DISTANCES and args[0].dtype is torch.float64 and (len(args) < 3 or args[2] == 2.0):
            return torch.ops.aten._cdist_forward.default(*args[:2], 2.0, WITHOUT_PRODUCTS)
        return func(*args, **kwargs)


DISTANCES = (torch.ops.aten._euclidean_dist.default, torch.ops.aten._cdist_forward.default)
"""Roots of differences of products, of which half the digits are left where a distance is near zero."""
WITHOUT_PRODUCTS = 2
"""The mode of `cdist` that subtracts first."""


def _grouped_mm(rows: torch.Tensor, stack: torch.Tensor, offs: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """[s, k] times the [k, n] of the group that a row belongs to; rows behind the last group are zero."""
    result = rows.new_zeros(rows.shape[0], stack.shape[-1])
    start = 0
    for number, end in enumerate(map(int, offs)):
        torch.mm(rows[start:end], stack[number], out=result[start:end])
        start = end
    return result
