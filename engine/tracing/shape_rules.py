"""What common operators give for tensors without values, where asking torch's meta kernel takes long.

A rule is given the arguments of its operator and returns new meta tensors: the sizes, strides and type that the kernel
would give. It returns None for everything but the usual case, so that the kernel is asked, which also knows what is
wrong.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from . import shape_layers as layers
from .shadow_model import has_no_values
from .strides import alike, broadcast, empty, packed

aten: Any = torch.ops.aten
Rule: TypeAlias = Callable[..., Any]


def _like(x: torch.Tensor, *_: Any, dtype: Any = None, **__: Any) -> torch.Tensor | None:
    return alike(x) if dtype is None and has_no_values(x.dtype) else None


def _itself(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return x


def _softmax(x: torch.Tensor, _dim: int, to_float: bool) -> torch.Tensor | None:
    return None if to_float else empty(x, x.shape)


def _clone(x: torch.Tensor, memory_format: Any = None) -> torch.Tensor | None:
    if memory_format is None or memory_format is torch.preserve_format:
        return alike(x)
    return empty(x, x.shape) if memory_format is torch.contiguous_format else None


def _compared(x: torch.Tensor, _: Any) -> torch.Tensor | None:
    return torch.empty(x.shape, dtype=torch.bool, device="meta") if x.is_contiguous() else None


def _masked(x: torch.Tensor, mask: torch.Tensor, _: Any) -> torch.Tensor | None:
    fits = mask.dtype is torch.bool and x.is_contiguous() and broadcast(x.shape, mask.shape) == x.shape
    return alike(x) if fits else None


def _combined(x: torch.Tensor, y: Any, *_: Any, **__: Any) -> torch.Tensor | None:
    """Index by index with broadcasting; the order of dimensions is that of the first operand which says it of all."""
    if isinstance(y, (int, float)):
        return _like(x)
    shape = broadcast(x.shape, y.shape)
    if shape is None or x.dtype != y.dtype or not has_no_values(x.dtype):
        return None
    if shape == x.shape and packed(x) is not None:
        return alike(x)
    if x.is_contiguous() and y.is_contiguous():
        return empty(x, shape)
    return alike(y) if shape == y.shape and x.numel() == max(x.shape, default=1) and packed(y) is not None else None


def _changed(x: torch.Tensor, y: Any, **_: Any) -> torch.Tensor | None:
    """Of `_combined` in place."""
    if not has_no_values(x.dtype):
        return None
    fits = isinstance(y, (int, float)) or (x.dtype == y.dtype and broadcast(x.shape, y.shape) == x.shape)
    return x if fits and 0 not in x.stride() else None


def _cat(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor | None:
    first = tensors[0]
    sizes = list(first.shape)
    if not -len(sizes) <= dim < len(sizes) or not has_no_values(first.dtype):
        return None
    sizes[dim] = 0
    for tensor in tensors:
        own = list(tensor.shape)
        if len(own) != len(sizes) or tensor.dtype != first.dtype or not _channels_first(tensor):
            return None
        length, own[dim] = own[dim], sizes[dim]
        if own != sizes:
            return None
        sizes[dim] += length
    return empty(first, sizes)


def _channels_first(x: torch.Tensor) -> bool:
    """Torch does not take it for channels last."""
    return x.is_contiguous() or x.dim() not in (4, 5) or x.stride(1) * x.shape[1] > x.stride(-1)


def _index(x: torch.Tensor, indices: list[torch.Tensor | None]) -> torch.Tensor | None:
    """Rows of a table."""
    rows = indices[0]
    if len(indices) > 1 or rows is None or rows.dtype is not torch.int64:
        return None
    return empty(x, (*rows.shape, *x.shape[1:])) if rows.is_contiguous() and x.is_contiguous() else None


MIXED: dict[Any, Rule] = {
    aten.index.Tensor: _index,
    aten.masked_fill.Scalar: _masked,
}
"""Rules of operators by overload, for whole numbers and flags with their values among the arguments."""

RULES: dict[Any, Rule] = {
    **MIXED,
    aten.native_batch_norm.default: layers.batch_norm,
    aten.native_layer_norm.default: layers.layer_norm,
    aten.mm.default: layers.mm,
    aten.bmm.default: layers.bmm,
    aten.addmm.default: layers.addmm,
    aten.convolution.default: layers.convolution,
    aten.max_pool2d_with_indices.default: layers.max_pool,
    aten.avg_pool2d.default: layers.avg_pool,
    aten.cat.default: _cat,
    aten.clone.default: _clone,
    aten._softmax.default: _softmax,
    aten.linalg_vector_norm.default: layers.norm,
    **dict.fromkeys((aten.mean.dim, aten.sum.dim_IntList), layers.reduced),
    **dict.fromkeys((aten.ne.Scalar, aten.eq.Scalar), _compared),
    **dict.fromkeys(
        (
            aten.relu.default, aten.hardswish.default, aten.hardsigmoid.default, aten.gelu.default, aten.silu.default,
            aten.sigmoid.default, aten.tanh.default, aten.hardtanh.default, aten.exp.default, aten.neg.default,
            aten.sqrt.default, aten.rsqrt.default, aten.cos.default, aten.sin.default, aten._safe_softmax.default,
            aten.roll.default, aten.mul.Scalar, aten.div.Scalar, aten.pow.Tensor_Scalar, aten.clamp.default,
            aten.clamp_min.default,
        ),
        _like,
    ),
    **dict.fromkeys(
        (aten.relu_.default, aten.hardswish_.default, aten.hardsigmoid_.default, aten.silu_.default,
         aten.hardtanh_.default, aten.sigmoid_.default),
        _itself,
    ),
    **dict.fromkeys((aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.div.Tensor), _combined),
    **dict.fromkeys((aten.add_.Tensor, aten.mul_.Tensor, aten.sub_.Tensor, aten.div_.Tensor), _changed),
}  # fmt: skip
"""The same for arguments none of which has values."""
