"""Plans depth and width together: whole blocks compete with filters and heads at equal cost. Numpy only.

A structure is worth its class-relative score times the cost that it saves: so an average head and an average filter
have one price per cost, as a common ratio for all classes means it. A block is worth the sum of what it holds, measured
with the same rule as its parts. Blocks are put into an order, the least worth for the most cost first. Then for none of
them, the first, the first two and so on the widths of the rest are planned for the same limits: each of these plans
costs the same, and the one that loses the least is taken. Of each class of equal blocks the best always stays.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Kind, Mask
from .cost_meter import Amounts, CostMeter, meter_of
from .isomorphic_classes import RemovalOption, held_by_blocks, removal_options
from .protocol import DEFAULT_KINDS, Cost, Goal, PlanStart
from .search import Counts, Problem, plan_between, start_search

ALL = Goal((), kinds=tuple(DEFAULT_KINDS))
"""Kinds that never lie on the same weights: what a block holds is counted once."""


@dataclass(frozen=True, slots=True)
class RemovableBlocks:
    """The blocks that may go.

    Attributes:
        options: One candidate for each.
        order: Their numbers, the least worth for the most cost first, as many as the limits can ask for.
        held: For each [*] the structures that go with it.
        value: [S] what each structure is worth, 0 where unknown.
    """

    options: list[RemovalOption]
    order: list[int]
    held: list[NDArray[np.int64]]
    value: NDArray[np.float64]

    def gone(self, removed: Mask, count: int) -> tuple[Mask, Mask]:
        """[S] twice: without the first blocks of the order too, and with all that these hold."""
        marked, implied = removed.copy(), removed.copy()
        for number in self.order[:count]:
            marked[self.options[number].order] = True
            implied[self.options[number].order] = True
            implied[self.held[number]] = True
        return marked, implied


def depth_and_width(meter: CostMeter, start: PlanStart, goal: Goal, limits: Amounts) -> Mask | None:
    """[S] the plan that loses the least, None where none of them reaches the goal."""
    blocks = _order_blocks(meter, start, goal, limits)
    best: tuple[float, int, Problem, Counts, Counts] | None = None
    for count in range(len(blocks.order) + 1):
        marked, implied = blocks.gone(start.removed, count)
        widths = removal_options(start.without(implied), _widths(goal))
        options = [replace(option, value=blocks.value[option.order]) for option in widths]
        problem = Problem(meter, marked, options, limits)
        all_kept = np.array([option.remaining for option in options], np.int64)
        if problem.holds(all_kept):
            # Blocks that reach the goal alone do so in large steps: they are for where nothing finer does.
            # Every further block only overshoots the limits by more.
            if best is not None:
                break
            above = below = all_kept
        elif problem.holds(problem.counts(np.inf)):
            above, below = problem.bracket()
        else:
            continue
        # Compared where limits are just met, not at the rounded plans: a lucky rounding would else decide over a block.
        lost = _loss_at_limits(problem, blocks.value, implied & ~start.removed, above, below)
        if best is None or lost < best[0]:
            best = lost, count, problem, above, below
    if best is None:
        return None
    _, number, problem, above, below = best
    gone = set(blocks.order[:number])
    kept = np.array([int(n not in gone) for n in range(len(blocks.options))], np.int64)
    options = [*problem.options, *blocks.options]
    # Blocks stay in the search with their counts fixed, so that costs are measured with them gone.
    whole = Problem(meter, start.removed, options, limits)
    return plan_between(whole, np.concatenate([above, kept]), np.concatenate([below, kept]))


def fewest_blocks(meter: CostMeter, start: PlanStart, goal: Goal, limits: Amounts) -> Problem:
    """The widths beside as few blocks as there can be: all that may go are gone."""
    blocks = _order_blocks(meter, start, goal, limits)
    marked, implied = blocks.gone(start.removed, len(blocks.order))
    return Problem(meter, marked, removal_options(start.without(implied), _widths(goal)), limits)


def weakest_blocks(start: PlanStart, goal: Goal) -> NDArray[np.int64]:
    """[*] blocks that may go, as structures: the least worth for the most MACs first, each beside those before it."""
    blocks = _order_blocks(meter_of(start.analysis, (Cost.MACS,)), start, goal, np.zeros(1, np.int64))
    return np.array([int(blocks.options[number].order[0]) for number in blocks.order], np.int64)


def _loss_at_limits(problem: Problem, value: NDArray[np.float64], implied: Mask, above: Counts, below: Counts) -> float:
    """What is lost where the limits are just met: between the counts above and under, by their costs."""
    lost = [float(value[(problem.mask(c) & ~problem.removed) | implied].sum()) for c in (above, below)]
    costs = [problem.meter.measure(problem.mask(c)) for c in (above, below)]
    if lost[0] == lost[1]:
        return lost[0]
    excess = np.maximum(costs[0] - problem.limits, 0) / np.maximum(costs[0] - costs[1], 1)
    return lost[0] + (lost[1] - lost[0]) * float(np.clip(excess.max(), 0.0, 1.0))


def _order_blocks(meter: CostMeter, start: PlanStart, goal: Goal, limits: Amounts) -> RemovableBlocks:
    """The blocks that may go, as many as the limits can ask for, the least worth for the most cost first."""
    held = held_by_blocks(start.analysis)
    # What a block holds counts in full, locked or not: a lock says what stays, not what it is worth.
    unlocked = replace(start, locked=start.analysis.empty())
    value = _worth(meter, removal_options(unlocked, ALL), start.removed)
    found = removal_options(start, replace(goal, kinds=(Kind.BLOCK,)))
    own = _worth(meter, found, start.removed)
    options: list[RemovalOption] = []
    for option in found:
        inside = held[int(option.order[0])]
        # Criteria that rate no parts of a block (its influence on what runs through) rate the block itself.
        rated = value[inside].any()
        options.append(replace(option, value=np.array([value[inside].sum()]) if rated else own[option.order]))
        value[option.order] = 0.0 if rated else own[option.order]
    blocks = RemovableBlocks(options, [], [held[int(option.order[0])] for option in options], value)
    walk = start_search(meter, options, limits, np.ones(len(options), np.int64), start.removed)
    while not walk.met and walk.counts.any():
        blocks.order.append(walk.take_cheapest(np.zeros_like(walk.counts)))
    return blocks


def _worth(meter: CostMeter, options: list[RemovalOption], removed: Mask) -> NDArray[np.float64]:
    """[S] class-relative score times what one structure saves, as a share of the original; 0 for others.

    A peak is no sum: where nothing else is limited, what a structure saves are MACs.
    """
    # What one structure takes off a peak is mostly nothing, and says nothing of its share in what is needed.
    summed = tuple(c for c in meter.costs if c is not Cost.PEAK) or (Cost.MACS,)
    sizes = meter_of(meter.analysis, summed, latencies=meter.latencies)
    original = np.maximum(sizes.measure(meter.analysis.empty()), 1)
    value = np.zeros(meter.analysis.count)
    if options:
        counts = np.array([option.remaining for option in options], np.int64)
        saved = (start_search(sizes, options, original, counts, removed).savings() / original).sum(axis=1)
        for option, share in zip(options, saved, strict=True):
            value[option.order] = option.value * share
    return value


def _widths(goal: Goal) -> Goal:
    return replace(goal, kinds=tuple(kind for kind in goal.kinds if kind is not Kind.BLOCK))
