"""Explains why a goal cannot be reached, by relaxing each condition in turn. Numpy only."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import Message, PlanError
from ..messages import Phrase, all_of, any_of, listed, title
from ..structures.analysis import CoupledSet, Kind, Mask
from .cost_meter import Amounts, CostMeter
from .protocol import DEFAULT_KINDS, Cost, Goal, KindLimit, PlanStart, plural

Nearest = Callable[[Goal, Mask, bool], Amounts]
"""[K] the lowest costs that a goal and locks [S] allow; true: as if everything had a score."""
SHOWN, TRIED = 3, 12
"""Places named in a sentence, and looked at for that: each takes as long as finding the lowest costs once."""
COSTS = {
    Cost.MACS: Message("cost.macs", "the MACs"),
    Cost.PARAMETERS: Message("cost.parameters", "the parameters"),
    Cost.SIZE: Message("cost.size", "the file size"),
    Cost.PEAK: Message("cost.peak", "the peak memory"),
    Cost.LATENCY: Message("cost.latency", "the latency"),
}


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One condition less: what to do, which condition it is ("locks", "scope" ...), the goal and the locks then.

    `rated` is as if everything had a score.
    """

    advice: Message
    name: str
    goal: Goal
    locked: Mask
    rated: bool = False


def unreachable(
    start: PlanStart,
    goal: Goal,
    original: Amounts,
    limits: Amounts,
    nearest: Nearest,
    meter: CostMeter,
    blocks: bool = True,
) -> PlanError:
    """The error for a goal that cannot be reached.

    Its message has the arguments `lowest`, the share of the first missed cost that can be reached, `nearest`, the
    lowest of every cost as (its name, amount), and `obstacles`, what to relax: (name, whether that alone is enough).

    Args:
        start: What is gone, locked and rated.
        goal: What was asked.
        original: [K] what the original costs.
        limits: [K] what was asked, as amounts.
        nearest: Finds how far one gets.
        meter: Measures what is limited.
        blocks: Whole blocks might be allowed: their costs are known.
    """
    locked = start.locked
    lowest = nearest(goal, locked, False)

    def lowest_without(sets: Iterable[CoupledSet]) -> Amounts:
        """[K] the lowest costs without the locks of some sets."""
        free = locked.copy()
        for one in sets:
            free[one.structures] = False
        return nearest(goal, free, False)

    obstacles = list[tuple[str, Message, bool]]()
    for way in _ways(goal, locked, blocks, start.unrated):
        # Each condition is dropped alone: together they would all seem to blame.
        found = nearest(way.goal, way.locked, way.rated)
        if not ((found < lowest) & (lowest > limits)).any():
            continue
        enough, advice = bool((found <= limits).all()), way.advice
        if way.name == "locks":
            # Each suspect takes a search of its own, so only those are tried whose locks hold the most cost.
            suspects = _most_locked(meter, goal, locked)
            gains = [(_largest_share(lowest, lowest_without([one])), one) for one in suspects]
            blamed = [one for gain, one in sorted(gains, key=lambda pair: -pair[0]) if gain > 0][:SHOWN]
            layers = {"layers": listed(dict.fromkeys(one.module for one in blamed))}
            # Where all locks gone are enough, and those that are named are not, there are others.
            if blamed and enough and not (lowest_without(blamed) <= limits).all():
                advice = Message("advice.unlock_also", "unlock structures in {layers} and elsewhere", layers)
            elif blamed:
                advice = Message("advice.unlock_in", "unlock structures in {layers}", layers)
        if enough:
            advice = Message("advice.enough", "{advice} (that is enough)", {"advice": advice})
        obstacles.append((way.name, advice, enough))
    missed = [k for k in range(len(limits)) if lowest[k] > limits[k]] or [0]
    # Rounded up to a tenth of a per cent, so that what the sentence offers can be asked for.
    share = float(np.ceil(lowest[missed[0]] / max(original[missed[0]], 1) * 1000) / 1000)
    words: dict[str, Any] = {
        "asked": all_of(_limit_text(goal, k) for k in missed),
        "reached": all_of(
            amount_text(goal.limits[k].cost, int(lowest[k]), up=True)
            if goal.limits[k].amount
            else f"{np.ceil(lowest[k] / max(original[k], 1) * 1000) / 1000:.1%}"
            for k in missed
        ),
        "lowest": share,
        "nearest": tuple((str(limit.cost), int(got)) for limit, got in zip(goal.limits, lowest, strict=True)),
        "obstacles": tuple((name, enough) for name, _, enough in obstacles),
    }
    if not obstacles:
        advice = Message("advice.lowest", "Ask for that.")
    else:
        ways = any_of(advice for _, advice, _ in obstacles)
        advice = Message("advice.lowest_or", "Ask for that, or {ways}.", {"ways": ways})
    template = "Goal out of reach: {asked}. The lowest possible is {reached}. {advice}"
    return PlanError("plan.unreachable", template, **words, advice=advice)


def too_many(
    start: PlanStart,
    goal: Goal,
    limit: KindLimit,
    total: int,
    lowest: Callable[[Goal, Mask, bool], int],
    holders: Kind | None = None,
) -> PlanError:
    """The error for a kind of which more must stay than a goal counts.

    Args:
        start: What is gone, locked and rated.
        goal: What was asked.
        limit: Its count of this kind.
        total: Structures of this kind in the original.
        lowest: How many stay at least under a goal and locks [S]; true: as if everything had a score.
        holders: A kind that can go and takes structures of this one along.
    """
    least = lowest(goal, start.locked, False)
    ways = _ways(replace(goal, kept=(), kinds=tuple(Kind)), start.locked, False, start.unrated)
    advice = Message("advice.lowest", "Ask for that.")
    helpful = [way.advice for way in ways if lowest(way.goal, way.locked, way.rated) < least]
    if holders is not None:
        template = "keep fewer {holders}, with which their {kinds} go"
        words = {"holders": title(plural(holders)), "kinds": title(plural(limit.kind))}
        helpful.append(Message("advice.holders", template, words))
    if helpful:
        advice = Message("advice.lowest_or", "Ask for that, or {ways}.", {"ways": any_of(helpful)})
    template = "Goal out of reach: {asked}. The lowest possible is {least:,} of {total:,} {kinds}. {advice}"
    kinds = title(plural(limit.kind))
    asked = _kind_limit_text(limit)
    return PlanError(
        "plan.kind_unreachable", template, asked=asked, least=least, total=total, kinds=kinds, advice=advice
    )


def _most_locked(meter: CostMeter, goal: Goal, locked: Mask) -> list[CoupledSet]:
    """Sets with locks, at most `TRIED` of them: those that save most beside the smallest plan that locks allow."""
    smallest, analysis = ~locked, meter.analysis
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            smallest[one.structures] = False
        elif smallest[one.structures].all():
            smallest[one.first] = False
    costs, kinds = meter.measure(smallest), goal.kinds or DEFAULT_KINDS
    saved: list[tuple[float, CoupledSet]] = []
    for one in analysis.sets:
        if one.kind in kinds and locked[one.structures].any():
            without = smallest.copy()
            without[one.structures] = True
            without[one.first] = one.kind is Kind.BLOCK
            saved.append((_largest_share(costs, meter.measure(without)), one))
    return [one for _, one in sorted(saved, key=lambda pair: -pair[0])[:TRIED]]


def _largest_share(before: Amounts, after: Amounts) -> float:
    """The largest share of a cost that goes."""
    return float(((before - after) / np.maximum(before, 1)).max())


def _ways(goal: Goal, locked: Mask, blocks: bool, unrated: int) -> Iterator[Relaxation]:
    if unrated:
        template = "choose a criterion that scores every structure ({count} have no score and are kept)"
        yield Relaxation(Message("advice.unrated", template, {"count": unrated}), "scores", goal, locked, True)
    if locked.any():
        yield Relaxation(Message("advice.unlock", "unlock structures"), "locks", goal, np.zeros_like(locked))
    if goal.kept:
        counted = listed(title(plural(limit.kind)) for limit in goal.kept)
        advice = Message("advice.keep_fewer", "keep fewer {kinds}", {"kinds": counted})
        yield Relaxation(advice, "kept", replace(goal, kept=()), locked)
    if goal.scope:
        yield Relaxation(Message("advice.scope", "widen the scope"), "scope", replace(goal, scope=()), locked)
    if goal.least > 1 or goal.least_share:
        advice = Message("advice.minimum", "lower the minimum to keep")
        yield Relaxation(advice, "minimum", replace(goal, least=1, least_share=0.0), locked)
    if goal.multiple > 1 or goal.multiples:
        advice = Message("advice.multiple", "use a smaller multiple")
        yield Relaxation(advice, "multiple", replace(goal, multiple=1, multiples={}), locked)
    settled = goal.settled
    kinds = DEFAULT_KINDS | {Kind.BLOCK} if blocks else DEFAULT_KINDS
    if not kinds - settled <= set(goal.kinds):
        more = bool(DEFAULT_KINDS - settled - set(goal.kinds or DEFAULT_KINDS))
        advice = (
            Message("advice.kinds", "allow more kinds of structures")
            if more
            else Message("advice.blocks", "allow removing whole blocks")
        )
        yield Relaxation(advice, "kinds", replace(goal, kinds=tuple(kinds | set(goal.kinds))), locked)


def cost_name(cost: Cost | Kind) -> Message:
    """What a cost is called inside a sentence: "the MACs"; of a kind that is counted, "the heads"."""
    if isinstance(cost, Kind):
        return Message("cost.kind", "the {kinds}", {"kinds": title(plural(cost))})
    return COSTS[cost]


def goal_text(goal: Goal) -> Phrase:
    """What a goal limits: "keeping 50.0% of the MACs and at most 3 MB of the file size"."""
    limits = (_limit_text(goal, number) for number in range(len(goal.limits)))
    return all_of((*limits, *map(_kind_limit_text, goal.kept), *map(size_text, goal.shape)))


def size_text(limit: KindLimit) -> Message:
    """What a target shape asks of a kind: "16 heads in each layer"."""
    words = {"share": limit.share, "count": limit.count, "kinds": title(plural(limit.kind))}
    if limit.kind in (Kind.BLOCK, Kind.WIDTH):
        if limit.count:
            return Message("goal.size_count", "keeping {count:,} {kinds}", words)
        return Message("goal.kind_share", "keeping {share:.1%} of the {kinds}", words)
    if limit.count:
        return Message("goal.layer_count", "keeping {count:,} {kinds} in each layer", words)
    return Message("goal.layer_share", "keeping {share:.1%} of the {kinds} of each layer", words)


def _kind_limit_text(limit: KindLimit) -> Message:
    """What a count asks for: "keeping 70.0% of the heads"."""
    words = {"share": limit.share, "count": limit.count, "kinds": title(plural(limit.kind))}
    if limit.count:
        return Message("goal.kind_count", "keeping at most {count:,} {kinds}", words)
    return Message("goal.kind_share", "keeping {share:.1%} of the {kinds}", words)


def _limit_text(goal: Goal, number: int) -> Message:
    limit = goal.limits[number]
    if limit.amount and limit.cost is Cost.LATENCY:
        most = {"most": amount_text(limit.cost, limit.amount)}
        return Message("goal.latency", "a latency of at most {most}", most)
    words = {"cost": cost_name(limit.cost), "share": limit.share, "most": amount_text(limit.cost, limit.amount)}
    if limit.amount:
        return Message("goal.amount", "{cost} at most {most}", words)
    return Message("goal.share", "keeping {share:.1%} of {cost}", words)


def amount_text(cost: Cost | Kind, value: int, up: bool = False) -> str:
    """An amount of a cost in words: 1,234 or 1.23 MB or 4.56 ms; rounded `up`, the least can be asked for."""
    counted = cost in (Cost.PARAMETERS, Cost.MACS) or isinstance(cost, Kind)
    if up and value and not counted:
        last = 10 ** max(len(str(value)) - 3, 0)
        value = -(-value // last) * last
    if cost is Cost.LATENCY:
        return f"{value / 1e6:.3g} ms"
    if counted:
        return f"{value:,}"
    unit, name = next(((u, n) for u, n in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")) if value >= u), (1, "bytes"))
    return f"{value / unit:.3g} {name}"
