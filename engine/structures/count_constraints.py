"""Solves constraints on counts: which sets lose structures together, and how many in a step.

A constraint is linear in what goes: every structure takes a number of indices from each part, and all parts must lose
equally many. Sets that depend on one another this way are one bundle. Its step is found by adding structures where too
few go, until the parts are even again; what no step reaches cannot go at all.

`constrain` adds constraints to a finished analysis: its structures keep their numbers, so that marks, scores and states
of the analysis hold for what comes of it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import gcd, lcm
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..messages import all_of, title
from . import reasons
from .analysis import Analysis, Constraint, CountBundle, CountRule
from .axes import AxisTable
from .name_sets import FACTORS, NamedSet
from .solver.labels import CountLabels
from .solver.solve import Solution

EVEN = frozenset({CountRule.EQUAL, CountRule.PROPORTIONAL})
"""Rules by which all parts lose equally many, as `CountStatement.weights` count."""


@dataclass(frozen=True, slots=True)
class CountStatement:
    """A statement about counts with the axes of its parts.

    Attributes:
        kind: What is said about the counts.
        number: How many stay at least, or the multiple of how many.
        length: Original size of the parts.
        reason: Why, in words.
        module: Module whose operator said so.
        axes: Axis of each part, -1 where all of it stays.
        weights: [parts, sets] indices that each structure of a set takes from each part; where shares are equal, in
            units of which every part has as many.
    """

    kind: CountRule
    number: int
    length: int
    reason: Message
    module: str
    axes: tuple[int, ...]
    weights: NDArray[np.int64]

    @property
    def differences(self) -> NDArray[np.int64]:
        """[parts - 1, sets] how many more indices a structure takes from a part than from the first one."""
        return self.weights[1:] - self.weights[0]

    @property
    def sets(self) -> NDArray[np.int64]:
        """Sets whose counts matter."""
        taken = self.differences if self.kind in EVEN else self.weights
        return np.flatnonzero(taken.any(axis=0))

    def constraint(self, numbers: Sequence[int]) -> Constraint:
        """As the analysis says it, with the numbers that the sets have there."""
        sets = tuple(sorted(numbers[int(n)] for n in self.sets))
        return Constraint(self.kind, self.axes, self.number or self.length, sets, self.reason, self.module)


def constrain_counts(
    counted: Sequence[CountLabels], named: list[NamedSet], solution: Solution, axes: AxisTable
) -> tuple[list[NamedSet], list[tuple[NamedSet, Message, str]], list[CountStatement], list[CountBundle]]:
    """Sets of which some can go, those that must stay, the statements that matter, and who goes with whom.

    Args:
        counted: The statements.
        named: All sets; what must stay is looked at again without those that have to.
        solution: Of all labels.
        axes: Gets the axes of the parts.

    Returns:
        The sets, (set, reason, module) of those that stay, the statements, the bundles; in the latter two sets are
        their places among those that are returned.
    """
    left: list[tuple[NamedSet, Message, str]] = []
    while True:
        counts = count_statements(counted, named, solution, axes)
        together, stay = bundles(counts, np.array([len(one.bases) for one in named], np.int64))
        if not stay:
            return named, left, counts, together
        left += [(named[n], reasons.counted(one.reason), one.module) for n, one in stay]
        numbers = {n for n, _ in stay}
        named = [one for n, one in enumerate(named) if n not in numbers]


def count_statements(
    counted: Sequence[CountLabels], named: Sequence[NamedSet], solution: Solution, axes: AxisTable
) -> list[CountStatement]:
    """The statements that some set has to do with, each once."""
    found: dict[tuple[CountRule, tuple[int, ...], int], CountStatement] = {}
    firsts = np.array([one.bases[0] for one in named], np.int64)
    for one in counted:
        numbers = tuple(axes.number(part) for part in one.parts)
        # Each structure of a set takes as many indices of a part as the first one: `name_sets` keeps others apart.
        times = [np.bincount(solution.component[part], minlength=len(solution.reason)) for part in one.parts]
        weights = np.stack([each[firsts] for each in times])
        made = CountStatement(one.kind, one.number, len(one.parts[0]), one.reason, one.module, numbers, weights)
        if len(made.sets):
            found.setdefault((one.kind, numbers, one.number), made)
    return list(found.values())


def bundles(
    counts: Sequence[CountStatement], sizes: NDArray[np.int64]
) -> tuple[list[CountBundle], list[tuple[int, CountStatement]]]:
    """Sets that go together, and those that cannot go with what keeps them.

    Args:
        counts: The statements.
        sizes: [sets] how many structures each set has.
    """
    spare = sizes - 1  # [sets] how many structures each may lose; one stays
    limited = set[int]()
    for one in counts:
        if one.kind not in EVEN:
            limited.update(one.sets.tolist())
        if one.kind is CountRule.AT_LEAST:
            # An equal share of every set on the axis, so that enough stay whatever the others lose.
            lost = one.weights[0] * sizes
            share = (one.length - one.number) / max(1, int(lost.sum()))
            spare = np.minimum(spare, np.where(lost > 0, np.floor(sizes * share + 1e-9).astype(np.int64), sizes))
    equal = [one for one in counts if one.kind in EVEN]
    found: list[CountBundle] = []
    groups: list[set[int]] = []  # sets that depend on one another, directly or by others
    for one in equal:
        group = set(one.sets.tolist())
        groups, near = [g for g in groups if not g & group], [g for g in groups if g & group]
        groups.append(group.union(*near))
    for group in groups:
        limited.difference_update(group)
        rows = np.concatenate([one.differences for one in equal])[:, sorted(group)]
        found += _bundle(sorted(group), rows, spare[sorted(group)])
    found += [CountBundle((n,), (1,), int(spare[n])) for n in sorted(limited)]
    multiples = [one for one in counts if one.kind is CountRule.MULTIPLE]
    for place, one in enumerate(found):
        times = 1  # as many steps at once as make multiples everywhere
        for each in multiples:
            lost = sum(int(each.weights[0][n]) * size for n, size in zip(one.sets, one.sizes, strict=True))
            times = lcm(times, each.number // gcd(each.number, lost))
        found[place] = CountBundle(one.sets, tuple(size * times for size in one.sizes), one.most // times)
    found = [one for one in found if one.most > 0]
    reached = {n for one in found for n in one.sets}
    stay = {int(n): one for one in reversed(counts) for n in one.sets if int(n) not in reached}
    return found, sorted(stay.items(), key=lambda pair: pair[0])


def _bundle(sets: Sequence[int], rows: NDArray[np.int64], spare: NDArray[np.int64]) -> list[CountBundle]:
    """The step of a group, without those of its sets that are too small for one."""
    active = spare > 0
    while active.any():
        step = _even_step(rows, active.astype(np.int64), np.where(active, spare, 0))
        if step is not None:
            sizes: list[int] = step.tolist()
            most = min(int(lose) // size for lose, size in zip(spare, sizes, strict=True) if size)
            chosen = tuple(n for n, size in zip(sets, sizes, strict=True) if size)
            return [CountBundle(chosen, tuple(size for size in sizes if size), most)]
        active[np.flatnonzero(active)[int(np.argmin(spare[active]))]] = False
    return []


def _even_step(rows: NDArray[np.int64], sizes: NDArray[np.int64], spare: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Add structures to a step until every row is even; None where no step is."""
    step = sizes
    while True:
        uneven = rows @ step
        wrong = np.flatnonzero(uneven)
        if not len(wrong):
            return step
        row = rows[wrong[0]] * -np.sign(uneven[wrong[0]])
        slack = np.where((row > 0) & (step < spare), spare / np.maximum(step, 1), 0)
        if not slack.any():
            break
        step = step + (np.arange(len(step)) == int(np.argmax(slack)))
    # The smallest even step there is, by a solver that takes longer to load than most steps take to be found.
    optimize: Any = import_module("scipy.optimize")
    ones = np.ones(len(sizes))
    even = optimize.LinearConstraint(rows, 0, 0)
    found = optimize.milp(ones, integrality=ones, bounds=optimize.Bounds(sizes, spare), constraints=even)
    return None if found.x is None else np.rint(np.asarray(found.x, np.float64)).astype(np.int64)


class _Taken(NamedTuple):
    """What a set takes of an axis: [count] how many indices each of its structures, and all positions."""

    each: NDArray[np.int64]
    positions: NDArray[np.int64]


_Axes: TypeAlias = dict[int, dict[int, _Taken]]
"""By axis, by set."""


def constrain(analysis: Analysis, added: Sequence[Constraint]) -> Analysis:
    """The analysis with more constraints.

    Where two sets overlap on an axis that is counted (heads and their dimensions), the number that remains is no sum:
    one of them varies, heads before their dimensions, and all of the other stay.

    Args:
        analysis: Any.
        added: Constraints; those that it has already change nothing. `sets` of those about axes are found here.

    Returns:
        An analysis with the same structures; what the constraints leave no choice is in bundles of no step.
    """
    distinct: dict[object, Constraint] = {}
    for one in (*analysis.constraints, *added):
        distinct.setdefault((one.kind, one.axes, one.number, one.sets if one.kind is CountRule.WHOLE else ()), one)
    whole = [one for one in distinct.values() if one.kind is CountRule.WHOLE]
    counted = [one for one in distinct.values() if one.kind is not CountRule.WHOLE]
    axes = _taken_of_axes(analysis, {axis for one in counted for axis in one.axes if axis >= 0})
    still = {number for one in whole for number in one.sets}
    for one in counted:
        sets = _overlapping_sets(analysis, [axes[axis] for axis in one.axes if axis >= 0], still)
        if sets:
            others = {number for axis in one.axes for number in axes.get(axis, ())} - sets - still
            stay, vary = ([*dict.fromkeys(analysis.sets[n].kind for n in sorted(some))] for some in (sets, others))
            reason = None
            if vary:
                template = "The {others} on the same weights can be removed, so all {kinds} stay."
                going, staying = (all_of(title(f"{kind}s") for kind in some) for some in (vary, stay))
                reason = Message("counted.beside", template, {"others": going, "kinds": staying})
            whole.append(_keep_whole(one, sets, reason))
            still |= sets
    counts: list[CountStatement] = []
    lengths = np.diff(analysis.axis_start)
    for one in counted:
        # What the structures that may go take from the axes; of shares, in parts of `number`.
        weights = np.zeros((len(one.axes), len(analysis.sets)), np.int64)
        for row, axis in enumerate(one.axes):
            times = one.number // int(lengths[axis]) if one.kind is CountRule.PROPORTIONAL else 1
            for number, taken in axes.get(axis, {}).items():
                weights[row, number] = 0 if number in still else times * taken.each[0]
        least, length = (0, one.number) if one.kind in EVEN else (one.number, int(lengths[one.axes[0]]))
        counts.append(CountStatement(one.kind, least, length, one.reason, one.module, one.axes, weights))
    together, left = bundles(counts, np.array([one.count for one in analysis.sets], np.int64))
    whole += [_keep_whole(one, {number}) for number, one in left if number not in still]
    still |= {number for number, _ in left}
    every = range(len(analysis.sets))
    return replace(
        analysis,
        constraints=(*whole, *(one.constraint(every) for one in counts if len(one.sets))),
        bundles=(*together, *(CountBundle((number,), (1,), 0) for number in sorted(still))),
    )


def _keep_whole(one: Constraint | CountStatement, sets: Collection[int], reason: Message | None = None) -> Constraint:
    """None of these sets loses anything, for the reason of another constraint where there is no other."""
    return Constraint(CountRule.WHOLE, (), 0, tuple(sorted(sets)), reason or one.reason, one.module)


def _overlapping_sets(analysis: Analysis, axes: Sequence[dict[int, _Taken]], still: Collection[int]) -> set[int]:
    """Sets of which all have to stay besides some, so that what goes from these axes can be added up.

    Those of which a structure takes more than another one, and of several that take the same indices all but one.
    """

    def rank(number: int) -> tuple[int, int]:
        kind = analysis.sets[number].kind
        return FACTORS.index(kind) if kind in FACTORS else -1, number

    more = set[int]()
    for axis in axes:
        free = {number: taken for number, taken in axis.items() if number not in still}
        more |= {number for number, taken in free.items() if len(np.unique(taken.each)) > 1}
        others: list[NDArray[np.int64]] = []
        for number in sorted(free.keys() - more, key=rank):
            positions = free[number].positions
            if any(np.isin(positions, other).any() for other in others):
                more.add(number)
            else:
                others.append(positions)
    return more


def _taken_of_axes(analysis: Analysis, wanted: Collection[int]) -> _Axes:
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
