"""The budgets of several rounds, spaced geometrically between a state and a goal."""

from dataclasses import replace
from math import ceil, log

from ..errors import PlanError, TaskError
from ..structures.analysis import Analysis, Mask
from ..targets.latency_table import LatencyTable
from .cost_meter import meter_of
from .kind_counts import reached_kinds
from .protocol import Choose, Goal, KindLimit, Limit
from .target_shape import reached_shape, shape_between

ROUND = 0.9
"""What a round keeps of what there is, at least, where nobody said how many rounds there are."""


def require_way(choose: Choose, rounds: int, data: bool) -> None:
    """Refuse a way of choosing that cannot be gone.

    Args:
        choose: The way.
        rounds: How many are asked for.
        data: Whether there is any to train on.

    Raises:
        PlanError: Masks in several rounds: they are learned on a model of which nothing is cut.
        TaskError: Masks without data.
    """
    if choose is Choose.MASKS and rounds > 1:
        raise PlanError("masks.rounds", "Masks are learned in one round. Leave out the number of rounds.")
    if choose is Choose.MASKS and not data:
        raise TaskError("masks.no_data", "Learning masks needs data. Attach it, or choose by scores.")


def rounds_to(analysis: Analysis, goal: Goal, removed: Mask, latencies: LatencyTable | None = None) -> int:
    """How many rounds from what is `removed` [S] to a goal, so that each takes at most a tenth of what is left."""
    meter = meter_of(analysis, tuple(limit.cost for limit in goal.limits), goal.dtype, latencies)
    original, now = meter.measure(analysis.empty()).tolist(), meter.measure(removed).tolist()
    ends = [limit.amount or limit.share * whole for limit, whole in zip(goal.limits, original, strict=True)]
    counted = (*reached_kinds(analysis, goal, removed), *reached_shape(analysis, goal, removed))
    pairs = [*zip(ends, now, strict=True), *((one.asked, one.got) for one in counted)]
    # The limit that asks for most sets the pace of all.
    least = min((end / start for end, start in pairs if start), default=1.0)
    return max(ceil(log(least) / log(ROUND) - 1e-9), 1) if least > 0 else 1


def goals_of(
    analysis: Analysis,
    goal: Goal,
    removed: Mask,
    choose: Choose,
    rounds: int,
    latencies: LatencyTable | None = None,
) -> list[Goal]:
    """The goal of each round from what is `removed` [S]; the last one is the goal itself.

    There are as many `rounds` as are asked for, or as choosing in rounds takes. What is low enough already keeps its
    limit.
    """
    if choose is Choose.ROUNDS and rounds == 1:
        rounds = rounds_to(analysis, goal, removed, latencies)
    meter = meter_of(analysis, tuple(limit.cost for limit in goal.limits), goal.dtype, latencies)
    originals, present = meter.measure(analysis.empty()).tolist(), meter.measure(removed).tolist()
    counts = reached_kinds(analysis, goal, removed)
    goals = list[Goal]()
    for number in range(1, rounds):
        part, limits, kept = number / rounds, list[Limit](), list[KindLimit]()
        for limit, original, start in zip(goal.limits, originals, present, strict=True):
            end = limit.amount or limit.share * original
            # A limit that holds already stays as asked: rounds must not allow more than the goal does.
            if start <= end:
                limits.append(limit)
            elif limit.amount:
                limits.append(Limit(limit.cost, amount=round(_between(start, end, part))))
            else:
                limits.append(Limit(limit.cost, _between(start, end, part) / original))
        for limit, count in zip(goal.kept, counts, strict=True):
            if count.got > count.asked:
                kept.append(KindLimit(limit.kind, count=round(_between(count.got, count.asked, part))))
            else:
                kept.append(limit)
        shape = shape_between(analysis, goal, removed, part) if goal.shape else ()
        goals.append(replace(goal, limits=tuple(limits), kept=tuple(kept), shape=shape))
    return [*goals, goal]


def _between(start: float, end: float, part: float) -> float:
    """What is `part` of the way, on a logarithmic scale."""
    return start * (end / start) ** part
