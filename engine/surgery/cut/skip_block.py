"""Skips a block of the original with a hook, for the masked original."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ...structures.analysis import StandInSpec


def skip(model: nn.Module, one: StandInSpec) -> RemovableHandle | None:
    """Let a module run and put something else in place of its result; None where it is gone with another block."""
    try:
        module = model.get_submodule(one.path)
    except AttributeError:
        return None

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        given = {str(place): value for place, value in enumerate(args)} | kwargs
        return without(one.result, result, given)

    return module.register_forward_hook(hook, with_kwargs=True)


def without(part: Any, result: Any, given: dict[str, Any]) -> Any:
    """The result of the module, but for the tensors that others replace."""
    if isinstance(result, torch.Tensor):
        if part is None:
            return result  # no code uses it
        # A copy, whatever the cut model hands on: code behind may change the result in place.
        handed = None if "zeros" in part else argument(part.get("copy", part.get("input")), given).clone()
        return torch.zeros_like(result) if handed is None else handed
    for kind in (tuple, list):
        if type(result) is kind:
            pairs = zip(part[kind.__name__], cast("Sequence[Any]", result), strict=True)
            return cast("Any", kind)(without(p, r, given) for p, r in pairs)
    if type(result) is dict:
        return {key: without(part["dict"][key], r, given) for key, r in cast("dict[str, Any]", result).items()}
    if part is None or "fields" not in part:
        return result
    values = {f.name: getattr(result, f.name) for f in fields(result)}
    return type(result)(**{name: without(part["fields"][name], value, given) for name, value in values.items()})


def argument(place: str, given: dict[str, Any]) -> Any:
    """What a module was given at a place ("0", "mask", "0.1"), from its arguments by number and by name."""
    first, *inner = place.split(".")
    value: Any = given[first]
    for key in inner:
        value = value[key] if hasattr(value, "keys") else value[int(key)]
    return value
