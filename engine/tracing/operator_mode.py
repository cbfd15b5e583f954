"""Dispatch modes that see what a model's code is made of, also within operators that take functions.

`torch.cond`, `while_loop`, `scan`, `associative_scan` and `flex_attention` hand the model's own functions to torch. A
plain dispatch mode cannot go on there. Here the operators that they stand for run one by one, and the mode sees each.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch._C import (
    DispatchKey,
    _dispatch_tls_local_exclude_set,  # pyright: ignore[reportPrivateUsage]
    _dispatch_tls_local_include_set,  # pyright: ignore[reportPrivateUsage]
    _ForceDispatchKeyGuard,  # pyright: ignore[reportPrivateUsage]
)
from torch._compile import _disable_dynamo  # pyright: ignore[reportPrivateUsage]
from torch._higher_order_ops.associative_scan import associative_scan_op
from torch._higher_order_ops.cond import cond_op
from torch._higher_order_ops.flex_attention import flex_attention as flex_attention_op
from torch._higher_order_ops.flex_attention import math_attention  # pyright: ignore[reportUnknownVariableType]
from torch._higher_order_ops.scan import scan_op
from torch._higher_order_ops.while_loop import while_loop_op
from torch.utils._python_dispatch import TorchDispatchMode

from .schema import operator

AUTOGRAD = (DispatchKey.AutogradFunctionality, DispatchKey.AutogradOther, DispatchKey.AutogradNestedTensor)
Tensors: TypeAlias = Sequence[torch.Tensor]


class OperatorMode(TorchDispatchMode):
    """The base of all modes here: runs operators that take functions as the operators that these are made of."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Tell torch how such operators run under the new class, and leave jagged tensors to themselves.

        They call operators on the values that they hold, which the mode sees then.
        """
        own: Any = vars(cls).get("__torch_dispatch__")

        def dispatch(self: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if types and any(one.__name__ == "NestedTensor" for one in types):
                return NotImplemented
            return own(self, func, types, args, kwargs)

        if own is not None:
            cls.__torch_dispatch__ = dispatch
        super().__init_subclass__(**kwargs)
        for higher, run in MADE_OF.items():
            higher.py_impl(cls)(_run_seen(run))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be compiled anyway: torch would import its compiler on the first operator, which takes seconds."""
        return False


def _run_seen(run: Callable[..., Any]) -> Callable[..., Any]:
    def run_seen(mode: TorchDispatchMode, *args: Any, **kwargs: Any) -> Any:
        """Run it in the mode, which torch has left, where composite operators come apart as in a forward."""
        exclude = _dispatch_tls_local_exclude_set()
        for key in AUTOGRAD:
            exclude = exclude.remove(key)
        with _ForceDispatchKeyGuard(_dispatch_tls_local_include_set(), exclude), mode:
            return run(*args, **kwargs)

    # torch calls such operators in a compiled function, which would be compiled with all that they call.
    return _disable_dynamo(run_seen)


def _choose(condition: Any, if_true: Callable[..., Any], if_false: Callable[..., Any], operands: Tensors) -> Any:
    return (if_true if condition else if_false)(*operands)


def _loop(goes_on: Callable[..., Any], body: Callable[..., Any], carried: Any, others: Any) -> Any:
    while goes_on(*carried, *others):
        carried = body(*carried, *others)
    return tuple(carried)


def _scan(step: Callable[..., Any], start: Tensors, over: Tensors, others: Any = ()) -> Any:
    """What is carried from index to index of the first axes, and what each step gives."""
    carried, made = list(start), list[list[torch.Tensor]]()
    for parts in zip(*(one.unbind(0) for one in over), strict=True):
        results = list(step(*carried, *parts, *others))
        carried, given = results[: len(start)], results[len(start) :]
        made.append(given)
    return (*carried, *(torch.stack(column) for column in zip(*made, strict=True)))


def _scan_pairs(combine: Callable[..., Any], over: Tensors, others: Any = ()) -> Any:
    """The combination of all up to each index of the first axes."""
    rows = list(zip(*(one.unbind(0) for one in over), strict=True))
    made = [list(rows[0])]
    for row in rows[1:]:
        made.append(list(combine(*made[-1], *row, *others)))
    return tuple(torch.stack(column) for column in zip(*made, strict=True))


MADE_OF: dict[Any, Callable[..., Any]] = {
    cond_op: _choose,
    while_loop_op: _loop,
    scan_op: _scan,
    associative_scan_op: _scan_pairs,
    flex_attention_op: math_attention,
}
"""By operator: the same in plain operators."""


class FlopCounter(OperatorMode):
    """Context manager that counts; an operator without a formula counts for nothing.

    Attributes:
        flops: So far, two for each multiply-accumulate.
    """

    def __init__(self) -> None:
        """Count from nothing."""
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and count it."""
        named: dict[str, Any] = kwargs or {}
        result = func(*args, **named)
        count = operator(func).flops
        self.flops += 0 if count is None else int(count(*args, **named, out_val=result))
        return result
