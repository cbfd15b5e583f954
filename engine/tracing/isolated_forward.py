"""Runs a model without side effects: eval mode, fixed seeds, caches of its code hidden, state restored afterwards."""

import functools
import gc
import random
import sys
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FunctionType
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .model_state import model_state_restored
from .operator_mode import OperatorMode
from .tree import modules_of


@contextmanager
def quiet_forward(
    model: nn.Module,
    training: bool = False,
    twin: bool = False,
    seed: int = 0,
    gradient: bool = False,
    drawn: bool = False,
) -> Generator[None]:
    """Eval mode, no gradients, attention as plain products, random numbers by a seed; everything as before afterwards.

    Args:
        model: What will run; the state that it changes (buffers, counters) is put back.
        training: In training mode, in which nothing is dropped at random.
        twin: The model is a twin that nobody needs afterwards: its state stays as it will be.
        seed: Of the random numbers.
        gradient: Autograd records what runs.
        drawn: Somebody else sees to it that nothing is dropped.
    """
    modes = [(m, m.training) for m in modules_of(model).values()]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        if not twin:
            stack.enter_context(model_state_restored(model))
        stack.enter_context(torch.set_grad_enabled(gradient))
        stack.enter_context(cast("AbstractContextManager[Any]", sdpa_kernel(SDPBackend.MATH)))
        stack.enter_context(seeded(seed))
        stack.enter_context(cleared_caches(model))
        stack.enter_context(uncompiled())
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            if any(flag != training for _, flag in modes):
                model.train(training)
            if training and not drawn:
                stack.enter_context(_NothingDropped())
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for module, flag in modes:
                if module.training != flag:
                    module.training = flag


@contextmanager
def uncompiled() -> Generator[None]:
    """What is compiled runs as it was written: each cut would be compiled anew, which takes longer than it saves."""
    with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
        yield


@contextmanager
def seeded(seed: int = 0) -> Generator[None]:
    """The same random numbers at every run; the global generators are as before afterwards."""
    with random_state_restored():
        # `manual_seed` is for all devices, which takes longer than some models.
        torch.manual_seed(seed) if torch.accelerator.is_available() else torch.default_generator.manual_seed(seed)
        seed_others(seed)
        yield


@contextmanager
def random_state_restored() -> Generator[None]:
    """Whatever is drawn inside, the global generators of torch, Python and NumPy are as before afterwards."""
    own, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(arrays)


def seed_others(seed: int) -> None:
    """Seed Python's and NumPy's random state, which a model's code or the data of a user's file may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)


class _NothingDropped(OperatorMode):
    """Every draw of what stays (dropout, stochastic depth) keeps all of it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bernoulli_.float:
            return args[0].fill_(1.0)
        if func is torch.ops.aten.native_dropout.default:
            return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
        return func(*args, **(kwargs or {}))


cached: Any = type(functools.lru_cache(lambda: None))


@contextmanager
def cleared_caches(model: nn.Module) -> Generator[None]:
    """Hide tensors in `functools.lru_cache`s of earlier runs inside, and drop those that are cached inside afterwards.

    Such a table of positions is made in the first run of a process and found there by every later one, also by those of
    other models. A run that is looked at makes its own, and leaves none behind: it may have been one without values.
    """
    # Functions in the files of the model's classes, and the methods of classes there.
    kinds = {type(module) for module in modules_of(model).values()}
    names = {one.__module__ for kind in kinds for one in kind.__mro__[: kind.__mro__.index(nn.Module)]}
    functions: dict[int, Any] = {}
    for name in sorted(one for one in names if sys.modules.get(one) and not one.startswith("torch.")):
        for value in list(vars(sys.modules[name]).values()):
            own = isinstance(value, type) and value.__module__ == sys.modules[name].__name__
            members = [getattr(one, "__func__", one) for one in list(vars(value).values())] if own else [value]
            functions |= {id(one): one for member in members for one in _behind(member)}

    def forget_tensors() -> None:
        for function in functions.values():
            if function.cache_info().currsize and _keeps_tensors(function):
                function.cache_clear()

    forget_tensors()
    try:
        yield
    finally:
        forget_tensors()


def _behind(value: Any) -> Iterator[Any]:
    """A cached function: the value itself, or what a decorator wrapped."""
    if isinstance(value, cached):
        yield value
    elif isinstance(value, FunctionType) and value.__closure__:
        for cell in value.__closure__:
            try:
                inner = cell.cell_contents
            except ValueError:  # not set yet
                continue
            if isinstance(inner, cached):
                yield inner


def _keeps_tensors(function: Any) -> bool:
    """Among the results of a cached function, or in them, are tensors."""
    waiting, seen = [function], {id(function)}
    while waiting:
        held: list[Any] = gc.get_referents(waiting.pop())
        for key, one in zip(map(id, held), held, strict=True):
            if isinstance(one, torch.Tensor):
                return True
            if key not in seen and (isinstance(one, (tuple, list, dict)) or type(one).__name__ == "_lru_list_elem"):
                seen.add(key)
                waiting.append(one)
    return False
