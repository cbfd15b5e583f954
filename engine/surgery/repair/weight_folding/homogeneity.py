"""By what every value of a run is multiplied when some parameters, and some numbers in forwards, are.

A run in which a forward divides by another number than it should is right again if a weight before it is multiplied
by the ratio, and nothing else feels it. Whether that is so shows in degrees of homogeneity: a value of degree (a, b) is
exp(a * t + b) times what it should be, where exp(t) is what the weights are multiplied by. Views keep a degree,
products add those of their factors, sums need equal ones, and whatever is not homogeneous needs values that are as they
should be: each such need is an equation for t. There is a t for all of them, or the weights cannot take up the number.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heapify, heappop, heappush

import numpy as np

from ....tracing.record import Record
from .constants import Pair, computed, constant
from .degrees import Degree, Operands, Uneven, fitting
from .homogeneous import FACTORS, MADE, rule_of

CLOSE = 1e-9
"""Two logarithms of factors are one below this difference."""


@dataclass(slots=True)
class Flow:
    """Degrees in a run.

    Attributes:
        record: The run.
        readers: For each value the calls that read it, in order.
        wrong: Calls with another number than they should have: the one that is given, and the right one.
        degrees: Of values that are not as they should be, so far.
        due: For each of these the wrong calls that it comes from.
        constants: What is computed of wrong numbers alone.
        solution: t, once something depends on it.
        settled: Wrong calls that the weights make good.
        open: Wrong calls of whose results something else would have to make good.
    """

    record: Record
    readers: Mapping[int, Sequence[int]]
    wrong: Mapping[int, tuple[float, float]]
    degrees: dict[int, Degree] = field(default_factory=dict[int, Degree])
    due: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    constants: dict[int, Pair] = field(default_factory=dict[int, Pair])
    solution: float | None = None
    settled: set[int] = field(default_factory=set[int])
    open: set[int] = field(default_factory=set[int])

    def solve(self, seeds: Mapping[int, Degree], begin: Iterable[int]) -> bool:
        """Let degrees flow from parameters and from wrong calls; True where a t makes everything right.

        Args:
            seeds: Degrees of parameters.
            begin: Wrong calls to begin at, besides those that are met.
        """
        self.degrees.update(seeds)
        waiting = list({*begin, *(c for value in seeds for c in self.readers.get(value, ()))})
        heapify(waiting)
        last = -1
        try:
            while waiting:
                number = heappop(waiting)
                if number > last:
                    for value in self._pass(number):
                        for reader in self.readers.get(value, ()):
                            if reader > number:
                                heappush(waiting, reader)
                last = number
            for value in self.record.outputs:
                if value in self.degrees:
                    self.vanish(self.degree(value), self.due.get(value, frozenset()))
        except Uneven:
            return False
        return self.solution is not None and self.settled.isdisjoint(self.open)

    def _pass(self, number: int) -> Sequence[int]:
        """Degrees of a call's results; gives those of its results that are not as they should be."""
        call = self.record.calls[number]
        due = frozenset[int]().union(*(self.due.get(v, frozenset()) for v in call.refs()))
        known = self._constant(number)
        if known is None:
            operands = Operands(call, self.record, self.degree, partial(self.vanish, due=due))
            results = rule_of(call)(operands)
        else:
            results = [_apart(known, len(self.record.shapes[call.outputs[0]]))]
        if number in self.wrong:
            due |= {number}
            if known is None:
                rest = FACTORS[call.op] * math.log(self.wrong[number][0] / self.wrong[number][1])
                results = [r + fitting(np.array([0.0, rest]), r.ndim - 1) for r in results]
        changed: list[int] = []
        for value, made in zip(call.outputs, results, strict=True):
            result = self.reduced(_collapsed(made))
            if call.op.endswith("_") and not np.array_equal(result, self.degree(value)):
                raise Uneven  # changed in place: who else sees that memory is not known here
            if result.any():
                self.degrees[value], self.due[value] = result, due
                changed.append(value)
            else:
                self.degrees.pop(value, None)
                self._settle(due - self.open)
        return changed

    def _constant(self, number: int) -> Pair | None:
        """The result of a call that makes a constant of a wrong number, or computes with nothing but such."""
        call = self.record.calls[number]
        if len(call.outputs) != 1:
            return None
        value, dtype = call.outputs[0], self.record.dtypes[call.outputs[0]]
        made: Pair | None = None
        if number in self.wrong and call.op in MADE:
            if call.op == "aten.lift_fresh" and math.prod(self.record.shapes[value]) != 1:
                raise Uneven
            made = constant(self.wrong[number], dtype)
        elif call.reads and all(v in self.constants for v in call.reads):
            made = computed(call, self.constants, dtype)
        if made is not None:
            self.constants[value] = made
        return made

    def met(self, values: Iterable[int]) -> bool:
        """Some of these are multiplied."""
        return any(self.degrees[v][0].any() for v in values if v in self.degrees)

    def degree(self, value: int) -> Degree:
        """Of a value; zero where it is as it should be."""
        found = self.degrees.get(value)
        return np.zeros((2, *[1] * len(self.record.shapes[value]))) if found is None else self.reduced(found)

    def reduced(self, degree: Degree) -> Degree:
        """Zero where t makes it right."""
        if self.solution is None:
            return degree
        return np.where(np.abs(degree[0] * self.solution + degree[1]) < CLOSE, 0.0, degree)

    def vanish(self, degree: Degree, due: frozenset[int]) -> None:
        """What has this degree must be as it should be.

        Raises:
            Uneven: It cannot be, with what must be already.
        """
        degree = self.reduced(degree)
        if not degree.any():
            self._settle(due)
            return
        scaled, rest = degree.reshape(2, -1)
        if not scaled.all():
            if (rest[scaled == 0] != 0).any():  # nothing that the weights do: another repair's concern
                self.open |= due
            if not scaled.any():
                return
        if self.solution is not None:
            raise Uneven
        wanted = -rest[scaled != 0] / scaled[scaled != 0]
        if np.ptp(wanted) > CLOSE or not wanted[0]:
            raise Uneven
        self.solution = float(wanted[0])
        self.settled |= due

    def _settle(self, due: frozenset[int]) -> None:
        if self.solution is not None:
            self.settled |= due


def _apart(pair: Pair, rank: int) -> Degree:
    """Of a constant."""
    given, right = (float(one) for one in pair)
    if right == 0 or not 0 < given / right < math.inf:
        raise Uneven
    return fitting(np.array([0.0, math.log(given / right)]), rank)


def _collapsed(degree: Degree) -> Degree:
    for axis in range(1, degree.ndim):
        first = degree.take([0], axis) if degree.shape[axis] > 1 else degree
        if (degree == first).all():
            degree = first
    return degree
