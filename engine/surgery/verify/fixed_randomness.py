"""Makes random operators draw one number for all positions, so that a smaller tensor gets the same.

A forward that draws noise as wide as its features draws other numbers when it is cut. What a comparison needs is no
chance, only the same numbers in both runs: each call draws one, which stands at all places.
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


def _normal(one: float, given: dict[str, Any]) -> Any:
    return given.get("mean", 0.0) + given.get("std", 1.0) * (4 * one - 2)


def _bernoulli(one: float, given: dict[str, Any]) -> Any:
    p = given["p"] if "p" in given else given["self"]
    if not isinstance(p, torch.Tensor):
        return 1.0  # nothing is dropped
    return torch.where(p.isnan(), p, (one < p).to(p.dtype))  # what is absent remains so


DRAWS: dict[str, Draw] = {
    **dict.fromkeys(("aten.rand", "aten.rand_like"), lambda one, _: one),
    **dict.fromkeys(("aten.randn", "aten.randn_like", "aten.normal", "aten.normal_"), _normal),
    "aten.uniform_": lambda one, given: given["from"] + (given["to"] - given["from"]) * one,
    "aten.exponential_": lambda one, given: -math.log(one) / given["lambd"],
    **dict.fromkeys(("aten.bernoulli", "aten.bernoulli_"), _bernoulli),
    "aten.native_dropout": lambda _, given: given["input"],
}
"""What is drawn; nothing is dropped."""


def draws(script: Iterable[Operation]) -> bool:
    """A run has random numbers in it."""
    return any(one.op in DRAWS for one in script)


class SameDraws(OperatorMode):
    """Context manager in which each random call draws one number for all positions, the same in each run."""

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
