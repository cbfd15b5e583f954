"""Counts that a run may pass without reading them: how many query heads each key/value head serves.

torch's attention finds it out by itself, so that a run shows no fault; the same code repeats keys by a number that a
module remembers as soon as it is given a mask, or exported. That number follows the heads.
"""

from collections import defaultdict

from torch import nn

from ..structures.analysis import Analysis, Mask
from ..structures.costs import kept_sizes
from ..tracing.reading import modules_of

REPEATS = "repeats"
"""What rules call them in `Analysis.sizes`: how often one index of an axis is repeated."""


def recounted(model: nn.Module, analysis: Analysis, before: Mask, after: Mask) -> list[tuple[str, str, int]]:
    """(path, attribute, value) for attributes that still hold the count of before the cut.

    Nothing is guessed: it must be the one attribute that has the right number in every module of its class.
    """
    old, new, modules = kept_sizes(analysis, before), kept_sizes(analysis, after), modules_of(model)
    alike: dict[type, list[tuple[str, int, int]]] = defaultdict(list)
    for path, what, axis, _ in analysis.sizes:
        if what == REPEATS and axis >= 0 and path in modules:
            alike[type(modules[path])].append((path, int(old[axis]), int(new[axis])))
    changes: list[tuple[str, str, int]] = []
    for members in alike.values():
        names = set[str].intersection(*(_holding(modules[path], count) for path, count, _ in members))
        if len(names) == 1:
            (name,) = names
            changes += [(path, name, now) for path, was, now in members if was != now]
    return changes


def _holding(module: nn.Module, count: int) -> set[str]:
    """Names of a module's whole numbers that are this count."""
    return {name for name, value in vars(module).items() if type(value) is int and value == count}
