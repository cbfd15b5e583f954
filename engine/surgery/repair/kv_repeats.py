"""Repairs stored counts of query heads for each key/value head, which a run may not read.

torch's attention finds it out by itself, so that a run shows no fault; the same code repeats keys by a number that a
module remembers as soon as it is given a mask, or exported. That number follows the heads.
"""

from collections import defaultdict

from torch import nn

from ...structures.transition import Transition
from ...tracing.tree import Inputs, modules_of
from .masked_attention import MaskedAttention

REPEATS = "repeats"
"""What rules call them in `Analysis.sizes`: how often one index of an axis is repeated."""


def kv_repeats(model: nn.Module, transition: Transition, inputs: Inputs) -> list[tuple[str, str, int]]:
    """(path, attribute, value) for attributes that still hold the count of before the cut.

    Nothing is guessed: it must be what makes attention do the same with a mask as without, or, where no mask can be
    given, the one attribute that has the right number in every module of its class.
    """
    analysis, modules = transition.analysis, modules_of(model)
    old, new = transition.sizes_before, transition.sizes_after
    alike: dict[type, dict[str, tuple[int, int]]] = defaultdict(dict)
    for path, what, axis, _ in analysis.sizes:
        if what == REPEATS and axis >= 0 and path in modules:
            alike[type(modules[path])][path] = (int(old[axis]), int(new[axis]))
    changes: list[tuple[str, str, int]] = []
    for members in alike.values():
        names = set[str].intersection(*(_holding(modules[path], was) for path, (was, _) in members.items()))
        changed = {path: now for path, (was, now) in members.items() if was != now}
        if not names or not changed:
            continue
        ways = MaskedAttention(model, inputs, analysis.outputs, analysis.weightless, tuple(members))
        chosen = ways.fitting(names, lambda name, by=changed: {(path, name): now for path, now in by.items()})
        chosen = names if chosen is None and len(names) == 1 else chosen or ()
        changes += [(path, name, now) for name in sorted(chosen) for path, now in changed.items()]
    return changes


def _holding(module: nn.Module, count: int) -> set[str]:
    """Names of a module's whole numbers that are this count."""
    return {name for name, value in vars(module).items() if type(value) is int and value == count}
