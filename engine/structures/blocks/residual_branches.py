"""Finds residual branches: in y = x + f(x), f can be replaced by zeros."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from ...tracing.record import ModuleCall, OperatorCall, Ref
from ..rules import Context
from ..solver.solve import Solution
from ..value_uses import ValueUses
from .stand_ins import alike, passed_values, place_of, stand_in_result

ADDS = ("aten.add", "aten.add_")
KEEPS_ZERO = frozenset(
    f"aten.{name}"
    for name in (
        "mul", "mul_", "div", "div_", "neg", "view", "_unsafe_view", "reshape", "_reshape_alias", "transpose", "t",
        "permute", "squeeze", "unsqueeze", "expand", "slice", "select", "roll", "flip", "clone", "alias", "detach",
        "_to_copy", "dropout", "native_dropout", "contiguous",
    )
)  # fmt: skip
"""Operators whose result is zero where their first operand that is no parameter is (layer scale, stochastic depth)."""


@dataclass(frozen=True, slots=True)
class ResidualBranch:
    """A residual branch: its module's call, the modules that feed nothing else, what stands in for each."""

    call: ModuleCall
    feeding: tuple[ModuleCall, ...]
    stand_ins: tuple[tuple[str, Any], ...]


def find_branches(context: Context, solution: Solution, usage: ValueUses) -> Iterator[ResidualBranch]:
    """Every residual branch, in the order of the additions."""
    for number, call in enumerate(context.record.calls):
        operands = [a.value for a in call.arguments.values() if isinstance(a, Ref)]
        if call.op not in ADDS or len(operands) != 2 or operands[0] == operands[1]:
            continue
        for value, other in (operands, operands[::-1]):
            if context.record.shapes[value] == context.record.shapes[other]:
                found = _Search(context, solution, usage, number, value, other).branch()
                if found is not None:
                    yield found
                    break


@dataclass(slots=True)
class _Search:
    """The search for a branch at one operand of an addition.

    Attributes:
        context: The walked record.
        solution: What follows from its labels.
        usage: Who uses what.
        number: Call of the addition.
        value: The operand that may be a branch's result.
        stream: The other operand.
    """

    context: Context
    solution: Solution
    usage: ValueUses
    number: int
    value: int
    stream: int

    def branch(self) -> ResidualBranch | None:
        """The branch, None where the operand is none."""
        found = self._module()
        if found is None:
            return None
        call, result = found
        start = self.usage.written(self.stream, self.number)  # what is older than the stream does not belong to f
        if start >= call.first or not self._comes_from_stream(call, start):
            return None
        if self.usage.times[call.path] != 1 or not self._only_result(call, result):
            return None
        dead = self._dead(call, start)
        return self._with(call, result, self._feeding(call, dead), dead) or self._with(call, result, [], set())

    def _module(self) -> tuple[ModuleCall, int] | None:
        """The module that makes the operand, as far back as what lies between keeps zero; and its result."""
        found: tuple[ModuleCall, int] | None = None
        value, reader = self.value, self.number
        while self._read_only_by(value, reader):
            made = self.usage.written(value, reader)
            makers = [m for m in self.usage.makers.get(value, ()) if m.first <= made < m.last <= reader]
            if makers:
                found = makers[-1], value
            call = self.context.record.calls[made] if made >= 0 else None
            if call is None or call.op not in KEEPS_ZERO:
                break
            operands = [v for v in call.refs() if v not in self.context.parameters]
            if not operands:
                break
            value, reader = operands[0], made
        return found

    def _read_only_by(self, value: int, reader: int) -> bool:
        """Nothing else reads a value as it is before `reader`, which may change it in place."""
        changes = value in self.context.record.calls[reader].outputs
        if value in self.usage.answers and not changes:
            return False
        since = self.usage.written(value, reader) + 1
        last = reader if changes else len(self.context.record.calls)
        return list(self.usage.read_between(value, since, last)) == [reader]

    def _comes_from_stream(self, call: ModuleCall, start: int) -> bool:
        """The module's inputs are computed from the other operand."""
        seen, waiting = set[int](), list(call.inputs)
        while waiting:
            value = waiting.pop()
            if value == self.stream:
                return True
            for number in self.usage.writes[value]:
                if start < number < call.first and number not in seen:
                    seen.add(number)
                    waiting.extend(self.context.record.calls[number].refs())
        return False

    def _only_result(self, call: ModuleCall, result: int) -> bool:
        """Of all that the module makes only the branch's result is used."""
        others = [v for v in call.outputs if v != result and v not in call.inputs]
        return self.usage.closed(call) and not any(self.usage.needed_after(v, call.last) for v in others)

    def _dead(self, call: ModuleCall, start: int) -> set[int]:
        """Calls before the module, after the stream was made, whose results only the module uses."""
        dead, seen, waiting = set[int](), set[int](), list[int]()

        def wait_for(values: Iterator[int] | tuple[int, ...]) -> None:
            for value in values:
                for number in self.usage.writes[value]:
                    if start < number < call.first and number not in seen:
                        seen.add(number)
                        heappush(waiting, -number)

        wait_for(call.inputs)
        while waiting:  # the latest first, so that whoever uses a result is known before it
            number = -heappop(waiting)
            one = self.context.record.calls[number]
            used = [u for v in one.outputs for u in self.usage.uses[v]]
            if not self.usage.answers.intersection(one.outputs) and all(
                u in dead or u == number or call.first <= u < call.last for u in used
            ):
                dead.add(number)
                wait_for(one.refs())
        return dead

    def _feeding(self, call: ModuleCall, dead: set[int]) -> list[ModuleCall]:
        """The largest modules all of whose calls are dead, in the order in which they ran."""
        found: dict[str, ModuleCall] = {}
        covered: set[int] = set()
        for number in sorted(dead):
            if number in covered:
                continue
            largest: ModuleCall | None = None
            for around in self.usage.modules_around(number):
                if around.last > call.first or not all(self._goes(n, around, dead) for n in _range(around)):
                    break
                if self.usage.times[around.path] == 1:
                    largest = around
            if largest is not None:
                found[largest.path] = largest
                covered.update(_range(largest))
        return list(found.values())

    def _goes(self, number: int, around: ModuleCall, dead: set[int]) -> bool:
        """A call is dead, or nothing outside its module uses what it makes."""
        made = self.context.record.calls[number].outputs
        uses = [u for v in made for u in self.usage.uses[v]]
        inside = all(around.first <= u < around.last for u in uses)
        return number in dead or (inside and not self.usage.answers.intersection(made))

    def _with(self, call: ModuleCall, result: int, feeding: list[ModuleCall], dead: set[int]) -> ResidualBranch | None:
        """The branch without these modules too, if what is left between them then runs on the stream's shape."""
        changed: set[int] = set()  # values that now look like the result
        stand_ins: list[tuple[str, Any]] = []
        inside = {n for m in feeding for n in _range(m)}
        todo: list[tuple[int, ModuleCall | OperatorCall]] = [(m.first, m) for m in feeding]
        todo += [(n, self.context.record.calls[n]) for n in dead - inside]
        for _, one in sorted(todo, key=lambda t: t[0]):
            if isinstance(one, OperatorCall):
                if not self._runs(one, result, changed):
                    return None
                continue
            given = self._given(one, result, changed)
            made = [v for v in one.outputs if v not in one.inputs and self.usage.needed_after(v, one.last)]
            entry = (
                None
                if given is None or len(made) != 1
                else stand_in_result(one, {made[0]: passed_values(self.usage, one, given, made[0])})
            )
            if entry is None:
                return None
            changed.add(made[0])
            stand_ins.append((one.path, entry))
        given = self._given(call, result, changed)
        entry = None if given is None else stand_in_result(call, {result: {"zeros": given}})
        return None if entry is None else ResidualBranch(call, tuple(feeding), ((call.path, entry), *stand_ins))

    def _given(self, call: ModuleCall, result: int, changed: set[int]) -> str | None:
        """Where the module is given something that looks like the result."""
        for value in call.inputs:
            if value in changed or alike(self.context, self.solution, value, result):
                return place_of(call, value)
        return None

    def _runs(self, call: OperatorCall, result: int, changed: set[int]) -> bool:
        """A call between the modules still runs: on what it ran on, or index by index on the stream's shape."""
        refs = list(call.refs())
        if not changed.intersection(refs):
            return True
        shapes = self.context.record.shapes
        fits = all(v in changed or not shapes[v] or alike(self.context, self.solution, v, result) for v in refs)
        if not (fits and call.pointwise) or any(isinstance(a, float) for a in call.arguments.values()):
            return False
        changed.update(call.outputs)
        return True


def _range(call: ModuleCall) -> range:
    return range(call.first, call.last)
