"""Skip a block of the original by a hook, so that the masked original computes what it would without the block."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ..structures.analysis import Analysis, Mask, StandIn


def skipped(analysis: Analysis, before: Mask, after: Mask) -> Iterator[StandIn]:
    """For each block that goes between two states, what stands for its result."""
    seen: set[int] = set()
    for one in analysis.stand_ins:
        if one.structure not in seen and after[one.structure] and not before[one.structure]:
            yield one
        seen.add(one.structure)


def skip(model: nn.Module, one: StandIn) -> RemovableHandle | None:
    """Let a module run and put something else in place of its result; None where it is gone with another block."""
    try:
        module = model.get_submodule(one.path)
    except AttributeError:
        return None

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        given = {str(place): value for place, value in enumerate(args)} | kwargs
        return _without(one.result, result, given)

    return module.register_forward_hook(hook, with_kwargs=True)


def _without(part: Any, result: Any, given: dict[str, Any]) -> Any:
    """The result of the module, but for the tensors for which others stand."""
    if isinstance(result, torch.Tensor):
        if part is None:
            return result  # nobody uses it
        return torch.zeros_like(result) if "zeros" in part else _argument(part["input"], given)
    if isinstance(result, (tuple, list)):
        parts = part["tuple" if isinstance(result, tuple) else "list"]
        changed = [_without(p, r, given) for p, r in zip(parts, cast("list[Any]", result), strict=True)]
        return tuple(changed) if isinstance(result, tuple) else changed
    if isinstance(result, dict) and "dict" in part:
        return {key: _without(part["dict"][key], r, given) for key, r in cast("dict[str, Any]", result).items()}
    if is_dataclass(result) and not isinstance(result, type):
        return type(result)(
            **{f.name: _without(part["fields"][f.name], getattr(result, f.name), given) for f in fields(result)}
        )
    return result


def _argument(place: str, given: dict[str, Any]) -> Any:
    first, *inner = place.split(".")
    value: Any = given[first]
    for key in inner:
        value = value[int(key)] if isinstance(value, (tuple, list)) else value[key]
    return value
