"""What random removal is asked for, for a cut of the session's: as much as that cut took, in the same freedom.

A plan that was solved for lies at its goal's limit, and the goal says it all. Marks by hand, and plans whose goal was
changed later, stand for the MACs that they came to; so does a latency, which is the plan's own.
"""

from dataclasses import replace

import numpy as np

from ..planning.cost_meter import meter_of
from ..planning.goal import reached
from ..planning.isomorphic_classes import step
from ..planning.protocol import DEFAULT_KINDS, Cost, Goal, Limit
from ..planning.scope import in_scope
from ..session.states import State
from ..structures.analysis import Analysis, Kind, Mask, from_identities


def budget_of(analysis: Analysis, cut: State) -> Goal:
    """The goal for other structures at a cut's cost.

    Args:
        analysis: Of the original.
        cut: A state that was cut, with its plan as far as there is one.
    """
    asked = cut.plan.asked if cut.plan is not None else None
    by_hand, _ = from_identities(analysis, cut.plan.marked if cut.plan is not None else {})
    gone, _ = from_identities(analysis, cut.removed)
    limits = (Limit(Cost.MACS, amount=cut.macs),)
    if asked is None:
        return Goal(limits, kinds=_kinds(analysis, gone, ()))
    told = reached(analysis, asked, gone) if (asked.limits or asked.settled) and not asked.timed else ()
    if by_hand.any() or any(one.got > one.asked for one in told):  # no solver made these widths
        marked = [one.module for one in analysis.sets if by_hand[one.structures].any()]
        scope = asked.scope if all(any(in_scope(one, place) for place in asked.scope) for one in marked) else ()
        return Goal(limits, scope, kinds=_kinds(analysis, gone, asked.kinds), ranking=asked.ranking)
    if asked.settled and not asked.limits:
        return asked
    if told and any(one.asked - one.got <= most for one, most in zip(told, _steps(analysis, asked), strict=False)):
        return asked
    return replace(asked, limits=limits, target=None)


def _kinds(analysis: Analysis, gone: Mask, asked: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """The kinds that went, and those that might; whole blocks only where one went."""
    went = {one.kind for one in analysis.sets if gone[one.structures].any()}
    return tuple(sorted(went | {*(asked or DEFAULT_KINDS)} - {Kind.BLOCK}))


def _steps(analysis: Analysis, goal: Goal) -> list[int]:
    """[K] what the dearest step costs, in the unit of each of a goal's limits."""
    meter = meter_of(analysis, tuple(limit.cost for limit in goal.limits), goal.dtype)
    whole = meter.measure(analysis.empty())
    most = 0 * whole
    for one in analysis.sets:
        if one.kind in (goal.kinds or DEFAULT_KINDS):
            without = analysis.empty()
            count = step(analysis, one, max(goal.multiples.get(one.kind, goal.multiple), 1), goal.steps)
            without[one.first : one.first + count] = True
            most = np.maximum(most, whole - meter.measure(without))
    return most.tolist()
