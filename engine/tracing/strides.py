"""Sizes and strides of new meta tensors: contiguous, in the order of another's dimensions, broadcast."""

from collections.abc import Sequence

import torch

from .shadow_model import on_meta


def empty(x: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A contiguous tensor of the same type."""
    return torch.empty(shape, dtype=x.dtype, device="meta")


def alike(x: torch.Tensor) -> torch.Tensor:
    """What `empty_like` gives, by a shorter way: the same order of dimensions without gaps."""
    if x.is_contiguous():
        return on_meta(x)
    strides = packed(x)
    if strides is None:
        return torch.empty_like(x)
    return torch.empty_strided(x.shape, strides, dtype=x.dtype, device="meta")


def packed(x: torch.Tensor) -> tuple[int, ...] | None:
    """Strides without gaps in the same order of dimensions; None where the same numbers are met repeatedly."""
    if x.is_contiguous():
        return x.stride()
    made = list(x.stride())
    filled = last = 1
    for stride, place in sorted((s, n) for n, s in enumerate(made) if x.shape[n] != 1):
        if stride < last:
            return None
        made[place], last = filled, stride * x.shape[place]
        filled *= x.shape[place]
    return tuple(made)


def broadcast(one: torch.Size, other: torch.Size) -> torch.Size | None:
    """The common shape of two, None where they do not fit."""
    if one == other:
        return one
    if len(one) < len(other):
        one, other = other, one
    sizes = list(one)
    for place, size in enumerate(other, len(one) - len(other)):
        if size != 1 and sizes[place] != size:
            if sizes[place] != 1:
                return None
            sizes[place] = size
    return torch.Size(sizes)
