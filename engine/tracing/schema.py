"""Facts of an operator: argument names, tag and FLOPs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch.utils.flop_counter import flop_registry

from .flops import FORMULAS
from .tree import tensors_of

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
        flops: Floating point operations of a call, from its arguments and `out_val`; None where nobody counts them.
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
