"""Trains a half-precision student in single precision and returns it in its own types. Loads torch.

A bfloat16 has 8 bits of precision: steps below 1/512 of a weight are rounded away, and those of a fine-tuning mostly
are. Every model that was cut runs in single precision, since its verification did. With AdamW this takes 16 bytes a
weight (itself, its gradient, two moments) in place of 8, and 2 more while it is evaluated; the teacher stays as it is.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from traceback import format_exc
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ..errors import SecateurError, TaskError

HALF = (torch.bfloat16, torch.float16)
NAMED = ("BFloat16", "Half")
"""How errors of torch name them."""

OwnTypes = Mapping[str, torch.dtype]
"""Own types of a student's parameters and buffers in half precision, by name."""


@contextmanager
def in_single(model: nn.Module) -> Generator[OwnTypes]:
    """Convert the model's half-precision tensors to float32 inside; yields their types."""
    own = {name: one.dtype for name, one in _tensors(model).items() if one.dtype in HALF}
    _cast(model, dict.fromkeys(own, torch.float32))
    try:
        yield own
    finally:
        _cast(model, own)


@contextmanager
def widen_inputs(model: nn.Module, own: OwnTypes) -> Generator[None]:
    """Let a model that trains in single precision, and each of its parts, take half precision inside.

    Raises:
        TaskError: A loss mixes both otherwise.
    """

    def widen(given: Tensor) -> Tensor:
        return given.float() if given.dtype in HALF else given

    def change(_module: nn.Module, given: Any, named: Any) -> Any:
        return tree_map_only(Tensor, widen, (given, named))

    parts = [one for one in model.modules() if own and not isinstance(one, torch.jit.ScriptModule)]
    handles = [one.register_forward_pre_hook(change, with_kwargs=True) for one in parts]  # scripts take no hook
    try:
        yield
    except Exception as error:
        if not (own and any(kind in str(error) for kind in NAMED)):
            raise
        template = (
            "{error} A half-precision model is trained in float32. In the loss, give tensors that it creates, for "
            "example class weights, the type of the model's outputs."
        )
        said = error.message if isinstance(error, SecateurError) else f"{type(error).__name__}: {error}."
        raise TaskError("recovery.single", template, details=format_exc(), error=said) from error
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def as_given_back(model: nn.Module, own: OwnTypes) -> Generator[None]:
    """Round a model that trains in single precision to its own types inside; restore it afterwards."""
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


def _cast(model: nn.Module, types: OwnTypes) -> None:
    """In place, so that an optimiser keeps its parameters."""
    tensors = _tensors(model)
    for name, kind in types.items():
        tensors[name].data = tensors[name].data.to(kind)
