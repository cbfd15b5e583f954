"""Notes what a forward changes beside its results: attributes, buffers, random generators."""

import random
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from .attribute_reads import is_plain
from .tree import modules_of

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
