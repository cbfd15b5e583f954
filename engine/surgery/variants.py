"""Other inputs and another precision for a model: what a verification runs besides the example."""

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ..inputs import Inputs, batch_size
from ..tracing.reading import tensors_of
from ..tracing.twin import keeping_kind, twin

COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}
"""The complex type of a floating one."""


def converted(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of a model in another floating type; complex tensors in the complex type that goes with it."""

    def make(tensor: torch.Tensor) -> torch.Tensor:
        return keeping_kind(tensor, _as(tensor.detach(), dtype, copy=True))

    return twin(model, make)


def cast_inputs(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    """Inputs in another floating type."""
    return tree_map_only(torch.Tensor, lambda t: _as(t, dtype), inputs)


def _as(tensor: torch.Tensor, dtype: torch.dtype, copy: bool = False) -> torch.Tensor:
    own = COMPLEX[dtype] if tensor.is_complex() else dtype if tensor.is_floating_point() else tensor.dtype
    return tensor.to(own, copy=copy)


def another_batch(inputs: Inputs) -> Inputs:
    """One sample more; fresh noise, whole numbers are repeated."""
    generator = torch.Generator().manual_seed(2)
    given = batch_size(inputs)

    def resize(one: torch.Tensor) -> torch.Tensor:
        if not one.dim():
            return one
        shape = [given + 1 if one.shape[0] == given else one.shape[0], *one.shape[1:]]
        return _noise(one, shape, generator) if one.is_floating_point() else _repeated(one, shape[0])

    return tree_map_only(torch.Tensor, resize, inputs)


def another_size(inputs: Inputs) -> Inputs | None:
    """Smaller in space where there is space, else a shorter sequence; None where there is neither."""
    tensors = tensors_of(inputs)
    if any(t.is_floating_point() and t.dim() >= 4 for t in tensors):
        return _smaller(inputs)
    lengths = {t.shape[1] for t in tensors if t.dim() >= 2}
    if len(lengths) != 1 or (length := lengths.pop()) < 4:
        return None
    kept = length - max(1, length // 4)
    return tree_map_only(torch.Tensor, lambda t: t[:, :kept] if t.dim() >= 2 else t, inputs)


def _smaller(inputs: Inputs) -> Inputs:
    generator = torch.Generator().manual_seed(2)

    def resize(one: torch.Tensor) -> torch.Tensor:
        if not one.is_floating_point() or one.dim() < 4:
            return one
        space = [max(1, round(s * 0.75 / 8) * 8 if s >= 16 else s) for s in one.shape[2:]]
        return _noise(one, [*one.shape[:2], *space], generator)

    return tree_map_only(torch.Tensor, resize, inputs)


def _noise(like: torch.Tensor, shape: list[int], generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device)


def _repeated(one: torch.Tensor, count: int) -> torch.Tensor:
    return one.index_select(0, torch.arange(count, device=one.device) % one.shape[0])
