"""Undoes the side effects of a recovery: modes, flags, random state, threads, copies. Loads torch."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import nn

from ..tracing.isolated_forward import seeded, uncompiled


@contextmanager
def modes_kept(*models: nn.Module) -> Generator[None]:
    """Put every module's train or eval mode back, one by one."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def pinned(seed: int, threads: int) -> Generator[None]:
    """Seed what draws at random, set torch's threads (0: one less than the machine has), and compile nothing.

    All is as before afterwards.
    """
    before = torch.get_num_threads()
    with seeded(seed), uncompiled():
        try:
            torch.set_num_threads(threads or max((os.cpu_count() or 2) - 1, 1))
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def working_copy(model: nn.Module) -> Generator[nn.Module]:
    """A copy of a model to train. A model that cannot be copied is lent itself, and gets its tensors and flags back."""
    try:
        copy = deepcopy(model)
    except Exception:
        with _borrowed(model), modes_kept(model):
            yield model
    else:
        yield copy


@contextmanager
def _borrowed(model: nn.Module) -> Generator[None]:
    tensors = [*model.parameters(), *model.buffers()]
    before = [(t, t.detach().clone(), t.requires_grad, t.grad) for t in tensors]
    try:
        yield
    finally:
        for tensor, value, flag, gradient in before:
            tensor.requires_grad_(flag)
            tensor.grad = gradient
            with torch.no_grad():
                tensor.copy_(value)
