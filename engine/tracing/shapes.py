"""Run operators for shapes only: floating tensors on the meta device, whole numbers and flags with their values.

`FakeTensor` does this too, at about a millisecond an operator. Here most operators go straight to their meta kernels;
the few that are common and slow there (they are decompositions in Python) have their shapes below. Masks and positions
are computed for real, so that forwards may ask `mask.all()`. What asks for a floating value raises, and the model has
to be run for real.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

import torch
from torch.utils._pytree import tree_map_only

from .twin import has_no_values, on_meta

aten: Any = torch.ops.aten
Shape: TypeAlias = Callable[..., Any]
"""Results of an operator on meta tensors, or None where the meta kernel should be asked (it knows what is wrong)."""


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """The operator's result, by shapes wherever a floating tensor takes part.

    Raises:
        RuntimeError: The operator needs values that nobody computed.
    """
    kinds = _on_meta(args)
    if kwargs:
        kinds |= _on_meta(kwargs.values())
    if True not in kinds:
        return _with_values(func, args, kwargs)
    if False not in kinds:
        known = SHAPES.get(func)
        result = known(*args, **kwargs) if known is not None else None
        return func(*args, **_device(kwargs, "meta")) if result is None else result
    if any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments):
        _check_written(func, args)
    args, kwargs = tree_map_only(torch.Tensor, lambda t: t if t.is_meta else on_meta(t), (args, kwargs))
    return func(*args, **_device(kwargs, "meta"))


def _with_values(func: Any, args: Any, kwargs: Any) -> Any:
    result = func(*args, **_device(kwargs, "cpu"))
    return tree_map_only(torch.Tensor, lambda t: on_meta(t) if has_no_values(t.dtype) else t, result)


def _device(kwargs: Any, device: str) -> Any:
    return {**kwargs, "device": device} if kwargs.get("device") is not None else kwargs


def _check_written(func: Any, args: Any) -> None:
    """A tensor with values cannot take in some that nobody knows."""
    for argument, value in zip(func._schema.arguments, args, strict=False):
        written = argument.alias_info is not None and argument.alias_info.is_write
        if written and isinstance(value, torch.Tensor) and not value.is_meta:
            raise RuntimeError(f"{func} writes unknown values into a tensor that has some")


def _on_meta(values: Iterable[Any]) -> set[bool]:
    """Whether the tensors among some arguments are on the meta device."""
    found: set[bool] = set()
    for value in values:
        if isinstance(value, torch.Tensor):
            found.add(value.is_meta)
        elif isinstance(value, (list, tuple)):
            found |= _on_meta(cast("list[Any]", value))
    return found


def _as(x: torch.Tensor) -> torch.Tensor:
    """What `empty_like` gives; for the usual strides by a shorter way."""
    usual = x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return on_meta(x) if usual else torch.empty_like(x)


def _like(x: torch.Tensor, *_: Any, dtype: Any = None, **__: Any) -> torch.Tensor | None:
    return _as(x) if dtype is None and has_no_values(x.dtype) else None


def _itself(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return x


def _combined(x: torch.Tensor, y: Any, *_: Any, **__: Any) -> torch.Tensor | None:
    if not has_no_values(x.dtype):
        return None
    if isinstance(y, (int, float)):
        return _as(x)
    if x.dtype != y.dtype or x.dim() != y.dim():
        return None
    if x.shape == y.shape and x.stride() == y.stride():
        return _as(x)
    fits = all(a == b or a == 1 or b == 1 for a, b in zip(x.shape, y.shape, strict=True))
    if not fits or not x.is_contiguous() or not y.is_contiguous():
        return None
    return x.new_empty([max(a, b) if a and b else 0 for a, b in zip(x.shape, y.shape, strict=True)])


def _convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, _output_padding: list[int], groups: int,
) -> torch.Tensor | None:  # fmt: skip
    space = x.dim() - 2
    fits = (
        not transposed and space > 0 and weight.dim() == x.dim() and x.shape[1] == weight.shape[1] * groups
        and weight.shape[0] % groups == 0 and (bias is None or bias.shape == weight.shape[:1])
        and len(stride) == len(padding) == len(dilation) == space and x.is_contiguous() and weight.is_contiguous()
        and (bias is None or bias.dtype == x.dtype) and weight.dtype == x.dtype
    )  # fmt: skip
    if not fits:
        return None
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    ]
    return x.new_empty([x.shape[0], weight.shape[0], *sizes]) if min(sizes) > 0 else None


def _mean(x: torch.Tensor, dim: list[int] | None = None, keepdim: bool = False, **kwargs: Any) -> torch.Tensor | None:
    if not dim or kwargs or not has_no_values(x.dtype) or not x.is_contiguous():
        return None
    axes = {d % x.dim() for d in dim} if all(-x.dim() <= d < x.dim() for d in dim) else set[int]()
    if len(axes) != len(dim):
        return None
    return x.new_empty([1 if n in axes else s for n, s in enumerate(x.shape) if keepdim or n not in axes])


def _batch_norm(x: torch.Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *_: Any) -> Any:
    if training or x.dim() < 2 or any(t is not None and t.shape != x.shape[1:2] for t in (weight, bias, mean, var)):
        return None
    return _as(x), *(torch.empty(0, dtype=x.dtype, device="meta") for _ in range(2))


def _layer_norm(x: torch.Tensor, shape: list[int], weight: Any, bias: Any, _eps: float) -> Any:
    rank = len(shape)
    sizes = torch.Size(shape)
    if x.shape[-rank:] != sizes or any(t is not None and t.shape != sizes for t in (weight, bias)):
        return None
    stats = (*x.shape[:-rank], *[1] * rank)
    return x.new_empty(x.shape), x.new_empty(stats), x.new_empty(stats)


def _addmm(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, **_: Any) -> torch.Tensor | None:
    fits = a.dim() == b.dim() == 2 and a.shape[1] == b.shape[0] and bias.shape == b.shape[1:]
    return a.new_empty((a.shape[0], b.shape[1])) if fits else None


def _cat(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor | None:
    first = tensors[0]
    sizes = list(first.shape)
    if not -len(sizes) <= dim < len(sizes) or not has_no_values(first.dtype):
        return None
    sizes[dim] = 0
    for tensor in tensors:
        own = list(tensor.shape)
        if len(own) != len(sizes) or tensor.dtype != first.dtype or not tensor.is_contiguous():
            return None
        length, own[dim] = own[dim], sizes[dim]
        if own != sizes:
            return None
        sizes[dim] += length
    return first.new_empty(sizes)


SHAPES: dict[Any, Shape] = {
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.addmm.default: _addmm,
    aten.convolution.default: _convolution,
    aten.mean.dim: _mean,
    aten.cat.default: _cat,
    **dict.fromkeys(
        (
            aten.relu.default, aten.hardswish.default, aten.hardsigmoid.default, aten.gelu.default, aten.silu.default,
            aten.sigmoid.default, aten.tanh.default, aten.hardtanh.default, aten.exp.default, aten.neg.default,
            aten.sqrt.default, aten.rsqrt.default, aten.cos.default, aten.sin.default, aten._safe_softmax.default,
            aten.roll.default, aten.mul.Scalar, aten.div.Scalar, aten.pow.Tensor_Scalar,
        ),
        _like,
    ),
    **dict.fromkeys(
        (aten.relu_.default, aten.hardswish_.default, aten.hardsigmoid_.default, aten.silu_.default,
         aten.hardtanh_.default, aten.sigmoid_.default),
        _itself,
    ),
    **dict.fromkeys((aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.div.Tensor), _combined),
}  # fmt: skip
"""Operators whose meta kernels are slow, by overload."""
