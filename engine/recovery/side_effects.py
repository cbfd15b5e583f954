"""Undoes the side effects of a recovery: modes, flags, random state, threads, copies. Loads torch."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn

from ..distributed import cores
from ..tracing.isolated_forward import seeded, uncompiled
from ..tracing.shadow_model import whole_copy


@contextmanager
def keep_modes(*models: nn.Module) -> Generator[None]:
    """Restore the train or eval mode of every single module."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def make_reproducible(seed: int, threads: int) -> Generator[None]:
    """Seed what draws at random, set torch's threads, and compile nothing; all is as before afterwards.

    Args:
        seed: Of torch, Python and NumPy.
        threads: How many; 0: one less than there are for this process.
    """
    before = torch.get_num_threads()
    with seeded(seed), uncompiled():
        try:
            torch.set_num_threads(threads or max(cores() - 1, 1))
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def working_copy(model: nn.Module) -> Generator[nn.Module]:
    """A copy of a model to train. One that cannot be copied is trained itself, and its tensors and flags restored."""
    try:
        copy = whole_copy(model)
    except Exception:
        copy = None
    if copy is not None:
        yield copy
        return
    tensors = [*model.parameters(), *model.buffers()]
    before = [(t, t.detach().clone(), t.requires_grad, t.grad) for t in tensors]
    with keep_modes(model):
        try:
            yield model
        finally:
            for tensor, value, flag, gradient in before:
                tensor.requires_grad_(flag)
                tensor.grad = gradient
                with torch.no_grad():
                    tensor.copy_(value)
