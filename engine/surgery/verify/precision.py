"""Runs a forward in one precision throughout, whatever the model's code converts to."""

from typing import Any

import torch

from ...tracing.operator_mode import OperatorMode

FACTORIES = frozenset(
    f"aten.{name}"
    for name in (
        "zeros", "ones", "empty", "full", "new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like",
        "empty_like", "full_like", "empty_strided", "new_empty_strided", "arange", "linspace", "eye", "scalar_tensor",
    )
)  # fmt: skip


class MinimumPrecision(OperatorMode):
    """Context manager that never lowers a floating type; operators without it are computed by others.

    Models convert to float32 what they hold to be delicate (a softmax, a norm); in a comparison in float64 that would
    be the least precise step. They also ask their weights for a type, which may be stored in less than they are read.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """Take float32 or float64."""
        super().__init__()
        self._dtype, self._lower = dtype, LOWER[dtype]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, in the finer type where it is given that."""
        found = self.exchanged(func, args, kwargs or {})
        return grouped_mm(*args, **(kwargs or {})) if found is None else found[0](*found[1], **found[2])

    def exchanged(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any, Any] | None:
        """What to call in place of an operator, with its arguments; None where that is `grouped_mm`."""
        wanted = kwargs.get("dtype")
        if wanted in self._lower:
            name = str(func.overloadpacket)
            # In a backward pass a parameter gets its gradient in its own type.
            lowers = name == "aten._to_copy" and args[0].dtype is self._dtype
            if name in FACTORIES or (lowers and torch._C._current_graph_task_id() == -1):  # pyright: ignore[reportPrivateUsage]
                kwargs = {**kwargs, "dtype": self._dtype}
        if func in DISTANCES and args[0].dtype is torch.float64 and (len(args) < 3 or args[2] == 2.0):
            return torch.ops.aten._cdist_forward.default, (*args[:2], 2.0, WITHOUT_PRODUCTS), {}
        if func is torch.ops.aten._grouped_mm.default and args[0].dtype is torch.float64:
            return None
        return func, args, kwargs


DISTANCES = (torch.ops.aten._euclidean_dist.default, torch.ops.aten._cdist_forward.default)
"""Roots of differences of products, of which half the digits are left where a distance is near zero."""
WITHOUT_PRODUCTS = 2
"""The mode of `cdist` that subtracts first."""
HALF = (torch.float16, torch.bfloat16)
LOWER = {torch.bfloat16: (), torch.float32: HALF, torch.float64: (*HALF, torch.float32)}
"""Types that are less than another."""


def grouped_mm(rows: torch.Tensor, stack: torch.Tensor, offs: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """[s, k] times the [k, n] of the group that a row belongs to; rows behind the last group are zero.

    In a backward pass each group's [k, s] times its [s, n].
    """
    each = stack.dim() == 2
    shape = (len(offs), rows.shape[0]) if each else rows.shape[:1]
    result = rows.new_zeros(*shape, stack.shape[-1])
    start = 0
    for number, end in enumerate(map(int, offs)):
        if each:
            torch.mm(rows[:, start:end], stack[start:end], out=result[number])
        else:
            torch.mm(rows[start:end], stack[number], out=result[start:end])
        start = end
    return result
