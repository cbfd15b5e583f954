"""A student in half precision is trained in single precision, judged and given back in its own types. Loads torch.

A bfloat16 has 8 bits of precision: steps below 1/512 of a weight are rounded away, and those of a fine-tuning mostly
are. Every model that was cut runs in single precision, since its verification did. With AdamW this takes 16 bytes a
weight (itself, its gradient, two moments) in place of 8, and 2 more while it is judged; the teacher stays as it is.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

HALF = (torch.bfloat16, torch.float16)

Types = Mapping[str, torch.dtype]
"""Own types of a student's parameters and buffers in half precision, by name."""


@contextmanager
def in_single(model: nn.Module) -> Generator[Types]:
    """Within this the model's tensors in half precision are float32, and so is what it is given; yields their types."""
    found = _tensors(model)
    own = {name: one.dtype for name, one in found.items() if one.dtype in HALF}
    if not own:
        yield own
        return
    witness = found[next(iter(own))]

    def widen(_module: nn.Module, given: Any, named: Any) -> Any:
        return tree_map_only(Tensor, _widened, (given, named)) if witness.dtype is torch.float32 else None

    handle = model.register_forward_pre_hook(widen, with_kwargs=True)
    _cast(model, dict.fromkeys(own, torch.float32))
    try:
        yield own
    finally:
        handle.remove()
        _cast(model, own)


@contextmanager
def as_given_back(model: nn.Module, own: Types) -> Generator[None]:
    """Within this a model that trains in single precision is rounded to its own types; afterwards it is as before."""
    tensors = _tensors(model)
    trained = [(tensors[name], tensors[name].data) for name in own]
    _cast(model, own)
    try:
        yield
    finally:
        for tensor, value in trained:
            tensor.data = value


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by all of their names."""
    named = model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    return {name: tensor for some in named for name, tensor in some}


def _cast(model: nn.Module, types: Types) -> None:
    """In place, so that an optimiser keeps its parameters."""
    tensors = _tensors(model)
    for name, kind in types.items():
        tensors[name].data = tensors[name].data.to(kind)


def _widened(given: Tensor) -> Tensor:
    return given.float() if given.dtype in HALF else given
