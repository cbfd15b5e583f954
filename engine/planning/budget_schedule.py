"""The budgets of several rounds, spaced geometrically between a state and a goal."""

from dataclasses import replace

from ..latency.protocol import LatencyTable
from ..structures.analysis import Analysis, Mask
from .cost_meter import meter_of
from .kind_counts import reached_kinds
from .protocol import Goal, KindLimit, Limit, Reached
from .target_shape import shape_between


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
