"""Checks the constraints of a plan, and adjusts marks so that they hold. Numpy only.

An analysis says which sets lose structures in step (`CountBundle`). Marks on one of them are evened out on the others:
the weakest go along, the strongest stay.
"""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, PlanError
from ..messages import all_of, listed, module_named
from ..structures.analysis import Analysis, Constraint, CountBundle, CountRule, Kind, Mask, inside
from ..structures.costs import kept_sizes

LAST = np.inf


def all_bundles(analysis: Analysis) -> Iterator[CountBundle]:
    """Every set in the bundle that it belongs to; most are alone and lose all but one, blocks all."""
    bound = {number for bundle in analysis.bundles for number in bundle.sets}
    yield from analysis.bundles
    for number, one in enumerate(analysis.sets):
        if number not in bound:
            yield CountBundle((number,), (1,), one.count - (one.kind is not Kind.BLOCK))


def bundle_of(analysis: Analysis, set_number: int) -> CountBundle:
    """The bundle of a set."""
    return next(bundle for bundle in all_bundles(analysis) if set_number in bundle.sets)


def steps_left(analysis: Analysis, bundle: CountBundle, removed: Mask, markable: Mask) -> int:
    """How many steps a state can still lose."""
    steps: list[int] = []
    for number, size in zip(bundle.sets, bundle.sizes, strict=True):
        place = analysis.sets[number].structures
        lose = size * bundle.most - int(removed[place].sum())
        steps.append(min(lose, int(markable[place].sum())) // size)
    return max(min(steps), 0)


def broken_constraints(
    analysis: Analysis, removed: Mask, kept: NDArray[np.int64] | None = None
) -> Iterator[Constraint]:
    """Constraints that do not hold without these structures; those of removed blocks go with them.

    `kept` are the sizes of axes then (`costs.kept_sizes`), where they are known.
    """
    if not analysis.constraints:
        return
    kept = kept_sizes(analysis, removed) if kept is None else kept
    # What a removed block ran is never run again, so nothing in it has to keep its count.
    gone = [one.name for one in analysis.sets if one.kind is Kind.BLOCK and removed[one.first]]
    for one in analysis.constraints:
        if any(inside(one.module, path) for path in gone):
            continue
        if one.kind is CountRule.WHOLE:
            holds = not any(removed[analysis.sets[n].structures].any() for n in one.sets)
        else:
            sizes = _sizes(one, kept)
            match one.kind:
                case CountRule.EQUAL:
                    holds = len(set(sizes)) == 1
                case CountRule.PROPORTIONAL:
                    # Fractions, as shares of different widths compare exactly only so.
                    whole = np.diff(analysis.axis_start)[[*one.axes]]
                    holds = len({Fraction(size, int(of)) for size, of in zip(sizes, whole, strict=True)}) == 1
                case CountRule.AT_LEAST:
                    holds = sizes[0] >= one.number
                case _:
                    holds = sizes[0] % one.number == 0
        if not holds:
            yield one


def check_counts(analysis: Analysis, removed: Mask, kept: NDArray[np.int64]) -> None:
    """Raise `PlanError` where a constraint does not hold without these structures, at these sizes of axes."""
    one = next(broken_constraints(analysis, removed, kept), None)
    if one is None:
        return
    if one.kind is CountRule.WHOLE:
        counts = [sum(int((~removed[analysis.sets[n].structures]).sum()) for n in one.sets)]
    else:
        counts = _sizes(one, kept)
    match one.kind:
        case CountRule.AT_LEAST:
            advice = Message("advice.keep_more", "Keep more there.")
        case CountRule.WHOLE:
            advice = Message("advice.keep_all", "Keep all there.")
        case _:
            advice = Message("advice.mark_as_many", "Mark as many there as that takes.")
    raise PlanError(
        "plan.counts",
        "The plan keeps {counts} in {where}. {reason} {advice}",
        advice=advice,
        counts=all_of(map(str, counts)),
        where=listed(map(module_named, dict.fromkeys(analysis.sets[n].module for n in one.sets))),
        reason=one.reason,
    )


def balanced(
    analysis: Analysis,
    marked: Mask,
    removed: Mask | None = None,
    scores: NDArray[np.float64] | None = None,
    locked: Mask | None = None,
    touched: Mask | None = None,
) -> Mask:
    """Marks that keep the constraints, as near to these as whole steps are; those that keep them are left alone.

    Args:
        analysis: Of the original model.
        marked: [S] marks, without what is removed.
        removed: [S] what the state no longer has.
        scores: [S], NaN where unknown; without any the higher index goes first.
        locked: [S] what is neither marked nor spared here.
        touched: [S] what a person marked or spared just now: the other sets follow. Without it the set that loses
            the fewest steps leads.

    Returns:
        [S] marks; where locks leave no way, some that break a constraint still (`check_counts` says which).
    """
    after = marked.copy()
    if not analysis.constraints:
        return after
    removed = analysis.empty() if removed is None else removed
    locked = analysis.empty() if locked is None else locked
    uneven = {number for one in broken_constraints(analysis, removed | marked) for number in one.sets}
    for bundle in analysis.bundles:
        # Marks that hold already are left as they are, so that an edit moves nothing that it need not.
        if uneven.isdisjoint(bundle.sets) or (touched is not None and len(bundle.sets) == 1):
            continue
        # How many steps the marks of each set come to.
        meant: list[int] = []
        for number, size in zip(bundle.sets, bundle.sizes, strict=True):
            place = analysis.sets[number].structures
            if (marked if touched is None else touched)[place].any():
                meant.append(-(-int(marked[place].sum()) // size))
        # A person who marks more wants more to go; a solver's marks are upper bounds, so the fewest steps keep them
        # all.
        steps = (min if touched is None else max)(meant, default=0)
        steps = min(steps, steps_left(analysis, bundle, removed, ~removed & (~locked | marked)))
        for number, size in zip(bundle.sets, bundle.sizes, strict=True):
            one = analysis.sets[number]
            here = one.first + np.flatnonzero((~removed & ~locked)[one.structures])
            # Locked marks stay and count: only what is missing up to the steps is marked with them.
            fixed = int((marked & locked & ~removed)[one.structures].sum())
            order = weakest_first(here, scores, marked)
            after[here] = False
            after[order[: max(size * steps - fixed, 0)]] = True
    return after


def weakest_first(
    structures: NDArray[np.int64], scores: NDArray[np.float64] | None, before: Mask | None = None
) -> NDArray[np.int64]:
    """Structures in the order in which they go: those marked before, then by score; the higher index where equal."""
    values = np.zeros(len(structures)) if scores is None else scores[structures]
    # Without a score nothing says that it may go, so it goes after all that have one.
    values = np.where(np.isfinite(values), values, LAST)
    spared = np.zeros(len(structures), np.bool_) if before is None else ~before[structures]
    return structures[np.lexsort((-structures, values, spared))]


def _sizes(one: Constraint, kept: NDArray[np.int64]) -> list[int]:
    return [int(kept[axis]) if axis >= 0 else one.number for axis in one.axes]
