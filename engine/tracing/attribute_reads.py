"""Records which attributes of modules and plain objects a model's code reads in a run, and tells whose code is whose.

What no code has read by the time a run fails has nothing to do with the failure.
"""

import dis
import os
import sys
import sysconfig
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

import torch
from torch import nn

from .tree import modules_of

TORCH = os.path.join(os.path.dirname(torch.__file__), "")
OURS = os.path.join(str(Path(__file__).resolve().parents[1]), "")
STDLIB = os.path.join(sysconfig.get_path("stdlib"), "")
PACKAGES = ("site-packages", "dist-packages")


@cache
def is_model_code(code: CodeType) -> bool:
    """Whether a function is of a model or a library of models."""
    file = code.co_filename
    if file.startswith("<frozen"):
        return False
    file = os.path.realpath(file) if not file.startswith("<") else file
    if file.startswith((TORCH, OURS)):
        return False
    return not file.startswith(STDLIB) or any(f"{os.sep}{name}{os.sep}" in file for name in PACKAGES)


@cache
def compares_numbers(code: CodeType) -> bool:
    """Whether a function is of a model and compares something."""
    return is_model_code(code) and any(one.opname == "COMPARE_OP" for one in dis.get_instructions(code))


ENGINE = __name__.removesuffix(".tracing.attribute_reads")
DEPTH = 2
"""How deep plain objects in modules are looked through ("config.text_config.hidden_size")."""


def is_plain(value: object) -> bool:
    """An object with attributes of its own, which can be set, that is neither code nor part of the network."""
    if getattr(getattr(type(value), "__dataclass_params__", None), "frozen", False):
        return False
    other = (type, ModuleType, FunctionType, MethodType, nn.Module, torch.Tensor, Enum)
    return hasattr(value, "__dict__") and not isinstance(value, other) and not callable(value)


class AttributeReads:
    """What was read of one model's attributes."""

    def __init__(self, model: nn.Module) -> None:
        """Take a model that nobody else uses."""
        self._modules = modules_of(model)
        self._owners: dict[int, Any] = {
            id(one): one for module in self._modules.values() for one in _owners(module, DEPTH)
        }
        self._names: dict[int, set[str]] = {}

    @contextmanager
    def noted(self) -> Generator[None]:
        """Record reads inside; the objects have other classes meanwhile."""
        own: dict[int, Any] = {key: type(owner) for key, owner in self._owners.items()}
        for key, owner in self._owners.items():
            try:
                owner.__class__ = _noting(own[key])
            except Exception:  # a class that allows no other in its place: its reads stay unknown
                continue
            self._names[key] = set()
        _noted.append(self._names)
        try:
            yield
        finally:
            _noted.pop()
            for key in self._names:
                self._owners[key].__class__ = own[key]

    def has(self, path: str, name: str) -> bool:
        """Whether an attribute of a module, or of an object that it holds ("config.hidden_size"), was read."""
        owner: Any = self._modules[path]
        *holders, last = name.split(".")
        for holder in holders:
            owner = owner.__dict__[holder]
        read = self._names.get(id(owner))
        return read is None or last in read or "__dict__" in read

    def choices(self) -> list[str]:
        """Flags and words that the code of the model itself read, as "config.use_cache": it may have chosen by them."""
        found: list[str] = []
        for module in self._modules.values():
            named = [] if type(module).__module__.startswith("torch.") else [("", module)]
            named += [(f"{name}.", one) for name, one in vars(module).items() if is_plain(one)]
            for prefix, owner in named:
                read = self._names.get(id(owner), set())
                held = vars(owner)
                found += [
                    f"{prefix}{name}"
                    for name in sorted(read - {"training"})
                    if not name.startswith("_") and isinstance(held.get(name), bool | str)
                ]
        return list(dict.fromkeys(found))


@contextmanager
def environment_noted(names: set[str]) -> Generator[None]:
    """Note which variables of the environment the code of a model reads inside."""
    own = type(os.environ)

    class Noting(own):
        """The environment, which notes what a model's code reads of it."""

        def __getitem__(self, key: str) -> str:
            caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
            while caller.f_back is not None and caller.f_globals.get("__name__") in ("os", "collections.abc"):
                caller = caller.f_back
            if is_model_code(caller.f_code):
                names.add(key)
            return super().__getitem__(key)

    os.environ.__class__ = Noting
    try:
        yield
    finally:
        os.environ.__class__ = own


def _owners(owner: Any, depth: int) -> Iterator[Any]:
    yield owner
    if depth:
        values: list[Any] = list(owner.__dict__.values())
        for value in values:
            if is_plain(value):
                yield from _owners(value, depth - 1)


ACCESS = ("__getattribute__", "__getattr__", "__setattr__", "__delattr__")
_noted: list[dict[int, set[str]]] = []
"""Runs that are watched, the innermost last: names that were read by the id of the object."""


class _Noting:
    """Behind an object's own classes: whatever way these take to an attribute ends here."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if _noted and (read := _noted[-1].get(id(self))) is not None:
            # The dictionary of all attributes is read on the way to each of them: by the access methods of a class,
            # by torch and by us. That is not noted; where the model's own code reads it, it counts for all names.
            caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
            file: str = caller.f_globals.get("__name__", "")
            on_the_way = caller.f_code.co_name in ACCESS or file.startswith(("torch.", f"{ENGINE}."))
            if name != "__dict__" or not on_the_way:
                read.add(name)
        return super().__getattribute__(name)


@cache
def _noting(own: type) -> type:
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__slots__": ()}
    return cast("type", type(own)(own.__name__, (own, _Noting), names))
