"""Constraints on counts for an analysis that is made already: its bundles anew, with more that must stay even.

The same structures keep their numbers, so that marks, scores and states of the analysis hold for what comes of it.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .analysis import Analysis, Bundle, Constraint, Counting, Kind
from .bundling import Count, bundles
from .naming import FACTORS


def constrained(analysis: Analysis, added: Sequence[Constraint]) -> Analysis:
    """The analysis with more constraints.

    Where two sets overlap on an axis that is counted (heads and their dimensions), the number that remains is no sum:
    one of them varies, heads before their dimensions, and all of the other stay.

    Args:
        analysis: Any.
        added: Constraints; `sets` of those about axes are found here.

    Returns:
        An analysis with the same structures; what the constraints leave no choice is in bundles of no step.
    """
    told = {(one.kind, one.axes, one.sets if one.kind is Counting.WHOLE else ()): one for one in added}
    counted = [one for one in (*analysis.constraints, *told.values()) if one.kind is not Counting.WHOLE]
    whole = [one for one in (*analysis.constraints, *told.values()) if one.kind is Counting.WHOLE]
    taken = _taken(analysis, {axis for one in counted for axis in one.axes if axis >= 0})
    still = {number for one in whole for number in one.sets}
    for one in counted:
        sets = overlapping(analysis, taken, one.axes, still)
        if sets:
            whole.append(replace(one, kind=Counting.WHOLE, axes=(), number=0, sets=sets))
            still.update(sets)
    counts: list[Count] = []
    constraints: list[Constraint] = []
    for one in counted:
        weights = np.stack([_weights(analysis, taken.get(axis), still) for axis in one.axes])
        length = one.number if one.kind is Counting.EQUAL else 0
        number = 0 if one.kind is Counting.EQUAL else one.number
        if one.kind is Counting.AT_LEAST:
            length = int(analysis.axis_start[one.axes[0] + 1] - analysis.axis_start[one.axes[0]])
        made = Count(one.kind, number, length, one.reason, one.module, one.axes, weights)
        counts.append(made)
        constraints.append(replace(one, sets=tuple(sorted({*one.sets, *made.sets.tolist()} - still))))
    sizes = np.array([one.count for one in analysis.sets], np.int64)
    together, stay = bundles(counts, sizes)
    stuck = still | {n for n, _ in stay}
    whole += [Constraint(Counting.WHOLE, (), 0, (n,), one.reason, one.module) for n, one in stay if n not in still]
    moving = [Bundle(one.sets, one.sizes, one.most) for one in together if stuck.isdisjoint(one.sets)]
    return replace(
        analysis,
        constraints=(*constraints, *whole),
        bundles=(*moving, *(Bundle((n,), (1,), 0) for n in sorted(stuck))),
    )


def overlapping(
    analysis: Analysis, taken: dict[int, dict[int, NDArray[np.int64]]], axes: Collection[int], still: Collection[int]
) -> tuple[int, ...]:
    """Sets of which all have to stay besides some, so that what goes from these axes can be added up.

    Those of which a structure takes more than another one, and of several that take the same indices all but one.
    """
    more = set[int]()
    for axis in axes:
        first = list[int]()
        for number, per in taken.get(axis, {}).items():
            if number not in still:
                (first.append if len({*per.tolist()}) == 1 else more.add)(number)
        order = sorted(first, key=lambda n: (_rank(analysis.sets[n].kind), n))
        positions = {n: _positions(analysis, n, axis) for n in order}
        for place, number in enumerate(order):
            others = [positions[n] for n in order[:place] if n not in more]
            if any(np.isin(positions[number], one).any() for one in others):
                more.add(number)
    return tuple(sorted(more))


def _rank(kind: Kind) -> int:
    return FACTORS.index(kind) if kind in FACTORS else -1


def _taken(analysis: Analysis, axes: Collection[int]) -> dict[int, dict[int, NDArray[np.int64]]]:
    """For each axis, by set: [count] how many of its indices each structure of the set takes."""
    found: dict[int, dict[int, NDArray[np.int64]]] = {}
    owner = np.repeat(np.arange(analysis.count), np.diff(analysis.member_start))
    numbers = analysis.set_numbers()
    for axis in axes:
        start, stop = analysis.axis_start[axis], analysis.axis_start[axis + 1]
        inside = (analysis.member_position >= start) & (analysis.member_position < stop)
        per = np.bincount(owner[inside], minlength=analysis.count)
        touched: list[int] = np.unique(numbers[per > 0]).tolist()
        found[axis] = {n: per[analysis.sets[n].structures] for n in touched}
    return found


def _weights(
    analysis: Analysis, taken: dict[int, NDArray[np.int64]] | None, still: Collection[int]
) -> NDArray[np.int64]:
    """[sets] indices of an axis that a structure of each set takes."""
    weights = np.zeros(len(analysis.sets), np.int64)
    for number, per in (taken or {}).items():
        if number not in still:
            weights[number] = per[0]
    return weights


def _positions(analysis: Analysis, number: int, axis: int) -> NDArray[np.int64]:
    one = analysis.sets[number]
    held = analysis.member_position[analysis.member_start[one.first] : analysis.member_start[one.first + one.count]]
    return held[(held >= analysis.axis_start[axis]) & (held < analysis.axis_start[axis + 1])]
