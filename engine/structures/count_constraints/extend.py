"""Adds constraints on counts to a finished analysis.

The same structures keep their numbers, so that marks, scores and states of the analysis hold for what comes of it.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import Message
from ...messages import all_of, title
from ..analysis import Analysis, Constraint, CountBundle, CountRule, Kind
from ..name_sets import FACTORS
from .bundles import EVEN, CountStatement, bundles


class _Taken(NamedTuple):
    """What a set takes of an axis: [count] how many indices each of its structures, and all positions."""

    each: NDArray[np.int64]
    positions: NDArray[np.int64]


_Axes: TypeAlias = dict[int, dict[int, _Taken]]
"""By axis, by set."""


def constrained(analysis: Analysis, added: Sequence[Constraint]) -> Analysis:
    """The analysis with more constraints.

    Where two sets overlap on an axis that is counted (heads and their dimensions), the number that remains is no sum:
    one of them varies, heads before their dimensions, and all of the other stay.

    Args:
        analysis: Any.
        added: Constraints; those that it has already change nothing. `sets` of those about axes are found here.

    Returns:
        An analysis with the same structures; what the constraints leave no choice is in bundles of no step.
    """
    told: dict[object, Constraint] = {}
    for one in (*analysis.constraints, *added):
        told.setdefault((one.kind, one.axes, one.number, one.sets if one.kind is CountRule.WHOLE else ()), one)
    whole = [one for one in told.values() if one.kind is CountRule.WHOLE]
    counted = [one for one in told.values() if one.kind is not CountRule.WHOLE]
    axes = _axes(analysis, {axis for one in counted for axis in one.axes if axis >= 0})
    still = {number for one in whole for number in one.sets}
    for one in counted:
        sets = _overlapping(analysis, [axes[axis] for axis in one.axes if axis >= 0], still)
        if sets:
            other = {number for axis in one.axes for number in axes.get(axis, ())} - sets - still
            whole.append(_whole(one, sets, _beside(analysis, sets, other)))
            still |= sets
    counts = [_count(analysis, one, axes, still) for one in counted]
    together, stay = bundles(counts, np.array([one.count for one in analysis.sets], np.int64))
    whole += [_whole(one, {number}) for number, one in stay if number not in still]
    still |= {number for number, _ in stay}
    every = range(len(analysis.sets))
    return replace(
        analysis,
        constraints=(*whole, *(one.told(every) for one in counts if len(one.sets))),
        bundles=(
            *(one.renumbered(every) for one in together),
            *(CountBundle((number,), (1,), 0) for number in sorted(still)),
        ),
    )


def _whole(one: Constraint | CountStatement, sets: Collection[int], reason: Message | None = None) -> Constraint:
    """None of these sets loses anything, for the reason of another constraint where there is no other."""
    return Constraint(CountRule.WHOLE, (), 0, tuple(sorted(sets)), reason or one.reason, one.module)


def _beside(analysis: Analysis, sets: Collection[int], others: Collection[int]) -> Message | None:
    """That sets stay whole because others vary on the same axis; None where there are no others."""
    stay, vary = ([*dict.fromkeys(analysis.sets[n].kind for n in sorted(some))] for some in (sets, others))
    if not vary:
        return None
    template = "The {others} on the same weights can be removed, so all {kinds} stay."
    going, staying = (all_of(title(f"{kind}s") for kind in some) for some in (vary, stay))
    return Message("counted.beside", template, {"others": going, "kinds": staying})


def _count(analysis: Analysis, one: Constraint, axes: _Axes, still: Collection[int]) -> CountStatement:
    """A constraint with what the structures that may go take from its axes; of shares, in parts of `number`."""
    weights, sizes = np.zeros((len(one.axes), len(analysis.sets)), np.int64), np.diff(analysis.axis_start)
    for row, axis in enumerate(one.axes):
        times = one.number // int(sizes[axis]) if one.kind is CountRule.PROPORTIONAL else 1
        for number, taken in axes.get(axis, {}).items():
            weights[row, number] = 0 if number in still else times * taken.each[0]
    even = one.kind in EVEN
    length = one.number if even else int(sizes[one.axes[0]])
    return CountStatement(one.kind, 0 if even else one.number, length, one.reason, one.module, one.axes, weights)


def _overlapping(analysis: Analysis, axes: Sequence[dict[int, _Taken]], still: Collection[int]) -> set[int]:
    """Sets of which all have to stay besides some, so that what goes from these axes can be added up.

    Those of which a structure takes more than another one, and of several that take the same indices all but one.
    """
    more = set[int]()
    for axis in axes:
        free = {number: taken for number, taken in axis.items() if number not in still}
        more |= {number for number, taken in free.items() if len(np.unique(taken.each)) > 1}
        others: list[NDArray[np.int64]] = []
        for number in sorted(free.keys() - more, key=lambda n: (_rank(analysis.sets[n].kind), n)):
            positions = free[number].positions
            if any(np.isin(positions, other).any() for other in others):
                more.add(number)
            else:
                others.append(positions)
    return more


def _rank(kind: Kind) -> int:
    return FACTORS.index(kind) if kind in FACTORS else -1


def _axes(analysis: Analysis, wanted: Collection[int]) -> _Axes:
    """What each set takes of some axes."""
    found: _Axes = {axis: {} for axis in wanted}
    axis_of = np.searchsorted(analysis.axis_start, analysis.member_position, side="right") - 1
    owner = np.repeat(np.arange(analysis.count), np.diff(analysis.member_start))
    set_of = analysis.set_numbers()[owner]
    held = np.flatnonzero(np.isin(axis_of, list(wanted)))
    held = held[np.lexsort((set_of[held], axis_of[held]))]
    borders = np.flatnonzero(np.diff(axis_of[held]) | np.diff(set_of[held])) + 1
    for part in np.split(held, borders) if len(held) else ():
        number = int(set_of[part[0]])
        one = analysis.sets[number]
        each = np.bincount(owner[part] - one.first, minlength=one.count)
        found[int(axis_of[part[0]])][number] = _Taken(each, analysis.member_position[part])
    return found
