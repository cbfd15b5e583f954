"""Solves constraints on counts: which sets lose structures together, and how many in a step.

A constraint is linear in what goes: every structure takes a number of indices from each part, and all parts must lose
equally many. Sets that depend on one another this way are one bundle. Its step is found by adding structures where too
few go, until the parts are even again; what no step reaches cannot go at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Message
from .. import reasons
from ..axes import AxisTable
from ..name_sets import NamedSet
from ..solver.labels import CountLabels
from ..solver.solve import Solution
from ..types import Constraint, CountBundle, CountRule

EVEN = frozenset({CountRule.EQUAL, CountRule.PROPORTIONAL})
"""Rules by which all parts lose equally many, as `CountStatement.weights` count."""


@dataclass(frozen=True, slots=True)
class NamedBundle:
    """Sets by their numbers in a list of named ones; otherwise as `CountBundle`."""

    sets: tuple[int, ...]
    sizes: tuple[int, ...]
    most: int

    def renumbered(self, numbers: Sequence[int]) -> CountBundle:
        """With the numbers that the sets have in the analysis."""
        return CountBundle(tuple(numbers[n] for n in self.sets), self.sizes, self.most)


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
        told = self.differences if self.kind in EVEN else self.weights
        return np.flatnonzero(told.any(axis=0))

    def told(self, numbers: Sequence[int]) -> Constraint:
        """As the analysis says it, with the numbers that the sets have there."""
        sets = tuple(sorted(numbers[int(n)] for n in self.sets))
        return Constraint(self.kind, self.axes, self.number or self.length, sets, self.reason, self.module)


def constrain_counts(
    counted: Sequence[CountLabels], named: list[NamedSet], solution: Solution, axes: AxisTable
) -> tuple[list[NamedSet], list[tuple[NamedSet, Message, str]], list[CountStatement], list[NamedBundle]]:
    """Sets of which some can go, those that must stay, the statements that matter, and who goes with whom.

    Args:
        counted: The statements.
        named: All sets; what must stay is looked at again without those that have to.
        solution: Of all labels.
        axes: Gets the axes of the parts.

    Returns:
        The sets, (set, reason, module) of those that stay, the statements, the bundles.
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
    for one in counted:
        numbers = tuple(axes.number(part) for part in one.parts)
        weights = np.stack([_weights(part, named, solution) for part in one.parts])
        made = CountStatement(one.kind, one.number, len(one.parts[0]), one.reason, one.module, numbers, weights)
        if len(made.sets):
            found.setdefault((one.kind, numbers, one.number), made)
    return list(found.values())


def _weights(part: NDArray[np.int64], named: Sequence[NamedSet], solution: Solution) -> NDArray[np.int64]:
    """[sets] indices of a part that a structure takes: as many for all of a set, for `naming` keeps others apart."""
    times = np.bincount(solution.component[part], minlength=len(solution.reason))
    return np.array([times[one.bases[0]] for one in named], np.int64)


def bundles(
    counts: Sequence[CountStatement], sizes: NDArray[np.int64]
) -> tuple[list[NamedBundle], list[tuple[int, CountStatement]]]:
    """Sets that go together, and those that cannot go with what keeps them.

    Args:
        counts: The statements.
        sizes: [sets] how many structures each set has.
    """
    spare = sizes - 1
    limited = set[int]()
    for one in counts:
        if one.kind not in EVEN:
            limited.update(one.sets.tolist())
        if one.kind is CountRule.AT_LEAST:
            spare = np.minimum(spare, _spare(one, sizes))
    equal = [one for one in counts if one.kind in EVEN]
    found: list[NamedBundle] = []
    for group in _groups(equal):
        limited.difference_update(group)
        rows = np.concatenate([one.differences for one in equal])[:, sorted(group)]
        found += _together(sorted(group), rows, spare[sorted(group)])
    found += [NamedBundle((n,), (1,), int(spare[n])) for n in sorted(limited)]
    multiples = [one for one in counts if one.kind is CountRule.MULTIPLE]
    found = [whole for one in found if (whole := _whole(one, multiples)).most > 0]
    reached = {n for one in found for n in one.sets}
    stay = {int(n): one for one in reversed(counts) for n in one.sets if int(n) not in reached}
    return found, sorted(stay.items(), key=lambda pair: pair[0])


def _whole(one: NamedBundle, multiples: Sequence[CountStatement]) -> NamedBundle:
    """As many steps at once as make multiples everywhere."""
    times = 1
    for each in multiples:
        lost = sum(int(each.weights[0][n]) * size for n, size in zip(one.sets, one.sizes, strict=True))
        times = lcm(times, each.number // gcd(each.number, lost))
    return NamedBundle(one.sets, tuple(size * times for size in one.sizes), one.most // times)


def _spare(one: CountStatement, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """[sets] how many structures each set may lose, so that enough stay whatever the others on the axis lose."""
    lost = one.weights[0] * sizes
    share = (one.length - one.number) / max(1, int(lost.sum()))
    return np.where(lost > 0, np.floor(sizes * share + 1e-9).astype(np.int64), sizes)


def _groups(equal: Sequence[CountStatement]) -> list[set[int]]:
    """Sets that depend on one another, directly or by others."""
    groups: list[set[int]] = []
    for one in equal:
        group = set(one.sets.tolist())
        groups, near = [g for g in groups if not g & group], [g for g in groups if g & group]
        groups.append(group.union(*near))
    return groups


def _together(sets: Sequence[int], rows: NDArray[np.int64], spare: NDArray[np.int64]) -> list[NamedBundle]:
    """The step of a group, without those of its sets that are too small for one."""
    active = spare > 0
    while active.any():
        step = _even(rows, active.astype(np.int64), np.where(active, spare, 0))
        if step is not None:
            sizes: list[int] = step.tolist()
            most = min(int(lose) // size for lose, size in zip(spare, sizes, strict=True) if size)
            chosen = tuple(n for n, size in zip(sets, sizes, strict=True) if size)
            return [NamedBundle(chosen, tuple(size for size in sizes if size), most)]
        active[np.flatnonzero(active)[int(np.argmin(spare[active]))]] = False
    return []


def _even(rows: NDArray[np.int64], sizes: NDArray[np.int64], spare: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Add structures to a step until every row is even; None where too few can go."""
    step = sizes
    while True:
        uneven = rows @ step
        wrong = np.flatnonzero(uneven)
        if not len(wrong):
            return step
        row = rows[wrong[0]] * -np.sign(uneven[wrong[0]])
        slack = np.where((row > 0) & (step < spare), spare / np.maximum(step, 1), 0)
        if not slack.any():
            return _least(rows, sizes, spare)
        step = step + (np.arange(len(step)) == int(np.argmax(slack)))


def _least(rows: NDArray[np.int64], sizes: NDArray[np.int64], spare: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The smallest even step there is, by a solver that takes longer to load than most steps to be found."""
    optimize: Any = import_module("scipy.optimize")
    ones = np.ones(len(sizes))
    even = optimize.LinearConstraint(rows, 0, 0)
    found = optimize.milp(ones, integrality=ones, bounds=optimize.Bounds(sizes, spare), constraints=even)
    return None if found.x is None else np.rint(np.asarray(found.x, np.float64)).astype(np.int64)
