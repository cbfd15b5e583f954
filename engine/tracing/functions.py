"""Literals that a forward hands to torch functions; beneath autograd they can no longer be told from computed sizes."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch.overrides import TorchFunctionMode

from ..surgery.runtime import COUNTED, NAMED, SCALARS, SIZES
from .reading import tensors_of
from .record import FunctionCall

Frame: TypeAlias = tuple[str, tuple[tuple[str, int], ...], int, Counter[str]]
"""A module whose forward runs: path, inputs (place, value), first call inside, how often it called each function."""


class Functions(TorchFunctionMode):
    """Notes the calls of functions with literals that each module's own forward makes."""

    def __init__(self, stack: list[Frame], found: list[FunctionCall], number: Callable[[torch.Tensor], int]) -> None:
        """Take the modules that run (the innermost last), where to note calls, and what numbers tensors."""
        super().__init__()
        self._stack = stack
        self._found = found
        self._number = number

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in COUNTED:
            outputs = tensors_of(result)
            if outputs and self._stack:
                module, _, _, counts = self._stack[-1]
                number = counts[name]
                counts[name] += 1
                sizes, scalar = _literals(name, args, kwargs)
                self._found.append(FunctionCall(module, name, number, sizes, scalar, self._number(outputs[0])))
        return result


def _literals(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[int, ...], float | None]:
    """(sizes, scalar) of a call."""
    if name == "scaled_dot_product_attention":
        scale = kwargs.get("scale")
        return (), float(args[0].shape[-1] ** -0.5 if scale is None and args else scale or 0.0)
    if name in SCALARS:
        return (), next((float(a) for a in args if type(a) in (int, float)), None)
    if name not in SIZES:
        return (), None
    given: list[Any] = [a for a in (*args[1:], *kwargs.values()) if isinstance(a, (int, tuple, list))]
    if name in NAMED:
        given = [kwargs.get(NAMED[name], args[1] if len(args) > 1 else ())]
    sizes = cast("Sequence[Any]", given[0]) if given and isinstance(given[0], (tuple, list)) else given
    return tuple(int(s) for s in sizes), None
