"""The budgets of several rounds, spaced geometrically between a state and a goal."""

from dataclasses import replace
from math import ceil, log

from ..errors import PlanError, TaskError
from ..structures.analysis import Analysis, Mask
from ..targets.latency_table import LatencyTable
from .cost_meter import meter_of
from .kind_counts import reached_kinds
from .protocol import Choose, Goal, KindLimit, Limit, Reached
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
    """The goals of a way of choosing: of as many `rounds` as are asked for, or as choosing in rounds takes."""
    if choose is Choose.ROUNDS and rounds == 1:
        rounds = rounds_to(analysis, goal, removed, latencies)
    return round_goals(analysis, goal, removed, rounds, latencies)


def round_goals(
    analysis: Analysis, goal: Goal, removed: Mask, rounds: int, latencies: LatencyTable | None = None
) -> list[Goal]:
    """The goals of `rounds` rounds from what is `removed` [S]; the last one is the goal itself."""
    meter = meter_of(analysis, tuple(limit.cost for limit in goal.limits), goal.dtype, latencies)
    original, now = meter.measure(analysis.empty()).tolist(), meter.measure(removed).tolist()
    rows = list(zip(goal.limits, original, now, strict=True))
    counted = list(zip(goal.kept, reached_kinds(analysis, goal, removed), strict=True))
    goals = [
        replace(
            goal,
            limits=tuple(_between(limit, whole, start, number / rounds) for limit, whole, start in rows),
            kept=tuple(_fewer(limit, found, number / rounds) for limit, found in counted),
            shape=shape_between(analysis, goal, removed, number / rounds) if goal.shape else (),
        )
        for number in range(1, rounds)
    ]
    return [*goals, goal]


def _between(limit: Limit, original: int, start: int, part: float) -> Limit:
    """The limit that is `part` of the way, on a logarithmic scale; a cost that is low enough keeps its limit."""
    end = limit.amount or limit.share * original
    if start <= end:
        return limit
    amount = start * (end / start) ** part
    return Limit(limit.cost, amount=round(amount)) if limit.amount else Limit(limit.cost, amount / original)


def _fewer(limit: KindLimit, found: Reached, part: float) -> KindLimit:
    """The same for a kind that is counted, in whole structures."""
    if found.got <= found.asked:
        return limit
    return KindLimit(limit.kind, count=round(found.got * (found.asked / found.got) ** part))
