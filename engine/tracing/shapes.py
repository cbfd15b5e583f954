"""Run operators for shapes only: floating tensors on the meta device, whole numbers and flags with their values.

`FakeTensor` does this too, at about a millisecond an operator. Here most operators go straight to their meta kernels;
the few that are common and slow there (they are decompositions in Python) have their shapes in `shape_rules.py`. Masks
and positions are computed for real, so that forwards may ask `mask.all()`. What asks for a floating value raises, and
the model has to be run for real.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch.utils._pytree import tree_map_only

from .shadow_model import has_no_values, on_meta
from .shape_rules import MIXED, RULES

BLANK, VALUED = 1, 2


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """The operator's result, by shapes wherever a floating tensor takes part.

    Raises:
        RuntimeError: The operator needs values that nobody computed.
    """
    kinds = _kinds(args)
    if kwargs:
        kinds |= _kinds(kwargs.values())
    if not kinds & BLANK:
        return _with_values(func, args, kwargs)
    rule = (RULES if kinds == BLANK else MIXED).get(func)
    result = rule(*args, **kwargs) if rule is not None else None
    if result is not None:
        return result
    if kinds == BLANK:
        return func(*args, **_device(kwargs, "meta"))
    if any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments):
        _check_written(func, args)
    args, kwargs = tree_map_only(torch.Tensor, lambda t: t if t.is_meta else on_meta(t), (args, kwargs))
    return func(*args, **_device(kwargs, "meta"))


def _with_values(func: Any, args: Any, kwargs: Any) -> Any:
    result = func(*args, **_device(kwargs, "cpu"))
    if isinstance(result, torch.Tensor):
        return _blank(result)
    return tree_map_only(torch.Tensor, _blank, result)


def _blank(tensor: torch.Tensor) -> torch.Tensor:
    return on_meta(tensor) if has_no_values(tensor.dtype) else tensor


def _device(kwargs: Any, device: str) -> Any:
    return {**kwargs, "device": device} if kwargs.get("device") is not None else kwargs


def _check_written(func: Any, args: Any) -> None:
    """A tensor with values cannot take in some that nobody knows."""
    for argument, value in zip(func._schema.arguments, args, strict=False):
        written = argument.alias_info is not None and argument.alias_info.is_write
        if written and isinstance(value, torch.Tensor) and not value.is_meta:
            raise RuntimeError(f"{func} writes unknown values into a tensor that has some")


def _kinds(values: Iterable[Any]) -> int:
    """Whether tensors among some arguments are on the meta device (`BLANK`) or have values (`VALUED`)."""
    found = 0
    for value in values:
        if isinstance(value, torch.Tensor):
            found |= BLANK if value.is_meta else VALUED
        elif isinstance(value, (list, tuple)) and value and type(cast("list[Any]", value)[0]) is not int:
            found |= _kinds(cast("list[Any]", value))
    return found
