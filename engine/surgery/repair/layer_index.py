"""Renumbers layers that store their own index, such as their slot in a shared cache, when others are removed.

Nothing is renumbered where a block goes: modules, state-dict names and lists in a configuration keep their places. Only
`layer_idx`, by which attention finds its slot in a cache, must leave no hole before the last one: code asks the first
slot of a kind how much it has seen.
"""

import re
from collections import defaultdict
from typing import Any

from torch import nn

from ...runtime.load_pruned import StandIn
from ...tracing.tree import modules_of

NUMBER = "layer_idx"


def layer_indices(before: nn.Module, after: nn.Module) -> list[tuple[str, str, int]]:
    """(path, attribute, value) for layers whose slot changes, as layers before them are gone.

    Layers exchange slots with their like only: at the same place in their block, of one class, and with equal flags
    (whether they slide, are causal ...), as a configuration may say of each slot what it holds.

    Args:
        before: The model before the cut.
        after: The same after it.
    """
    alike: dict[Any, list[tuple[int, str]]] = defaultdict(list)
    for path, module in modules_of(before).items():
        number = vars(module).get(NUMBER)
        if type(number) is int and not isinstance(module, StandIn):
            alike[re.sub(r"\b\d+\b", "*", path), type(module), _flags(module)].append((number, path))
    present = modules_of(after) if alike else {}
    changes: list[tuple[str, str, int]] = []
    for members in alike.values():
        slots = sorted(members)
        stay = [m for m in slots if not isinstance(present.get(m[1]), (StandIn, type(None)))]
        changes += [(path, NUMBER, slot) for (old, path), (slot, _) in zip(stay, slots, strict=False) if old != slot]
    return changes


def _flags(module: nn.Module) -> tuple[tuple[str, Any], ...]:
    """A module's switches; of all else (a window may be a number or None) whether it is there."""
    values = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != NUMBER}
    return tuple(
        (name, value if isinstance(value, (bool, str)) else value is None) for name, value in sorted(values.items())
    )
