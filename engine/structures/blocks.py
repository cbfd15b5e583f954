"""Blocks: steps of a Sequential or ModuleList that keep shape and labels may go as a whole."""

from dataclasses import dataclass

import numpy as np

from ..tracing.record import ModuleCall, Record
from .rules import Context
from .solve import Solution


@dataclass(frozen=True, slots=True)
class Block:
    """A removable step: its path, the sources that vanish with it and its calls first..last (exclusive)."""

    path: str
    sources: tuple[int, ...]
    first: int
    last: int


def find_blocks(context: Context, solution: Solution) -> list[Block]:
    """All removable steps, in the order in which they ran."""
    record = context.record
    steps = {path for path, _, _, is_steps in record.modules if is_steps}
    composed = {path.rpartition(".")[0] for path, _, _, _ in record.modules}  # a single layer is no block
    counts: dict[str, int] = {}
    for call in record.module_calls:
        counts[call.path] = counts.get(call.path, 0) + 1
    costly = sorted({number for number, _ in context.costs})
    found = [
        _block(record, call)
        for call in record.module_calls
        if call.path.rpartition(".")[0] in steps
        and call.path in composed
        and counts[call.path] == 1
        and any(call.first <= n < call.last for n in costly)
        and _keeps_labels(context, solution, call)
        and _closed(record, call)
    ]
    return sorted((b for b in found if b is not None and b.sources), key=lambda b: (b.first, -b.last))


def _block(record: Record, call: ModuleCall) -> Block | None:
    inside = tuple(n for n, s in enumerate(record.sources) if s.name.startswith(call.path + "."))
    shared = any(not a.startswith(call.path + ".") for n in inside for a in record.sources[n].aliases)
    return None if shared else Block(call.path, inside, call.first, call.last)


def _keeps_labels(context: Context, solution: Solution, call: ModuleCall) -> bool:
    """One tensor in, one out, of equal shape and with equal labels, so that the neighbours fit together."""
    if len(call.inputs) != 1 or len(call.outputs) != 1 or call.inputs == call.outputs:
        return False
    before, after = call.inputs[0], call.outputs[0]
    if context.record.shapes[before] != context.record.shapes[after]:
        return False
    for first, second in zip(context.dims.get(before, []), context.dims.get(after, []), strict=True):
        if (first is None) != (second is None):
            return False
        if first is not None and second is not None:
            a, b = solution.component[first], solution.component[second]
            fixed = (solution.reason[a] >= 0) & (solution.reason[b] >= 0)
            if not np.all((a == b) | fixed):
                return False
    return True


def _closed(record: Record, call: ModuleCall) -> bool:
    """Nothing that was made inside is used outside, except the result; no state is changed in place."""
    made = {o for c in record.calls[call.first : call.last] for o in c.outputs} - set(call.outputs) - set(call.inputs)
    outside = (*record.calls[: call.first], *record.calls[call.last :])
    return not made.intersection(record.outputs) and not any(made.intersection(c.refs()) for c in outside)
