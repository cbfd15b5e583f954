"""Numbers in forwards that a cut changed and that weights can take up: which ones, and what multiplies them.

Attention divides by the root of its head dimension, so with fewer dimensions it divides by less. Where its query
projection is multiplied by what it should still be divided by, the class stays what it is, with its code.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, TypeAlias

from torch import nn

from ....structures.op_sequence import Operation, operations
from ....structures.transition import Transition
from ....tracing.record import Record
from ....tracing.recorder import Attempt, record
from ....tracing.tree import Inputs
from .homogeneity import Flow
from .homogeneous import FACTORS, MADE
from .producing import Producers, Scaled
from .scaling import Factor, Factors

Place: TypeAlias = tuple[str, str, int]
"""Module, operator, and its number among the operators of that name there."""


class Fold(NamedTuple):
    """What weights of a module take up.

    Attributes:
        weights: What is multiplied.
        numbers: For each call of the original's record whose number is made good: the numbers that it may have.
    """

    weights: Factors
    numbers: Mapping[int, tuple[float, ...]]


class _Wrong(NamedTuple):
    """A call with other numbers than the original's: where, what it is given, and what the original was given."""

    place: Place
    given: tuple[float, ...]
    right: Operation

    @property
    def ratio(self) -> float:
        """Given by right; 0 where that means nothing."""
        known = self.right.op in FACTORS or self.right.op in MADE
        if not known or len(self.given) != 1 or len(self.right.numbers) != 1 or not self.right.numbers[0]:
            return 0.0
        return self.given[0] / self.right.numbers[0]


class Folding:
    """Looks for weights that make good what is wrong in a cut model, module by module.

    Attributes:
        found: For modules with other numbers in them, where these are made good throughout: how.
        asked: There ever was something to make good.
    """

    def __init__(self, model: nn.Module, transition: Transition, inputs: Inputs) -> None:
        """Take the model that is cut, at the state before; it is run once more when something is to be made good."""
        self._model, self._inputs, self._analysis = model, inputs, transition.analysis
        self._kept = transition.kept_before
        self._known: dict[tuple[tuple[Place, float], ...], Fold | None] = {}
        self.found: dict[str, Fold] = {}
        self.asked = False

    @property
    def numbers(self) -> dict[int, tuple[float, ...]]:
        """For calls of the original's record: other numbers that they may have."""
        return {call: numbers for fold in self.found.values() for call, numbers in fold.numbers.items()}

    @property
    def weights(self) -> Factors:
        """All that is multiplied."""
        return tuple(one for fold in self.found.values() for one in fold.weights)

    def forget(self) -> None:
        """Nothing is made good."""
        self.found = {}

    def look(self, run: Attempt, other: Collection[str]) -> None:
        """Find what makes good the numbers of a cut model's run, but in modules with code of another kind."""
        self.found, self.asked = {}, True
        for module, wrong in self._wrong(run, other).items():
            key = tuple((one.place, round(one.ratio, 12)) for one in wrong)
            if key not in self._known:
                self._known[key] = self._fold(wrong)
            fold = self._known[key]
            if fold is not None:
                self.found[module] = fold

    def _wrong(self, run: Attempt, other: Collection[str]) -> dict[str, list[_Wrong]]:
        found: dict[str, list[_Wrong]] = defaultdict(list)
        for place, now in _placed(operations(run.calls, run.weights)):
            right = self._script.get(place)
            if right is not None and now.module not in other and not _alike(now.numbers, right.numbers):
                found[now.module].append(_Wrong(place, now.numbers, right))
        return found

    @cached_property
    def _script(self) -> dict[Place, Operation]:
        return dict(_placed(self._analysis.script))

    @cached_property
    def _record(self) -> Record:
        return record(self._model, self._inputs, self._analysis.outputs)

    @cached_property
    def _calls(self) -> dict[Place, int]:
        sources = [one.value for one in self._record.sources]
        return {place: one.call for place, one in _placed(operations(self._record.calls, sources))}

    @cached_property
    def _producers(self) -> Producers:
        return Producers(self._record)

    def _fold(self, wrong: list[_Wrong]) -> Fold | None:
        """All wrong numbers of a module, or none: where some stay, its code is repaired as a whole."""
        if any(one.ratio <= 0 or one.place not in self._calls for one in wrong):
            return None
        numbers = {self._calls[one.place]: (one.given[0], one.right.numbers[0]) for one in wrong}
        weights: Factors = ()
        settled = set[int]()
        for call in numbers:
            if call not in settled:
                found, calls = next(self._solutions(call, numbers, settled), ((), set[int]()))
                weights += found
                settled |= calls
        if settled != numbers.keys():
            return None
        return Fold(weights, {one.right.call: one.given for one in wrong})

    def _solutions(
        self, call: int, numbers: Mapping[int, tuple[float, float]], settled: set[int]
    ) -> Iterator[tuple[Factors, set[int]]]:
        """Weights that make good a call's number, and all the calls whose numbers they make good."""
        for seeds in self._producers.before(call):
            flow = Flow(self._record, self._producers.readers, numbers)
            degrees = {one.source.value: one.degree for one in seeds}
            solved = flow.solve(degrees, numbers) and call in flow.settled and flow.settled.isdisjoint(settled)
            if solved and flow.solution is not None:
                results = tuple(dict.fromkeys(c.path for c in self._record.module_calls if flow.met(c.outputs)))
                yield tuple(self._factor(one, math.exp(flow.solution), results) for one in seeds), flow.settled

    def _factor(self, scaled: Scaled, factor: float, results: tuple[str, ...]) -> Factor:
        kept = self._kept.get(scaled.source.name) or ()
        own = kept[scaled.dim] if kept else None
        rows = scaled.rows if own is None or scaled.rows is None else own[scaled.rows]
        return scaled.source.name, scaled.dim, None if rows is None else tuple(rows.tolist()), factor, results


def _placed(script: Iterable[Operation]) -> Iterator[tuple[Place, Operation]]:
    counts = Counter[tuple[str, str]]()
    for one in script:
        yield (one.module, one.op, counts[one.module, one.op]), one
        counts[one.module, one.op] += 1


def _alike(numbers: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return len(numbers) == len(others) and all(
        math.isclose(a, b, rel_tol=1e-9) for a, b in zip(numbers, others, strict=True)
    )
