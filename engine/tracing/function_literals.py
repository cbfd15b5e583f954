"""Records the literal numbers that a forward passes to torch functions."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.overrides import (
    TorchFunctionMode,
    _get_current_function_mode,  # pyright: ignore[reportPrivateUsage]
    _pop_mode,  # pyright: ignore[reportPrivateUsage]
    _push_mode,  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]
)

from ..runtime.load_pruned import WATCHED, call_site, numbers
from .code_origin import compares_numbers
from .dispatch_mode import OperatorRecorder
from .record import FunctionCall, LiteralArgument, PassedConstant
from .tree import tensors_of

LAYERS = frozenset(
    (
        nn.Linear, nn.Identity, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Dropout, nn.Dropout2d, nn.ReLU,
        nn.ReLU6, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.MaxPool2d, nn.AvgPool2d,
        nn.AdaptiveAvgPool2d,
    )
)  # fmt: skip
CONVOLUTIONS = frozenset((nn.Conv1d, nn.Conv2d, nn.Conv3d))


EXPOSING = frozenset(("numpy", "__array__", "tolist", "__dlpack__"))
"""Functions that hand the values of a tensor to code which works without torch."""


def has_no_literals(module: nn.Module) -> bool:
    """A layer of torch that hands no number to torch which a cut could change: there is nothing to watch."""
    own = vars(module)
    if own["_forward_hooks"] or own["_forward_pre_hooks"]:
        return False
    return type(module) in LAYERS or (type(module) in CONVOLUTIONS and own["groups"] == 1)


class FunctionRecorder(TorchFunctionMode):
    """Notes the calls of functions with numbers among their arguments that each module's own forward makes."""

    def __init__(self, recorder: OperatorRecorder, constants: bool) -> None:
        """Take who notes the operators; whether constants that are handed over are to be noted too."""
        super().__init__()
        self._recorder = recorder
        self._constants = constants
        self._stack = recorder.stack
        self._found = recorder.functions
        self._number = recorder.number

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in EXPOSING and isinstance(args[0], torch.Tensor):
            self._recorder.exposed.append(self._number(args[0]))
        if not self._stack:
            return func(*args, **kwargs)
        handed = tuple(self._handed(args, kwargs)) if self._constants else ()
        if handed:
            return self._with_constants(func, name, args, kwargs, handed)
        if name not in WATCHED:
            result = func(*args, **kwargs)
            sized = type(result) is torch.Size or name in ("size", "__len__")
            code = sys._getframe(1).f_code  # pyright: ignore[reportPrivateUsage]
            # Code that compares something may compare this size (a table that is made anew when it is too short).
            if sized and self._recorder.is_source(args[0]) and compares_numbers(code):
                sizes: Any = result if type(result) is torch.Size else (result,)
                self._recorder.compared_sizes.update(sizes)
            return result
        given = tuple(_given(name, args, kwargs))
        outputs: tuple[int, ...] = ()
        try:
            result = func(*args, **kwargs)
            outputs = tuple(self._number(t) for t in tensors_of(result)) if given else ()
        finally:  # a call that raises is noted too: it may be what has to be repaired
            if given:
                self._note(name, call_site(name, sys._getframe(1)), args, given, outputs)  # pyright: ignore[reportPrivateUsage]
        return result

    def _handed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
        """Constants among the arguments and where they stand, if other tensors are there too."""
        given = [one for one in _tensors(args, kwargs) if one[1].dim()]
        found = [one for one in given if self._recorder.is_constant(one[1])]
        if len(found) < len(given):
            yield from found

    def _with_constants(
        self, func: Any, name: str, args: Any, kwargs: Any, handed: tuple[tuple[str, torch.Tensor], ...]
    ) -> Any:
        first = len(self._recorder.calls)
        values = [(where, self._number(tensor)) for where, tensor in handed]
        self._recorder.constants.update(value for _, value in values)
        result = func(*args, **kwargs)
        site = call_site(name, sys._getframe(2))  # pyright: ignore[reportPrivateUsage]
        given = tuple(_given(name, args, kwargs)) if name in WATCHED else ()
        number = self._note(name, site, args, given, tuple(self._number(t) for t in tensors_of(result)))
        module, last = self._stack[-1][0], len(self._recorder.calls)
        self._recorder.handed += [PassedConstant(module, site, number, where, v, first, last) for where, v in values]
        return result

    def around(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which then runs unwatched, as that costs more than what most layers do."""

        def alone(*args: Any, **kwargs: Any) -> Any:
            if _get_current_function_mode() is not self:  # somebody else watches too
                return run(*args, **kwargs)
            _pop_mode()
            try:
                return run(*args, **kwargs)
            finally:
                _push_mode(self)

        return alone

    def _note(
        self, name: str, site: str, args: tuple[Any, ...], given: tuple[LiteralArgument, ...], outputs: Any
    ) -> int:
        module, *_, counts = self._stack[-1]
        first = self._number(args[0]) if args and isinstance(args[0], torch.Tensor) else -1
        number = counts.get(site, 0)
        counts[site] = number + 1
        if given:
            self._found.append(FunctionCall(module, name, site, number, given, first, outputs))
        return number


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors among arguments, and in lists among these."""
    for where, value in (*enumerate(args), *kwargs.items()):
        if isinstance(value, torch.Tensor):
            yield str(where), value
        elif isinstance(value, (list, tuple)):
            parts = enumerate(cast("tuple[Any, ...]", value))
            yield from ((f"{where}.{n}", one) for n, one in parts if isinstance(one, torch.Tensor))


def _given(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[LiteralArgument]:
    if name in ("__getitem__", "__setitem__"):
        yield from _bounds(args[0], args[1])
        return
    for where, value in numbers(args, kwargs):
        yield where, value, -1
    if name == "scaled_dot_product_attention" and kwargs.get("scale") is None:
        yield "scale", float(args[0].shape[-1] ** -0.5) if args else 0.0, -1  # what torch takes where none is given


def _bounds(tensor: torch.Tensor, index: Any) -> Iterator[LiteralArgument]:
    """Bounds of the slices in x[index], each with the dimension of x; so in x[index] = values."""
    many = isinstance(index, tuple)
    parts = cast("tuple[Any, ...]", index) if many else (index,)
    taken = [_dimensions(one) for one in parts]
    dim = 0
    for number, one in enumerate(parts):
        if isinstance(one, slice):
            for bound, value in numbers((one,), {}):
                if bound.endswith("start") and one.step not in (None, 1):
                    continue  # which one of each run it is, however many runs there are
                yield f"1.{number}{bound[1:]}" if many else f"1{bound[1:]}", value, dim
        dim += tensor.ndim - sum(taken) if one is Ellipsis else taken[number]


def _dimensions(index: Any) -> int:
    """How many dimensions of a tensor one part of an index takes."""
    if isinstance(index, torch.Tensor) and index.dtype is torch.bool:
        return index.ndim
    return 0 if index is None or index is Ellipsis or isinstance(index, bool) else 1
