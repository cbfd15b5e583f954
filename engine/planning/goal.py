"""Plans for a goal: every limited cost at or under its limit. Numpy only.

`search.py` finds the widths, `block_pruning.py` lets whole blocks compete with them, and `infeasibility.py` says why a
goal cannot be reached.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, PlanError
from ..structures.analysis import Analysis, Kind, Mask
from ..targets.latency_table import LatencyTable
from .block_pruning import depth_and_width, fewest_blocks
from .cost_meter import Amounts, CostMeter, meter_of, no_blocks
from .count_balance import balanced
from .infeasibility import cost_name, unreachable
from .isomorphic_classes import RemovalOption, removal_options, with_block_contents
from .kind_counts import other_kinds, plan_kinds, reached_kinds
from .protocol import Cost, Goal, Limit, Planned, PlanStart, Ranking, Reached
from .scope import outside_scope
from .search import plan_between, widths_problem
from .share_exchange import ShareExchange, in_order
from .target_shape import plan_shape, reached_shape

ENOUGH = 0.9
"""Of what the limits allow, a multiple that nobody has asked for leaves at least this share."""


def suggest(
    analysis: Analysis,
    scores: NDArray[np.float64],
    keep_macs: float,
    *,
    removed: Mask | None = None,
    locked: Mask | None = None,
    multiple: int = 1,
    kinds: frozenset[Kind] | None = None,
) -> Mask:
    """Plan for a goal: keep at most a share of the original's MACs, as close to it as whole steps allow.

    Args:
        analysis: Of the original model.
        scores: [S] higher is more important, NaN where unknown (never marked).
        keep_macs: Share of the original's MACs to stay at or under, above 0 and up to 1.
        removed: [S] what the present state no longer has; stays removed. None for nothing.
        locked: [S] what must not be marked, None for nothing.
        multiple: KeptIndices widths are multiples of this (see `isomorphic_classes.step` for heads and small layers).
        kinds: Kinds of structures to choose from, None for `DEFAULT_KINDS`.

    Returns:
        [S] `removed` and the marks on top of it; constraints hold, also where `removed` alone (marks by hand) does not
            keep them.

    Raises:
        PlanError: The goal cannot be reached; says how far one gets.
    """
    goal = Goal((Limit(Cost.MACS, keep_macs),), multiple=int(multiple), kinds=tuple(kinds or ()))
    return plan_goal(PlanStart.of(analysis, scores, removed, locked), goal).removed


def solve(
    analysis: Analysis,
    scores: NDArray[np.float64],
    goal: Goal,
    removed: Mask | None = None,
    locked: Mask | None = None,
    latencies: LatencyTable | None = None,
) -> Planned:
    """Plan for any goal: all limits hold, as closely as whole steps allow.

    The way in for scripts, those of recipes among them; what has a `PlanStart` calls `plan_goal`.

    Args:
        analysis: Of the original model.
        scores: [S] higher is more important, NaN where unknown (never marked).
        goal: What is asked.
        removed: [S] what the present state no longer has, and what a hand has marked; stays removed. None for nothing.
        locked: [S] what must not be marked: locks, and what a hand has spared. None for nothing.
        latencies: Of the target, where the goal limits the latency.

    Raises:
        PlanError: The goal cannot be reached; says what is nearest, and what to relax.
    """
    return plan_goal(PlanStart.of(analysis, scores, removed, locked, latencies), goal)


def plan_goal(start: PlanStart, goal: Goal) -> Planned:
    """Plan for any goal: all limits hold, as closely as whole steps allow.

    Raises:
        PlanError: The goal cannot be reached; says what is nearest, and what to relax.
    """
    analysis, latencies, asked_from = start.analysis, start.latencies, start
    meter, original, limits = measure_limits(analysis, goal, latencies)
    # Numbers of structures come first: what they leave has to meet the limits of the costs.
    if goal.shape:
        start = start.without(plan_shape(start, goal))
    if goal.kept:
        start = start.without(plan_kinds(start, goal))
    # What goes with a block in a latency is only known where the table names the kernels of each.
    can_lose_blocks = not goal.timed or (latencies is not None and bool(latencies.homes))
    if Kind.BLOCK in goal.kinds and not can_lose_blocks:
        raise no_blocks()
    # Marks by hand may break a constraint that a plan has to keep: what goes in step with them goes too.
    even = balanced(analysis, start.removed, None, start.scores, start.locked, start.removed)
    start = start.without(start.removed | even)
    plan, note = start.removed, None
    if not (meter.measure(plan) <= limits).all():
        # The costs are met within the scope, by kinds that the goal does not count.
        free = replace(start, locked=start.locked | outside_scope(analysis, goal))
        rest = replace(goal, kinds=other_kinds(goal)) if goal.settled else goal
        plan = _plan_within(meter, free, rest, limits)
        # A multiple for a latency was measured to pay.
        if goal.multiple > 1 and not goal.timed:
            plan, note = _plan_finer(meter, free, rest, limits, plan)
    if plan is None:
        relaxed = replace(goal, multiple=1) if goal.finer else goal
        raise unreachable(
            start, relaxed, original, limits, partial(_lowest_costs, meter, start), meter, can_lose_blocks
        )
    return Planned(asked_from, goal, plan, reached(analysis, goal, plan, latencies), note)


def _plan_within(meter: CostMeter, start: PlanStart, goal: Goal, limits: Amounts) -> Mask | None:
    """[S] the plan within the limits [K] of the costs at the goal's multiple, None where there is none."""
    if Kind.BLOCK in goal.kinds and len(goal.kinds) > 1:
        return depth_and_width(meter, start, goal, limits)
    problem = widths_problem(meter, start, goal, limits)
    if not problem.holds(problem.counts(np.inf)):
        return None
    by_cost = goal.ranking is Ranking.COST
    return plan_between(problem, *(problem.cheapest_first() if by_cost else problem.bracket()))


def _lowest_costs(meter: CostMeter, start: PlanStart, goal: Goal, locked: Mask, rated: bool = False) -> Amounts:
    """[K] the lowest costs that a goal allows under these locks; `rated`: as if everything had a score."""
    start = replace(start.rated if rated else start, locked=locked | outside_scope(start.analysis, goal))
    goal = replace(goal, kinds=other_kinds(goal)) if goal.settled else goal
    blocks_compete = Kind.BLOCK in goal.kinds and len(goal.kinds) > 1
    problem = fewest_blocks if blocks_compete else widths_problem
    return problem(meter, start, goal, np.zeros(len(meter.costs), np.int64)).lowest_costs


def _plan_finer(
    meter: CostMeter, start: PlanStart, goal: Goal, limits: Amounts, plan: Mask | None
) -> tuple[Mask | None, Message | None]:
    """([S] the plan at a smaller multiple, where the goal may have one and its own wastes much; a remark on it).

    Args:
        meter: Measures what is limited.
        start: What is gone, locked and rated.
        goal: With its multiple.
        limits: [K] amounts to stay at or under.
        plan: [S] at the goal's multiple, None where there is none.
    """

    def kept(plan: Mask | None) -> float:
        """What a plan keeps of the limit that it is nearest to."""
        return 0.0 if plan is None else float((meter.measure(plan) / np.maximum(limits, 1)).max())

    if kept(plan) >= ENOUGH or (plan is None and not goal.finer):
        return plan, None
    # No multiple keeps more than single structures do.
    # Some goals leave little whatever the multiple (one wide layer): then only what single steps reach is asked for.
    enough = min(ENOUGH, kept(_plan_within(meter, start, replace(goal, multiple=1), limits)))
    finer, multiple = plan, goal.multiple
    for multiple in _multiples(goal.multiple)[1:]:
        finer = _plan_within(meter, start, replace(goal, multiple=multiple), limits)
        if kept(finer) >= enough:
            break
    if finer is None or kept(finer) <= kept(plan):
        return plan, None
    if plan is None:
        return finer, None
    # The remark is on the limit that binds: of others a multiple always leaves much.
    number = int(np.argmax(meter.measure(finer) / np.maximum(limits, 1)))
    original = meter.measure(meter.analysis.empty())[number]
    words = {
        "multiple": goal.multiple,
        "finer": multiple,
        "cost": cost_name(meter.costs[number]),
        "asked": limits[number] / original,
        "coarse": meter.measure(plan)[number] / original,
        "got": meter.measure(finer)[number] / original,
    }
    if goal.finer:
        template = (
            "Widths are multiples of {finer}, which keeps {got:.1%} of {cost}: multiples of {multiple} would keep only "
            "{coarse:.1%} of the {asked:.1%} that may stay."
        )
        return finer, Message("plan.finer", template, words)
    template = (
        "Multiples of {multiple} keep only {coarse:.1%} of {cost}, where {asked:.1%} may stay. Multiples of {finer} "
        "would keep {got:.1%}."
    )
    return plan, Message("plan.coarse", template, words)


def _multiples(multiple: int) -> list[int]:
    """A multiple and its halves, down to 1."""
    return [multiple >> halving for halving in range(multiple.bit_length())]


def exchange_of(start: PlanStart, goal: Goal, plan: Mask) -> ShareExchange:
    """What the sets of a plan [S] can give each other; it was made for the goal from this start.

    Blocks, and kinds that the goal counts, stay as the plan has them.
    """
    analysis = start.analysis
    meter, _, limits = measure_limits(analysis, goal, start.latencies)
    kinds = tuple(kind for kind in other_kinds(goal) if kind is not Kind.BLOCK)
    settled = start.removed.copy()
    for one in analysis.sets:
        if one.kind not in kinds:
            settled[one.structures] |= plan[one.structures]
    barred, gone = start.locked | outside_scope(analysis, goal), with_block_contents(analysis, settled)
    free = replace(start, removed=gone, locked=barred)
    fitting: list[RemovalOption] = []
    # The multiple that the plan was made with is the first that all sets of the plan fit.
    for multiple in (_multiples(goal.multiple) if goal.finer else [goal.multiple]) if kinds else ():
        options = removal_options(free, replace(goal, kinds=kinds, multiple=multiple))
        fitting = in_order(options, plan)
        if len(fitting) == len(options):
            break
    return ShareExchange(meter, fitting, limits)


def reached(
    analysis: Analysis, goal: Goal, removed: Mask, latencies: LatencyTable | None = None
) -> tuple[Reached, ...]:
    """For each limit of a goal what was asked and what is got without the `removed` [S]; latencies are predicted."""
    meter, original, limits = measure_limits(analysis, goal, latencies)
    rows = zip(meter.costs, original.tolist(), limits.tolist(), meter.measure(removed).tolist(), strict=True)
    found = tuple(Reached(*row) for row in rows)
    if goal.shape:
        found += reached_shape(analysis, goal, removed)
    if goal.kept:
        found += reached_kinds(analysis, goal, removed)
    return found


def measure_limits(
    analysis: Analysis, goal: Goal, latencies: LatencyTable | None
) -> tuple[CostMeter, Amounts, Amounts]:
    """The meter of the goal's costs, what the original costs, and the limits in the same unit."""
    if not (goal.limits or goal.settled) or len({limit.cost for limit in goal.limits}) < len(goal.limits):
        raise PlanError(
            "plan.limits", "A goal needs at least one limit, and at most one for each cost. Change the limits."
        )
    for limit in goal.limits:
        if not limit.amount > 0 and not 0.0 < limit.share <= 1.0:
            template = "A goal cannot keep {share:.0%} of {cost}. Choose more than 0 and at most 100 %."
            raise PlanError("plan.share", template, cost=cost_name(limit.cost), share=limit.share)
    meter = meter_of(analysis, tuple(limit.cost for limit in goal.limits), goal.dtype, latencies)
    original = meter.measure(analysis.empty())
    limits = [limit.amount or int(limit.share * int(o) + 0.5) for limit, o in zip(goal.limits, original, strict=True)]
    return meter, original, np.array(limits, np.int64)
