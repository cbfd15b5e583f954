"""Chooses the plans to measure for a table: all widths vary independently, from all to a tenth. Numpy only."""

from collections.abc import Iterator

import numpy as np

from ..structures.analysis import Analysis, Mask
from .count_balance import balanced
from .isomorphic_classes import RemovalOption, removal_options
from .protocol import Goal, PlanStart

SAMPLES = 12
"""Cut models that are measured, the original among them."""
LOWEST = 0.1
"""Share of its structures that a set keeps at least in a sample."""
SPREAD = 0.35
"""How far the share of one set lies from the middle share of a sample."""
STEPS = (1, 2, 4, 8, 16)
"""How many structures every set loses where it is looked for the multiple that pays."""


def samples(analysis: Analysis, multiple: int, count: int = SAMPLES, seed: int = 0) -> Iterator[Mask]:
    """[S] plans, nothing removed first; the middle share falls evenly from 1 to `LOWEST`.

    Args:
        analysis: Of the original.
        multiple: Of the kept widths.
        count: How many.
        seed: Of the shares.
    """
    random = np.random.default_rng(seed)
    yield analysis.empty()
    for number in range(1, count):
        middle = 1 - (1 - LOWEST) * (number - 0.5) / (count - 1)
        yield draw_plan(analysis, multiple, random, middle, SPREAD)


def draw_plan(analysis: Analysis, multiple: int, random: np.random.Generator, middle: float, spread: float) -> Mask:
    """[S] a random plan: each set keeps a share within `spread` of the middle one, which structures is random too."""
    scores, plan = random.random(analysis.count), analysis.empty()
    for option in removal_options(PlanStart(analysis, scores, plan, analysis.empty()), Goal((), multiple=multiple)):
        share = float(np.clip(middle + random.uniform(-spread, spread), 0.0, 1.0))
        _lose(plan, option, option.remaining - round(share * option.remaining))
    return balanced(analysis, plan, scores=scores)


def steps(analysis: Analysis) -> Iterator[tuple[int, Mask]]:
    """(structures that every set loses, [S] plan) for each of `STEPS`."""
    # Which structures go does not matter to the time: the last ones.
    scores = -np.arange(analysis.count, dtype=np.float64)
    options = removal_options(PlanStart(analysis, scores, analysis.empty(), analysis.empty()), Goal(()))
    for size in STEPS:
        plan = analysis.empty()
        for option in options:
            if option.remaining > 2 * size:
                _lose(plan, option, size)
        if plan.any():
            yield size, balanced(analysis, plan, scores=scores)


def _lose(plan: Mask, option: RemovalOption, count: int) -> None:
    """Take about so many structures of a candidate out of the plan."""
    kept = option.allowed[np.argmin(np.abs(option.allowed - (option.remaining - count)))]
    plan[option.order[: option.remaining - int(kept)]] = True
