"""Clears functions under `functools.lru_cache` that hold tensors of an earlier run.

Such a table of positions is made in the first run of a process and found there by every later one, also by those of
other models. A run that is looked at makes its own, and leaves none behind: it may have been one without values.
"""

import functools
import gc
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from .tree import modules_of

cached: Any = type(functools.lru_cache(lambda: None))


@contextmanager
def cleared_caches(model: nn.Module) -> Generator[None]:
    """Hide cached tensors of earlier runs inside, and drop those that are cached inside afterwards."""
    functions = list(_cached_functions(model))
    _forget_tensors(functions)
    try:
        yield
    finally:
        _forget_tensors(functions)


def _forget_tensors(functions: Iterable[Any]) -> None:
    for function in functions:
        if function.cache_info().currsize and _keeps_tensors(function):
            function.cache_clear()


def _cached_functions(model: nn.Module) -> Iterator[Any]:
    """In the files of the model's classes, and in these."""
    kinds = {type(module) for module in modules_of(model).values()}
    files = {one.__module__ for kind in kinds for one in kind.__mro__[: kind.__mro__.index(nn.Module)]}
    for name in sorted(files):
        file = sys.modules.get(name)
        if file is not None and not name.startswith("torch."):
            yield from {id(one): one for one in _inside(file)}.values()


def _inside(file: ModuleType) -> Iterator[Any]:
    for value in list(vars(file).values()):
        if isinstance(value, type) and value.__module__ == file.__name__:
            for one in list(vars(value).values()):
                yield from _behind(getattr(one, "__func__", one))
        else:
            yield from _behind(value)


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
