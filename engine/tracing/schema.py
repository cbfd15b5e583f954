"""Facts of an operator: argument names, tag and FLOPs.

`torch.utils.flop_counter` has the formulas of most operators; those that it lacks are here, with two flops a
multiply-accumulate as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, cast

import torch
from torch.utils.flop_counter import flop_registry

from .tree import tensors_of


def _grouped(rows: torch.Tensor, stack: torch.Tensor, *_: Any, **__: Any) -> int:
    """Each row [k] meets the one [k, n] of its expert."""
    return 2 * rows.numel() * stack.shape[-1] if rows.dim() == 2 and stack.dim() == 3 else 0


def _recurrent(steps: torch.Tensor, inner: torch.Tensor, recurrent: torch.Tensor, *_: Any, **__: Any) -> int:
    """One layer, one direction: T steps of N samples [T, N, I] by [4 H, I], states by [4 H, H]: T N 4 H (I + H)."""
    return 2 * prod(steps.shape[:-1]) * (inner.numel() + recurrent.numel())


def _deformed(_input: torch.Tensor, weight: torch.Tensor, *_: Any, out_val: torch.Tensor, **__: Any) -> int:
    """As a convolution: N H W places of the result by [O, C / groups, kernel]; the moving of samples not counted."""
    return 2 * out_val.shape[0] * prod(out_val.shape[2:]) * weight.numel()


def _trilinear(
    i1: torch.Tensor, i2: torch.Tensor, i3: torch.Tensor, expand1: list[int], expand2: list[int], expand3: list[int],
    *_: Any, **__: Any,
) -> int:  # fmt: skip
    """One product of three a combination of indices; of `nn.Bilinear` N O I J, each weight met once a row."""
    shapes: list[list[int]] = []
    for tensor, absent in ((i1, expand1), (i2, expand2), (i3, expand3)):
        shape = list(tensor.shape)
        for axis in sorted(absent):
            shape.insert(axis, 1)
        shapes.append(shape)
    return 2 * prod(max(sizes) for sizes in zip(*shapes, strict=True))


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> int:
    """[N, H, L, E] by [N, G, S, E] and the result by [N, G, S, F]: N H L S (E + F)."""
    return 2 * prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


FORMULAS: dict[str, Callable[..., int]] = {
    "aten._grouped_mm": _grouped,
    "aten.mkldnn_rnn_layer": _recurrent,
    "aten._trilinear": _trilinear,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable": _attention,
    "torchvision.deform_conv2d": _deformed,
}
"""Operator ("aten.mm") to its formula, which is given the operator's arguments and its result as `out_val`."""


ATOMS = frozenset((bool, int, float, str, type(None)))
"""Types of literals that are kept as they are."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An overload of an operator.

    Attributes:
        name: Without overload ("aten.convolution").
        overload: Which of the operator's signatures it is ("Tensor").
        arguments: Names, in order.
        defaults: Of those that have one.
        pointwise: It carries torch's `pointwise` tag.
        flops: Floating point operations of a call, from its arguments and `out_val`; None where they are not counted.
        random: It draws random numbers.
        written: Names of arguments that it writes.
    """

    name: str
    overload: str
    arguments: tuple[str, ...]
    defaults: Mapping[str, Any]
    pointwise: bool
    flops: Callable[..., Any] | None
    random: bool
    written: frozenset[str]


@cache
def operator(func: Any) -> Operator:
    """What is known of an overload."""
    arguments = func._schema.arguments
    return Operator(
        str(func.overloadpacket),
        func._overloadname,
        tuple(a.name for a in arguments),
        {a.name: literal(a.default_value) for a in arguments if a.has_default_value()},
        torch.Tag.pointwise in func.tags,
        FORMULAS.get(str(func.overloadpacket)) or _formula(func),
        torch.Tag.nondeterministic_seeded in func.tags,
        frozenset(a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write),
    )


def named_arguments(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Name of an argument -> what an operator is given."""
    return dict(zip(operator(func).arguments, args, strict=False)) | dict(kwargs)


def written_tensors(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Tensors that an operator writes, by its schema."""
    if not (names := operator(func).written):
        return []
    return tensors_of([one for name, one in named_arguments(func, args, kwargs).items() if name in names])


def literal(value: Any) -> Any:
    """An argument that is no tensor, as plain data: numbers, words, None, lists of these; all else as text."""
    if type(value) in ATOMS:
        return value
    if isinstance(value, (list, tuple)):
        return [literal(one) for one in cast("Sequence[Any]", value)]
    return value if isinstance(value, (int, float, str)) else str(value)


def _formula(func: Any) -> Callable[..., Any] | None:
    """Torch's formula; most take shapes, which are found here by a shorter way than `tree_map`."""
    known = flop_registry.get(func.overloadpacket)
    formula: Any = getattr(known, "__wrapped__", None)
    if formula is None:
        return known

    def flops(*args: Any, out_val: Any, **kwargs: Any) -> Any:
        given = {name: _shapes(value) for name, value in kwargs.items()}
        return formula(*map(_shapes, args), out_shape=_shapes(out_val), **given)

    return flops


def _shapes(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.shape
    if isinstance(value, (list, tuple)):
        return [_shapes(one) for one in cast("Sequence[Any]", value)]
    return value
