"""Finds the blocks that can be removed as a whole and leave a model that runs, and what stands in for each.

Members of a Sequential, ModuleList or ModuleDict whose result has the shape, type and labels of one of their inputs,
which is handed on in their place; and residual branches: in y = x + f(x), f can be replaced by zeros.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate
from typing import Any, cast

import numpy as np

from ..errors import Message
from ..tracing.record import ModuleCall, OperatorCall, Ref
from . import reasons
from .rules import Context
from .solver.labels import Dim
from .solver.solve import Solution
from .value_uses import ValueUses

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
class RemovableBlock:
    """What may go as a whole.

    Attributes:
        path: The module by which it is named: of those that go the one that costs most.
        sources: What vanishes with it.
        ranges: Its calls, first..last (exclusive) of each module that goes.
        stand_ins: (path, what the module in its place returns) for each; that of the result first.
    """

    path: str
    sources: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]
    stand_ins: tuple[tuple[str, Any], ...]

    @property
    def along(self) -> tuple[str, ...]:
        """Paths of the other modules that go with it."""
        return tuple(path for path, _ in self.stand_ins if path != self.path)


def find_blocks(context: Context, solution: Solution) -> tuple[list[RemovableBlock], list[Message]]:
    """All blocks in the order in which they ran, an outer one before those inside it; and what stays that might go."""
    record, usage = context.record, ValueUses(context.record)
    each = {c.number: max(record.calls[c.number].flops, 1) for c in context.costs}
    sums = [0, *accumulate(each.get(n, 0) for n in range(len(record.calls)))]

    def cost(ranges: Sequence[tuple[int, int]]) -> int:
        return sum(sums[last] - sums[first] for first, last in ranges)

    notes: list[Message] = []
    found: dict[str, RemovableBlock] = {}
    for calls, stand_ins in _residual_branches(context, solution, usage):
        ranges = tuple((c.first, c.last) for c in calls)
        sources = [usage.vanishing(c.path, ranges) for c in calls]
        if None not in sources:
            name = max(calls, key=lambda c: cost([(c.first, c.last)])).path
            found[name] = RemovableBlock(name, tuple(n for held in sources for n in held or ()), ranges, stand_ins)
    taken = {path for b in found.values() for path, _ in b.stand_ins}
    lists = {path for path, _, _, is_list in record.modules if is_list}
    composed = {path.rpartition(".")[0] for path, _, _, _ in record.modules}  # a single layer is no block
    for call in record.module_calls:
        is_member = call.path.rpartition(".")[0] in lists and call.path in composed and usage.times[call.path] == 1
        if is_member and call.path not in taken and cost([(call.first, call.last)]):
            block = _passing_block(context, solution, usage, call, notes)
            if block is not None:
                found[block.path] = block
    blocks: list[RemovableBlock] = []
    around: list[RemovableBlock] = []
    for block in sorted(found.values(), key=lambda b: (b.ranges[0][0], -b.ranges[0][1])):
        if not block.sources or not cost(block.ranges):
            continue
        first, last = block.ranges[0]
        around = [b for b in around if b.ranges[0][1] >= last]
        # One that holds everything that costs in a block around it is the same block again.
        if not any(cost(b.ranges) == cost(block.ranges) and b.ranges[0][0] <= first for b in around):
            blocks.append(block)
            around.append(block)
    return blocks, notes


def _passing_block(
    context: Context, solution: Solution, usage: ValueUses, call: ModuleCall, notes: list[Message]
) -> RemovableBlock | None:
    """A module that may hand on one of its inputs in place of its result."""
    made = [v for v in dict.fromkeys(call.outputs) if v not in call.inputs and usage.needed_after(v, call.last)]
    like = [v for v in call.inputs if made and alike(context, solution, v, made[0])]
    if not like or not usage.is_closed(call):
        return None
    if len(made) > 1:
        notes.append(reasons.also_makes(call.path))
        return None
    sources = usage.vanishing(call.path, ((call.first, call.last),))
    result = stand_in_result(call, {made[0]: passed_value(usage, call, place_of(call, like[0]), made[0])})
    if sources is None or result is None:
        return None
    return RemovableBlock(call.path, tuple(sources), ((call.first, call.last),), ((call.path, result),))


StandIns = tuple[tuple[str, Any], ...]
"""As `RemovableBlock.stand_ins`."""


def _residual_branches(
    context: Context, solution: Solution, usage: ValueUses
) -> Iterator[tuple[tuple[ModuleCall, ...], StandIns]]:
    """(the branch's module with those that feed nothing else, stand-ins), in the order of the additions."""
    for number, call in enumerate(context.record.calls):
        operands = [a.value for a in call.arguments.values() if isinstance(a, Ref)]
        if call.op not in ADDS or len(operands) != 2 or operands[0] == operands[1]:
            continue
        for value, other in (operands, operands[::-1]):
            if context.record.shapes[value] == context.record.shapes[other]:
                found = _BranchSearch(context, solution, usage, number, value, other).branch()
                if found is not None:
                    yield found
                    break


@dataclass(slots=True)
class _BranchSearch:
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

    def branch(self) -> tuple[tuple[ModuleCall, ...], StandIns] | None:
        """The branch, None where the operand is none."""
        found = self._find_module()
        if found is None:
            return None
        call, result = found
        # What is older than the stream does not belong to f.
        start = self.usage.last_write(self.stream, self.number)
        if start >= call.first or not self._reads_stream(call, start):
            return None
        others = [v for v in call.outputs if v != result and v not in call.inputs]
        if self.usage.times[call.path] != 1 or not self.usage.is_closed(call):
            return None
        if any(self.usage.needed_after(v, call.last) for v in others):
            return None
        dead = self._dead_calls(call, start)
        return self._replace(call, result, self._feeding_modules(call, dead), dead) or self._replace(
            call, result, [], set()
        )

    def _find_module(self) -> tuple[ModuleCall, int] | None:
        """The module that makes the operand, as far back as the calls in between keep zero; and its result."""
        found: tuple[ModuleCall, int] | None = None
        calls, value, reader = self.context.record.calls, self.value, self.number
        while True:
            # Nothing else may read the value as it is before `reader`, which may change it in place.
            changes = value in calls[reader].outputs
            made = self.usage.last_write(value, reader)
            last = reader if changes else len(calls)
            returned = value in self.usage.answers and not changes
            if returned or list(self.usage.read_between(value, made + 1, last)) != [reader]:
                return found
            makers = [m for m in self.usage.makers.get(value, ()) if m.first <= made < m.last <= reader]
            if makers:
                found = makers[-1], value
            if made < 0 or calls[made].op not in KEEPS_ZERO:
                return found
            operands = [v for v in calls[made].refs() if v not in self.context.parameters]
            if not operands:
                return found
            value, reader = operands[0], made

    def _reads_stream(self, call: ModuleCall, start: int) -> bool:
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

    def _dead_calls(self, call: ModuleCall, start: int) -> set[int]:
        """Calls before the module, after the stream was made, whose results only the module uses."""
        dead, seen, waiting = set[int](), set[int](), list[int]()

        def wait_for(values: Iterator[int] | tuple[int, ...]) -> None:
            for value in values:
                for number in self.usage.writes[value]:
                    if start < number < call.first and number not in seen:
                        seen.add(number)
                        heappush(waiting, -number)

        wait_for(call.inputs)
        # The latest call first, so that all that use a result are known before it.
        while waiting:
            number = -heappop(waiting)
            one = self.context.record.calls[number]
            used = [u for v in one.outputs for u in self.usage.uses[v]]
            if not self.usage.answers.intersection(one.outputs) and all(
                u in dead or u == number or call.first <= u < call.last for u in used
            ):
                dead.add(number)
                wait_for(one.refs())
        return dead

    def _feeding_modules(self, call: ModuleCall, dead: set[int]) -> list[ModuleCall]:
        """The largest modules all of whose calls are dead, in the order in which they ran."""

        def goes(number: int, around: ModuleCall) -> bool:
            """The call is dead, or nothing outside its module uses what it makes."""
            made = self.context.record.calls[number].outputs
            inside = all(around.first <= u < around.last for v in made for u in self.usage.uses[v])
            return number in dead or (inside and not self.usage.answers.intersection(made))

        found: dict[str, ModuleCall] = {}
        covered: set[int] = set()
        for number in sorted(dead):
            if number in covered:
                continue
            largest: ModuleCall | None = None
            for around in self.usage.modules_around(number):
                if around.last > call.first or not all(goes(n, around) for n in range(around.first, around.last)):
                    break
                if self.usage.times[around.path] == 1:
                    largest = around
            if largest is not None:
                found[largest.path] = largest
                covered.update(range(largest.first, largest.last))
        return list(found.values())

    def _replace(
        self, call: ModuleCall, result: int, feeding: list[ModuleCall], dead: set[int]
    ) -> tuple[tuple[ModuleCall, ...], StandIns] | None:
        """The branch without these modules too, if what is left between them then runs on the stream's shape."""
        changed: set[int] = set()  # values that now look like the result
        stand_ins: list[tuple[str, Any]] = []
        inside = {n for m in feeding for n in range(m.first, m.last)}
        todo: list[tuple[int, ModuleCall | OperatorCall]] = [(m.first, m) for m in feeding]
        todo += [(n, self.context.record.calls[n]) for n in dead - inside]
        for _, one in sorted(todo, key=lambda t: t[0]):
            if isinstance(one, OperatorCall):
                if not self._still_runs(one, result, changed):
                    return None
                continue
            given = self._given(one, result, changed)
            made = [v for v in one.outputs if v not in one.inputs and self.usage.needed_after(v, one.last)]
            if given is None or len(made) != 1:
                return None
            entry = stand_in_result(one, {made[0]: passed_value(self.usage, one, given, made[0])})
            if entry is None:
                return None
            changed.add(made[0])
            stand_ins.append((one.path, entry))
        given = self._given(call, result, changed)
        entry = None if given is None else stand_in_result(call, {result: {"zeros": given}})
        return None if entry is None else ((call, *feeding), ((call.path, entry), *stand_ins))

    def _given(self, call: ModuleCall, result: int, changed: set[int]) -> str | None:
        """Where the module is given something that looks like the result."""
        for value in call.inputs:
            if value in changed or alike(self.context, self.solution, value, result):
                return place_of(call, value)
        return None

    def _still_runs(self, call: OperatorCall, result: int, changed: set[int]) -> bool:
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


def alike(context: Context, solution: Solution, first: int, second: int) -> bool:
    """Two values of equal shape and type whose axes keep equal sizes whatever is removed."""
    record = context.record
    if record.shapes[first] != record.shapes[second] or record.dtypes[first] != record.dtypes[second]:
        return False

    def keeps_same(one: Dim, other: Dim) -> bool:
        """The same indices stay of both; an untracked axis keeps all of its own."""
        if one is other:
            return True
        if one is None or other is None:
            tracked = other if one is None else one
            return tracked is None or bool((solution.reason[solution.component[tracked]] >= 0).all())
        a, b = solution.component[one], solution.component[other]
        fixed = (solution.reason[a] >= 0) & (solution.reason[b] >= 0)
        return bool(np.all((a == b) | fixed))

    nothing: list[Dim] = [None] * len(record.shapes[first])
    pairs = zip(context.dims.get(first, nothing), context.dims.get(second, nothing), strict=True)
    return all(keeps_same(one, other) for one, other in pairs)


def passed_value(usage: ValueUses, call: ModuleCall, given: str, result: int) -> dict[str, str]:
    """What stands for a result: what was given there, or a copy of it where code behind changes either in place.

    That change would otherwise reach the other one too, which the block kept apart.
    """
    values = (result, call.inputs[call.places.index(given)])
    return {"copy" if any(usage.is_overwritten(v, call.last) for v in values) else "input": given}


def place_of(call: ModuleCall, value: int) -> str:
    """Where a module call was given a value."""
    return call.places[call.inputs.index(value)]


def stand_in_result(call: ModuleCall, entries: dict[int, Any]) -> Any | None:
    """What a stand-in returns in place of a module: its result with these entries for its tensors, None for others.

    Args:
        call: The module's call.
        entries: Value to {"input": place} (hand it on), {"copy": place} or {"zeros": place} (zeros of its shape).
            Further values that the module returned as it was given them are handed on.

    Returns:
        As `runtime.load_pruned.StandIn` takes it; None where the result cannot be made again: it holds numbers, which
        may be sizes, or is of a class of its own.
    """
    passed = {v: {"input": p} for p, v in zip(call.places, call.inputs, strict=True) if v in call.outputs}
    try:
        return _fill_result(call.result, passed | entries)
    except _UnknownPart:
        return None


class _UnknownPart(Exception):
    """A part of a result that cannot be made again."""


def _fill_result(part: Any, entries: dict[int, Any]) -> Any:
    if isinstance(part, Ref):
        return entries.get(part.value)
    if part is None or isinstance(part, (bool, str)):
        return {"constant": part} if part is not None else None
    if not isinstance(part, dict) or "other" in part:
        raise _UnknownPart
    held = cast("dict[str, Any]", part)
    for kind in ("tuple", "list"):
        if kind in held:
            return {kind: [_fill_result(one, entries) for one in held[kind]]}
    name = "dict" if "dict" in held else "fields"
    return held | {name: {key: _fill_result(one, entries) for key, one in held[name].items()}}


def replacements(call: ModuleCall, entry: Any) -> Iterator[tuple[int, int | None]]:
    """What a stand-in gives in place of each tensor of a result: (value, that input, or None for fresh memory).

    Args:
        call: The module's call.
        entry: What `stand_in_result` made of it.
    """
    given = dict(zip(call.places, call.inputs, strict=True))
    waiting: list[tuple[Any, Any]] = [(call.result, entry)]
    while waiting:
        part, made = waiting.pop()
        if isinstance(part, Ref):
            if made is not None:
                yield part.value, given[made["input"]] if "input" in made else None
        elif isinstance(part, dict):
            held = cast("dict[str, Any]", part)
            for key in ("tuple", "list"):
                waiting += zip(held.get(key, ()), made.get(key, ()), strict=True)
            for key in ("dict", "fields"):
                waiting += ((one, made[key][name]) for name, one in held.get(key, {}).items())
