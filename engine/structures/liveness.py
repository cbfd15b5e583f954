"""Finds the operators that matter: outputs depend on them, or they run on weights.

A result that nobody uses (an index that only shows a shape, a statistic for a log) must not fix what it reads: it is
computed again at whatever size there is. Weights that make such a result are another matter: they must fit what they
read, and what they make stays as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..tracing.record import OperatorCall, Record

VIEWS = frozenset(
    f"aten.{name}"
    for name in (
        "view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose", "t", "unsqueeze", "squeeze",
        "expand", "as_strided", "view_as_real", "view_as_complex", "slice", "select", "split", "split_with_sizes",
        "unbind", "diagonal", "unfold", "detach", "alias", "real", "imag", "_conj", "lift_fresh",
    )
)  # fmt: skip
"""Operators whose results share memory with what they show."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """Which calls of a record have something to say about labels.

    Attributes:
        live: [calls] an output or the model's own state depends on it, through changes of shared memory in place too.
        idle: [calls] nothing depends on it, but it is a product or runs on weights, or leads to such a call.
        read: Values that any of these calls reads, the outputs, and what is handed on beyond torch.
    """

    live: tuple[bool, ...]
    idle: tuple[bool, ...]
    read: frozenset[int]


def liveness(record: Record) -> Liveness:
    """Look which calls matter."""
    weights, shared = {s.value for s in record.sources if s.floating}, shared_memory(record)
    runs: list[bool] = []
    for call in record.calls:
        refs = set(call.reads)
        runs.append(call.flops > 0 or (not refs.isdisjoint(weights) and not refs <= weights))
        if refs and refs <= weights:
            weights.update(call.outputs)
    changes = [[shared.of(v) for v in changed(call)] for call in record.calls]
    live = _needed(record, shared, changes, [False] * len(record.calls))
    every = _needed(record, shared, changes, runs) if any(runs) else live
    read = {v for number, call in enumerate(record.calls) if every[number] for v in call.refs()}
    idle = tuple(one and not needed for one, needed in zip(every, live, strict=True))
    return Liveness(tuple(live), idle, frozenset(read.union(record.outputs, record.exposed)))


def changed(call: OperatorCall) -> set[int]:
    """Values that a call changes in place: what it returns too, and all that it takes if it returns nothing."""
    if not call.outputs:
        return set(call.reads)
    found = set(call.outputs).intersection(call.reads)
    if call.op.endswith("_"):
        found.update(call.reads[:1])
    return found


def shared_memory(record: Record) -> "SharedMemory":
    """Which values lie in the same memory: views, and what is changed in place."""
    shared = SharedMemory()
    for call in record.calls:
        if call.op in VIEWS:
            shared.join([next(call.refs()), *call.outputs])
        elif found := changed(call):
            shared.join([*found, *call.outputs])
    return shared


def _needed(record: Record, shared: "SharedMemory", changes: list[list[int]], also: list[bool]) -> list[bool]:
    """Calls that the outputs, parameters and buffers that are changed, and `also` these calls depend on.

    `changes` are the classes of memory that each call changes.
    """
    needed = {*record.outputs, *record.exposed, *(value for _, value in record.replaced)}
    memory = {shared.of(v) for v in (*needed, *(s.value for s in record.sources))}
    live = [False] * len(record.calls)
    for number in range(len(record.calls) - 1, -1, -1):
        call = record.calls[number]
        if also[number] or not memory.isdisjoint(changes[number]) or not needed.isdisjoint(call.outputs):
            live[number] = True
            needed.update(call.reads)
            memory.update([shared.of(v) for v in call.reads])
    return live


class SharedMemory:
    """Values in classes of shared memory (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def of(self, value: int) -> int:
        """The class of a value."""
        if value not in self._parent:
            return value
        root = value
        while self._parent.get(root, root) != root:
            root = self._parent[root]
        while self._parent.get(value, value) != root:
            self._parent[value], value = root, self._parent[value]
        return root

    def join(self, values: Iterable[int]) -> None:
        """Put values into one class."""
        first, *others = [self.of(v) for v in values]
        for other in others:
            self._parent[other] = first
