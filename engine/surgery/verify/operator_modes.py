"""Dispatch modes around the runs of a verification, so that two models of different sizes can be compared at all.

`SameDraws` gives both the same random numbers, `MinimumPrecision` keeps both in one type, and `RegionsInRange` refuses
what would read memory at random.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch

from ...structures.op_sequence import Operation
from ...tracing.operator_mode import OperatorMode

Draw: TypeAlias = Callable[[float, dict[str, Any]], Any]
"""From a number in (0, 1) and the arguments to what a call draws."""
STEP = (math.sqrt(5) - 1) / 2
"""Multiples of the golden ratio fill an interval evenly."""


def _draw_flags(one: float, given: dict[str, Any]) -> Any:
    p = given["p"] if "p" in given else given["self"]
    if not isinstance(p, torch.Tensor):
        return 1.0  # nothing is dropped
    return torch.where(p.isnan(), p, (one < p).to(p.dtype))  # what is absent remains so


DRAWS: dict[str, Draw] = {
    **dict.fromkeys(("aten.rand", "aten.rand_like"), lambda one, _: one),
    **dict.fromkeys(
        ("aten.randn", "aten.randn_like", "aten.normal", "aten.normal_"),
        lambda one, given: given.get("mean", 0.0) + given.get("std", 1.0) * (4 * one - 2),
    ),
    "aten.uniform_": lambda one, given: given["from"] + (given["to"] - given["from"]) * one,
    "aten.exponential_": lambda one, given: -math.log(one) / given["lambd"],
    **dict.fromkeys(("aten.bernoulli", "aten.bernoulli_"), _draw_flags),
    "aten.native_dropout": lambda _, given: given["input"],
}
"""What is drawn; nothing is dropped."""


def draws_numbers(script: Iterable[Operation]) -> bool:
    """A run has random numbers in it."""
    return any(one.op in DRAWS for one in script)


class SameDraws(OperatorMode):
    """Context manager in which each random call draws one number for all positions, the same in each run.

    A forward that draws noise as wide as its features draws other numbers when it is cut. What a comparison needs is no
    chance, only the same numbers in both runs, so a smaller tensor gets the same number as a larger one.
    """

    def __init__(self) -> None:
        """Start with the first call."""
        super().__init__()
        self._calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator; what would be drawn is exchanged."""
        name = str(func.overloadpacket)
        draw = DRAWS.get(name)
        if draw is None:
            return func(*args, **(kwargs or {}))
        given: dict[str, Any] = {a.name: a.default_value for a in func._schema.arguments if a.default_value is not None}
        given |= dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | (kwargs or {})
        self._calls += 1
        drawn = draw(0.1 + 0.8 * (self._calls * STEP % 1), given)
        if name.endswith("_"):
            return args[0].copy_(drawn) if isinstance(drawn, torch.Tensor) else args[0].fill_(drawn)
        if not isinstance(drawn, torch.Tensor):
            return func(*args, **(kwargs or {})).fill_(drawn)
        whole = torch.ones_like(drawn, dtype=torch.bool)
        return (drawn.clone(), whole) if name == "aten.native_dropout" else drawn.clone()


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
        found = self.replace_call(func, args, kwargs or {})
        return grouped_mm(*args, **(kwargs or {})) if found is None else found[0](*found[1], **found[2])

    def replace_call(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any, Any] | None:
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


REGIONS = frozenset(f"torchvision.{name}" for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"))
"""Their first argument is [N, C, H, W], their second [K, 5] with the number of an image before each box."""


def reads_regions(script: Iterable[Operation]) -> bool:
    """A run has such operators."""
    return any(one.op in REGIONS for one in script)


class RegionsInRange(OperatorMode):
    """Context manager in which regions outside of an image raise IndexError.

    torchvision would read what is in memory there, and a model that runs on that cannot be compared with anything.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator."""
        if str(func.overloadpacket) in REGIONS:
            images: torch.Tensor = args[1][:, 0]
            if images.numel() and not bool(((images >= 0) & (images < args[0].shape[0])).all()):
                raise IndexError(f"a region of an image that a batch of {args[0].shape[0]} does not have")
        return func(*args, **(kwargs or {}))
