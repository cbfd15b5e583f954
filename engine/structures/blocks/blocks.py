"""Finds the blocks that can be removed as a whole and leave a model that runs.

Members of a Sequential, ModuleList or ModuleDict whose result has the shape, type and labels of one of their inputs,
which is handed on in their place; and residual branches (`residual_branches.py`), in whose place stand zeros.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import Message
from ...tracing.record import ModuleCall
from .. import reasons
from ..rules import Context
from ..solver.solve import Solution
from ..value_uses import ScopeSums, ValueUses
from .residual_branches import ResidualBranch, find_branches
from .stand_ins import alike, passed_values, place_of, stand_in_result


@dataclass(frozen=True, slots=True)
class RemovableBlock:
    """What may go as a whole.

    Attributes:
        path: The module by which it is named: of those that go the one that costs most.
        sources: What vanishes with it.
        ranges: Its calls, first..last (exclusive) of each module that goes.
        stand_ins: (path, what the module that stands in its place returns) for each; that of the result first.
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
    usage = ValueUses(context.record)
    costs = ScopeSums(
        len(context.record.calls), {c.number: max(context.record.calls[c.number].flops, 1) for c in context.costs}
    )
    notes: list[Message] = []
    branches = [_from_branch(usage, costs, b) for b in find_branches(context, solution, usage)]
    found = {b.path: b for b in branches if b is not None}
    taken = {path for b in found.values() for path, _ in b.stand_ins}
    for call in _steps(context, usage):
        if call.path not in taken and costs.over([(call.first, call.last)]):
            block = _from_step(context, solution, usage, call, notes)
            if block is not None:
                found[block.path] = block
    ordered = sorted(
        (b for b in found.values() if b.sources and costs.over(b.ranges)),
        key=lambda b: (b.ranges[0][0], -b.ranges[0][1]),
    )
    return list(_once(ordered, costs)), notes


def _steps(context: Context, usage: ValueUses) -> Iterator[ModuleCall]:
    """Calls of the members of lists of modules; a single layer is no block."""
    lists = {path for path, _, _, is_list in context.record.modules if is_list}
    composed = {path.rpartition(".")[0] for path, _, _, _ in context.record.modules}
    for call in context.record.module_calls:
        if call.path.rpartition(".")[0] in lists and call.path in composed and usage.times[call.path] == 1:
            yield call


def _from_step(
    context: Context, solution: Solution, usage: ValueUses, call: ModuleCall, notes: list[Message]
) -> RemovableBlock | None:
    made = [v for v in dict.fromkeys(call.outputs) if v not in call.inputs and usage.needed_after(v, call.last)]
    like = [v for v in call.inputs if made and alike(context, solution, v, made[0])]
    if not like or not usage.closed(call):
        return None
    if len(made) > 1:
        notes.append(reasons.also_makes(call.path))
        return None
    sources = usage.vanishing(call.path, ((call.first, call.last),))
    result = stand_in_result(call, {made[0]: passed_values(usage, call, place_of(call, like[0]), made[0])})
    if sources is None or result is None:
        return None
    return RemovableBlock(call.path, tuple(sources), ((call.first, call.last),), ((call.path, result),))


def _from_branch(usage: ValueUses, costs: ScopeSums, branch: ResidualBranch) -> RemovableBlock | None:
    calls = (branch.call, *branch.feeding)
    ranges = tuple((c.first, c.last) for c in calls)
    sources = [usage.vanishing(c.path, ranges) for c in calls]
    name = max(calls, key=lambda c: costs.over([(c.first, c.last)])).path
    numbers = [n for held in sources for n in held or ()]
    return None if None in sources else RemovableBlock(name, tuple(numbers), ranges, branch.stand_ins)


def _once(ordered: list[RemovableBlock], costs: ScopeSums) -> Iterator[RemovableBlock]:
    """Without those that hold everything that costs in a block around them: these are the same."""
    around: list[RemovableBlock] = []
    for block in ordered:
        first, last = block.ranges[0]
        around = [b for b in around if b.ranges[0][1] >= last]
        if not any(costs.over(b.ranges) == costs.over(block.ranges) and b.ranges[0][0] <= first for b in around):
            yield block
            around.append(block)
