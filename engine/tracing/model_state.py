"""Saves and restores everything that a forward may change in a model.

Buffers, tensors and arrays in attributes, counters, lists and dictionaries, random generators, modes, flags, hooks, and
the objects of the model's own code that hold such. The objects stay the same ones; their content is that of before.
`ForwardState` does not restore: it names what a forward has changed.
"""

import random
import sys
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.parameter import is_lazy

from .attribute_reads import is_plain
from .shadow_model import HOOKS, kind_of
from .tree import modules_of

ATOMS = frozenset((bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device))
WEIGHTS = 4_000_000
"""Elements of parameters up to which their values are kept too: hardly any forward changes them in place. Of a larger
model it is put back only which memory they lie in."""
LONG = 100_000
"""Entries from which on a container is kept without what lies in its entries: that is data."""
FOREIGN = sys.stdlib_module_names | {"torch", "numpy", __name__.partition(".")[0]}
"""Packages whose objects are no state of a model, if one of its modules comes from there."""


class ModelState:
    """What a model is now, apart from what nobody changes in a forward."""

    def __init__(self, model: nn.Module) -> None:
        """Keep it; tensors that may change are copied, other objects are kept by reference."""
        self._mappings: list[tuple[Any, dict[Any, Any]]] = []
        self._empty: list[dict[Any, Any]] = []
        self._entries: list[tuple[Any, list[Any]]] = []
        self._tensors: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, bool, torch.Tensor | None]] = []
        self._arrays: list[tuple[Any, Any]] = []
        self._random: list[tuple[Callable[[Any], Any], Any]] = []
        modules = list(modules_of(model).values())
        self._own = {_package(kind) for one in modules for kind in type(one).__mro__} - FOREIGN
        self._small = sum(0 if is_lazy(p) else p.numel() for p in model.parameters()) <= WEIGHTS
        self._keep(model)

    def _keep(self, model: nn.Module) -> None:
        seen: set[int] = set()
        waiting: list[Any] = [model]
        while waiting:
            value = waiting.pop()
            if kind_of(value) in ATOMS or id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, torch.Tensor):
                self._keep_tensor(value)
            elif isinstance(value, nn.Module):
                own = vars(value)
                self._mappings.append((own, own.copy()))
                for name in HOOKS:
                    if hooks := own.get(name):
                        self._mappings.append((hooks, dict(hooks)))
                    elif hooks is not None:
                        self._empty.append(hooks)
                waiting += [one for name, one in own.items() if kind_of(one) not in ATOMS and name not in HOOKS]
                if isinstance(value, torch.jit.ScriptModule):  # keeps its tensors elsewhere
                    waiting += [*value.parameters(), *value.buffers()]
            elif isinstance(value, tuple):
                waiting += cast("tuple[Any, ...]", value)
            else:
                self._keep_object(value, waiting)

    def _keep_object(self, value: Any, waiting: list[Any]) -> None:
        if isinstance(value, dict):
            self._keep_mapping(value, waiting)
        elif isinstance(value, list | deque):
            sequence = cast("list[Any]", value)
            entries = list(sequence)
            self._entries.append((sequence, entries))
            waiting += entries if len(entries) < LONG else ()
        elif isinstance(value, set):
            members = cast("set[Any]", value)
            self._entries.append((members, list(members)))
        elif isinstance(value, np.ndarray):
            array = cast("NDArray[Any]", value)
            self._arrays.append((array, array.copy()))
        elif isinstance(value, torch.Generator):
            self._random.append((value.set_state, value.get_state()))
        elif isinstance(value, random.Random):
            self._random.append((value.setstate, value.getstate()))
        elif isinstance(value, np.random.RandomState):
            self._random.append((value.set_state, value.get_state()))
        elif isinstance(value, np.random.Generator):
            source = value.bit_generator
            self._random.append((lambda state: setattr(source, "state", state), source.state))
        if (own := self._attributes(value)) is not None:
            self._keep_mapping(own, waiting)

    def _attributes(self, value: Any) -> dict[str, Any] | None:
        """Those of an object of a class of the model's own code; what belongs to others is theirs."""
        kind = kind_of(value)
        if isinstance(value, type) or (_package(kind) not in self._own and kind is not SimpleNamespace):
            return None
        found: Any = getattr(value, "__dict__", None)
        return cast("dict[str, Any]", found) if kind_of(found) is dict else None

    def _keep_mapping(self, value: Any, waiting: list[Any]) -> None:
        held = dict(value)
        self._mappings.append((value, held))
        if len(held) < LONG:
            waiting += [one for one in held.values() if kind_of(one) not in ATOMS]

    def _keep_tensor(self, tensor: torch.Tensor) -> None:
        if is_lazy(tensor) or tensor.layout is not torch.strided:
            return
        if to_local := getattr(tensor, "to_local", None):  # divided among processes: a part of it is this one's
            with torch.no_grad():
                tensor = cast("torch.Tensor", to_local())
        copies = not tensor.is_meta and (self._small or not isinstance(tensor, nn.Parameter))
        alias = tensor.detach()
        self._tensors.append((tensor, alias, alias.clone() if copies else None, tensor.requires_grad, tensor.grad))

    def restore(self) -> None:
        """Put everything back; what has not changed is not touched."""
        for mapping, held in self._mappings:
            # In order and by identity: values may be tensors, which `==` compares one by one.
            pairs = zip(mapping.items(), held.items(), strict=False)
            same = all(key is old_key and one is old for (key, one), (old_key, old) in pairs)
            if len(mapping) != len(held) or not same:
                mapping.clear()
                mapping.update(held)
        for mapping in self._empty:
            mapping.clear()
        for one, entries in self._entries:
            if len(one) != len(entries) or any(a is not b for a, b in zip(one, entries, strict=True)):
                one.clear()
                one.update(entries) if isinstance(one, set) else one.extend(entries)
        with torch.no_grad():
            for tensor, alias, values, flag, gradient in self._tensors:
                _put_back(tensor, alias, values)
                if tensor.is_leaf and tensor.requires_grad != flag:
                    tensor.requires_grad_(flag)
                if tensor.is_leaf and tensor.grad is not gradient:
                    tensor.grad = gradient
        for array, values in self._arrays:
            if array.flags.writeable:
                array[...] = values
        for give, state in self._random:
            give(state)


@contextmanager
def model_state_restored(*models: nn.Module) -> Generator[None]:
    """Whatever happens to models inside, they are as before afterwards."""
    states = [ModelState(model) for model in models]
    try:
        yield
    finally:
        for state in reversed(states):
            state.restore()


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _put_back(tensor: torch.Tensor, alias: torch.Tensor, values: torch.Tensor | None) -> None:
    """The memory that a tensor lay in, and the values there."""
    if tensor.is_meta:
        return
    if tensor.data_ptr() != alias.data_ptr() or tensor.shape != alias.shape or tensor.stride() != alias.stride():
        tensor.data = alias
    if values is not None and not torch.equal(alias, values):
        alias.data.copy_(values)  # past autograd, which would count it as a change of what it has saved


PLAIN = (bool, int, float, str, type(None))
SIZED = (list, dict, set, tuple)
STORES = frozenset(name for name in vars(nn.Module()) if name.startswith("_"))
"""Where every module keeps its parameters, modules and hooks."""


class ForwardState:
    """The state of a model and of the random generators before a forward.

    Numbers, words, lengths of containers and versions of tensors count: what a forward counts, caches or averages.
    """

    def __init__(self, model: nn.Module) -> None:
        """Note the state of a model that nobody else runs; of the random generators once they are seeded."""
        self._owners: list[tuple[str, Mapping[str, Any]]] = []
        seen: set[int] = set()
        for path, module in modules_of(model).items():
            own, prefix = vars(module), f"{path}." if path else ""
            if own["_buffers"]:
                self._owners.append((prefix, own["_buffers"]))
            if type(module).__module__.startswith("torch.nn."):  # its forward changes nothing but buffers
                continue
            self._owners.append((prefix, own))
            for name, value in own.items():
                if name not in STORES and id(value) not in seen and is_plain(value):
                    seen.add(id(value))
                    self._owners.append((f"{prefix}{name}.", cast("dict[str, Any]", vars(value))))
        self._before = [_snapshot(own) for _, own in self._owners]
        # A new tensor must not get the id of one that is gone.
        self._held = [one for _, own in self._owners for one in own.values() if isinstance(one, torch.Tensor)]
        self._python = random.getstate()
        self._numpy = _numpy_state()

    def changed_names(self) -> tuple[str, ...]:
        """Attributes and buffers that are others now, as "layer.calls"."""
        found: list[str] = []
        for (prefix, own), before in zip(self._owners, self._before, strict=True):
            after = _snapshot(own)
            names = {**before, **after}
            found += [prefix + name for name in names if before.get(name, before) != after.get(name, after)]
        return tuple(sorted(found))

    def draws_outside_torch(self) -> bool:
        """Whether Python's or NumPy's random numbers were drawn since."""
        return random.getstate() != self._python or _numpy_state() != self._numpy


def _numpy_state() -> tuple[bytes, int]:
    state = cast("Any", np.random.get_state(legacy=False))["state"]
    return state["key"].tobytes(), state["pos"]


def _snapshot(own: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in own.items():
        if isinstance(value, torch.Tensor):
            found[name] = (id(value), value._version)
        elif type(value) in PLAIN:
            found[name] = value
        elif type(value) in SIZED and name not in STORES:
            found[name] = len(value)
    return found
