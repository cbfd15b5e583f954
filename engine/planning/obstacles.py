"""What stands in the way of a goal that cannot be reached: every condition is relaxed in turn. Numpy only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..errors import PlanError
from ..structures.analysis import Analysis, Kind, Mask
from .classes import DEFAULT_KINDS
from .meter import Amounts
from .protocol import Cost, Goal

Nearest = Callable[[Goal, Mask], Amounts]
"""[K] the lowest costs that a goal and locks [S] allow."""
SHOWN = 3
"""Places named in a sentence."""
NAMES = {
    Cost.MACS: "the MACs",
    Cost.PARAMETERS: "the parameters",
    Cost.SIZE: "the file size",
    Cost.PEAK: "the peak memory",
    Cost.LATENCY: "the latency",
}


@dataclass(frozen=True, slots=True)
class Way:
    """One condition less: what to do, what it stands for ("locks", "scope" ...), the goal and the locks then."""

    advice: str
    name: str
    goal: Goal
    locked: Mask


def unreachable(
    analysis: Analysis,
    goal: Goal,
    original: Amounts,
    limits: Amounts,
    nearest: Nearest,
    locked: Mask,
    blocks: bool = True,
) -> PlanError:
    """The error for a goal that cannot be reached.

    Its message has the arguments `lowest`, the share of the first missed cost that can be reached, `nearest`, the
    lowest of every cost by its name, and `obstacles`, what to relax: (name, advice, whether that alone is enough).

    Args:
        analysis: What can be removed.
        goal: What was asked.
        original: [K] what the original costs.
        limits: [K] what was asked, as amounts.
        nearest: Finds how far one gets.
        locked: [S] what must not be marked.
        blocks: Whole blocks might be allowed: their costs are known.
    """
    lowest = nearest(goal, locked)
    obstacles = list(_obstacles(analysis, goal, limits, nearest, locked, lowest, blocks))
    missed = [k for k in range(len(limits)) if lowest[k] > limits[k]] or [0]
    share = float(np.ceil(lowest[missed[0]] / max(original[missed[0]], 1) * 1000) / 1000)
    asked = " and ".join(_asked(goal, k) for k in missed)
    return PlanError(
        "plan.unreachable",
        "{asked} cannot be reached: the lowest is {reached}. Ask for that{advice}.",
        asked=asked[0].upper() + asked[1:],
        reached=" and ".join(_got(goal, k, int(lowest[k]), int(original[k])) for k in missed),
        advice=", or " + " or ".join(advice for _, advice, _ in obstacles) if obstacles else "",
        lowest=share,
        nearest={str(limit.cost): int(got) for limit, got in zip(goal.limits, lowest, strict=True)},
        obstacles=tuple(obstacles),
    )


def _obstacles(
    analysis: Analysis,
    goal: Goal,
    limits: Amounts,
    nearest: Nearest,
    locked: Mask,
    lowest: Amounts,
    blocks: bool,
) -> Iterator[tuple[str, str, bool]]:
    """What helps when it is relaxed alone: (name, advice, whether it is enough)."""
    for way in _ways(goal, locked, blocks):
        found = nearest(way.goal, way.locked)
        if ((found < lowest) & (lowest > limits)).any():
            enough = bool((found <= limits).all())
            where = _locks(analysis, goal, nearest, locked, lowest) if way.name == "locks" else ""
            yield way.name, way.advice + where + (" (that is enough)" if enough else ""), enough


def _locks(analysis: Analysis, goal: Goal, nearest: Nearest, locked: Mask, lowest: Amounts) -> str:
    """Where the locks lie that cost most, " of layer1.0.conv1"; "" where no set's own are to blame."""
    gains: list[tuple[float, str]] = []
    for one in analysis.sets:
        if locked[one.structures].any():
            free = locked.copy()
            free[one.structures] = False
            gains.append((float(((lowest - nearest(goal, free)) / np.maximum(lowest, 1)).max()), one.module))
    blamed = [module for gain, module in sorted(gains, key=lambda pair: -pair[0]) if gain > 0]
    return f" of {', '.join(dict.fromkeys(blamed[:SHOWN]))}" if blamed else ""


def _ways(goal: Goal, locked: Mask, blocks: bool) -> Iterator[Way]:
    if locked.any():
        yield Way("unlock some structures", "locks", goal, np.zeros_like(locked))
    if goal.scope:
        yield Way("widen the scope", "scope", replace(goal, scope=()), locked)
    if goal.least > 1 or goal.least_share:
        yield Way("lower the minimum to keep", "minimum", replace(goal, least=1, least_share=0.0), locked)
    if goal.multiple > 1 or goal.multiples:
        yield Way("take a smaller multiple", "multiple", replace(goal, multiple=1, multiples={}), locked)
    kinds = DEFAULT_KINDS | {Kind.BLOCK} if blocks else DEFAULT_KINDS
    if not kinds <= set(goal.kinds):
        missing = "more kinds" if DEFAULT_KINDS - set(goal.kinds or DEFAULT_KINDS) else "whole blocks"
        yield Way(f"allow {missing}", "kinds", replace(goal, kinds=tuple(kinds | set(goal.kinds))), locked)


def asked_in_words(goal: Goal) -> str:
    """What a goal limits: "keeping 50.0% of the MACs and at most 3 MB of the file size"."""
    return " and ".join(_asked(goal, number) for number in range(len(goal.limits)))


def _asked(goal: Goal, number: int) -> str:
    limit = goal.limits[number]
    if limit.amount and limit.cost is Cost.LATENCY:
        return f"a latency of at most {amount(limit.cost, limit.amount)}"
    if limit.amount:
        return f"at most {amount(limit.cost, limit.amount)} of {NAMES[limit.cost]}"
    return f"keeping {limit.share:.1%} of {NAMES[limit.cost]}"


def _got(goal: Goal, number: int, lowest: int, original: int) -> str:
    limit = goal.limits[number]
    if limit.amount:
        return amount(limit.cost, lowest)
    return f"{np.ceil(lowest / max(original, 1) * 1000) / 1000:.1%}"


def amount(cost: Cost, value: int) -> str:
    """An amount of a cost in words: 1,234 or 1.23 MB or 4.56 ms."""
    if cost is Cost.LATENCY:
        return f"{value / 1e6:.3g} ms"
    if cost in (Cost.PARAMETERS, Cost.MACS):
        return f"{value:,}"
    unit, name = next(((u, n) for u, n in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")) if value >= u), (1, "bytes"))
    return f"{value / unit:.3g} {name}"
