"""The nearest plan that one configuration describes: what breaks uniformity in a plan, and what it costs to keep it."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Message, SecateurError
from ...messages import Phrase, listed, module_named, title
from ...planning.count_balance import all_bundles, weakest_first
from ...planning.kind_counts import with_what_they_hold
from ...planning.protocol import plural
from ...structures.analysis import Analysis, CountBundle, Kind, Mask
from ...structures.costs import Costs, costs
from ...text.format import signed
from .keep_uniform import fitting_plan, keep_uniform

SHOWN = 4
"""Kinds, and counts of one kind, that a sentence names."""
NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
"""Of a layer, in the path of a module."""


@dataclass(frozen=True, slots=True)
class NearestUniform:
    """A uniform plan beside one that is not.

    Attributes:
        uneven: What breaks uniformity: for each kind how many which layers keep.
        removed: [S] the uniform plan: every kind loses, rounded, what its layers lose on average.
        plan: What the plan costs that is not uniform.
        uniform: What this one costs.
    """

    uneven: tuple[Message, ...]
    removed: Mask
    plan: Costs
    uniform: Costs

    @property
    def message(self) -> Message:
        """The same in words."""
        words = {
            "layers": listed(self.uneven, SHOWN),
            "macs": self.uniform.macs,
            "parameters": self.uniform.parameters,
            "macs_change": _change(self.plan.macs, self.uniform.macs),
            "parameters_change": _change(self.plan.parameters, self.uniform.parameters),
        }
        template = (
            "Layers differ: {layers}. The nearest uniform plan has {macs:,} MACs ({macs_change} %) and {parameters:,} "
            "parameters ({parameters_change} %)."
        )
        return Message("uniform.nearest", template, words)


def nearest_uniform(
    model: Any, analysis: Analysis, removed: Mask, scores: NDArray[np.float64] | None = None
) -> NearestUniform | None:
    """The uniform plan next to one that is not; None where the plan is uniform or no uniform one is near.

    Args:
        model: The original, of transformers.
        analysis: Of it.
        removed: [S] the plan.
        scores: [S] NaN where unknown; what the plan removes goes first in any case. None for the plan alone.
    """
    try:
        uniform = keep_uniform(model, analysis)
        gone, plan = with_what_they_hold(analysis, removed), analysis.empty()
        uneven: dict[Kind, Message] = {}
        for bundle in all_bundles(uniform):
            if (found := _differing(analysis, bundle, removed, gone)) is not None:
                uneven.setdefault(analysis.sets[bundle.sets[0]].kind, found)
            plan[_weakest(analysis, bundle, removed, gone, scores)] = True
        rated = np.zeros(analysis.count) if scores is None else scores
        plan = fitting_plan(model, uniform, plan, rated, analysis.empty())
    except SecateurError:  # no configuration, or none that accepts a plan like this one
        return None
    if not uneven:
        return None
    return NearestUniform(tuple(uneven.values()), plan, costs(analysis, removed), costs(analysis, plan))


def _weakest(
    analysis: Analysis, bundle: CountBundle, removed: Mask, gone: Mask, scores: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Structures that go so that each set of a bundle loses what those that are left lose on average."""
    there = [*_left(analysis, bundle, gone)] or [*zip(bundle.sets, bundle.sizes, strict=True)]
    lost = [int(removed[analysis.sets[number].structures].sum()) / size for number, size in there]
    steps = min(round(sum(lost) / len(lost)), bundle.most)
    chosen = [np.zeros(0, np.int64)]
    for number, size in zip(bundle.sets, bundle.sizes, strict=True):
        one = analysis.sets[number]
        order = weakest_first(np.arange(one.first, one.first + one.count), scores, removed)
        chosen.append(order[: size * steps])
    return np.concatenate(chosen)


def _left(analysis: Analysis, bundle: CountBundle, gone: Mask) -> Iterator[tuple[int, int]]:
    """(set, its size) of a bundle's sets that do not lie in removed blocks."""
    for number, size in zip(bundle.sets, bundle.sizes, strict=True):
        if analysis.sets[number].kind is Kind.BLOCK or not gone[analysis.sets[number].structures].all():
            yield number, size


def _differing(analysis: Analysis, bundle: CountBundle, removed: Mask, gone: Mask) -> Message | None:
    """How many structures which layers keep, where a configuration has one number; None where that is one."""
    kept: dict[int, list[Phrase]] = defaultdict(list)
    for number, _ in _left(analysis, bundle, gone):
        one = analysis.sets[number]
        layer = NUMBER.search(one.module)
        kept[one.count - int(removed[one.structures].sum())].append(layer[0] if layer else module_named(one.module))
    kind = analysis.sets[bundle.sets[0]].kind
    whole = sum(analysis.sets[number].count for number, _ in _left(analysis, bundle, gone))
    parts = kind is Kind.BLOCK and not bundle.most and removed[analysis.sets[bundle.sets[0]].first]
    fixed = not bundle.most and kind is not Kind.BLOCK and sum(n * len(places) for n, places in kept.items()) < whole
    if len(kept) < 2 and not fixed and not parts:
        return None
    each = (
        Message("uniform.count", "{count} in {places}", {"count": count, "places": listed(places, SHOWN)})
        for count, places in sorted(kept.items(), reverse=True)
    )
    return Message("uniform.kind", "{kinds} {counts}", {"kinds": title(plural(kind)), "counts": listed(each, SHOWN)})


def _change(before: int, after: int) -> str:
    """By how many per cent a cost is another one."""
    return signed(100 * (after / max(before, 1) - 1), 1)
