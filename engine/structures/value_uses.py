"""What the values of a record are used for: which calls matter, what shares memory, what makes and reads each value."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..tracing.record import ModuleCall, OperatorCall, Record

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
    """Look which calls matter: outputs depend on them, or they run on weights.

    A result that nothing uses (an index that only shows a shape, a statistic for a log) must not fix what it reads: it
    is computed again at whatever size there is. Weights that make such a result are another matter: they must fit what
    they read, and what they make stays as it is.
    """
    weights, shared = {s.value for s in record.sources if s.floating}, shared_memory(record)
    runs: list[bool] = []
    for call in record.calls:
        refs = set(call.reads)
        runs.append(call.flops > 0 or (not refs.isdisjoint(weights) and not refs <= weights))
        if refs and refs <= weights:
            weights.update(call.outputs)
    changes = [[shared.of(v) for v in changed_values(call)] for call in record.calls]
    live = _needed_calls(record, shared, changes, [False] * len(record.calls))
    every = _needed_calls(record, shared, changes, runs) if any(runs) else live
    read = {v for number, call in enumerate(record.calls) if every[number] for v in call.refs()}
    idle = tuple(one and not needed for one, needed in zip(every, live, strict=True))
    return Liveness(tuple(live), idle, frozenset(read.union(record.outputs, record.exposed)))


def changed_values(call: OperatorCall) -> set[int]:
    """Values that a call changes in place: what it returns too, and all that it takes if it returns nothing."""
    if not call.outputs:
        return set(call.reads)
    found = set(call.outputs).intersection(call.reads)
    if call.op.endswith("_"):
        found.update(call.reads[:1])
    return found


def shared_memory(record: Record) -> "SharedMemory":
    """Which values share memory: views, and what is changed in place."""
    shared = SharedMemory()
    for call in record.calls:
        if call.op in VIEWS:
            shared.join([next(call.refs()), *call.outputs])
        elif found := changed_values(call):
            shared.join([*found, *call.outputs])
    return shared


def _needed_calls(record: Record, shared: "SharedMemory", changes: list[list[int]], also: list[bool]) -> list[bool]:
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


class ValueUses:
    """An index over a record.

    Attributes:
        record: The run.
        uses: For each value the calls that read or change it, ascending.
        writes: For each value the calls that make it or change it in place, ascending.
        answers: Values of the model's outputs, and of what is handed on beyond torch.
        makers: For each value the module calls that returned it without having been given it, inner before outer.
        times: For each module path how often it was called.
        tensors: For each module path the numbers of the sources at and below it.
    """

    def __init__(self, record: Record) -> None:
        """Read the record once."""
        self.record = record
        self.uses: list[list[int]] = [[] for _ in record.shapes]
        self.writes: list[list[int]] = [[] for _ in record.shapes]
        for number, call in enumerate(record.calls):
            for value in dict.fromkeys(call.refs()):
                self.uses[value].append(number)
            for value in dict.fromkeys(call.outputs):
                self.writes[value].append(number)
        self.answers = frozenset((*record.outputs, *record.handed))
        self.makers: dict[int, list[ModuleCall]] = {}
        self.times: dict[str, int] = {}
        for call in record.module_calls:
            self.times[call.path] = self.times.get(call.path, 0) + 1
            for value in dict.fromkeys(call.outputs):
                if value not in call.inputs:
                    self.makers.setdefault(value, []).append(call)
        self.tensors: dict[str, list[int]] = {}
        for number, source in enumerate(record.sources):
            for path in paths_around(source.name.rpartition(".")[0]):
                self.tensors.setdefault(path, []).append(number)
        self._inside = innermost_calls(record)
        self._memory = shared_memory(record)
        self._changes = {self._memory.of(v): n for n, call in enumerate(record.calls) for v in changed_values(call)}

    def last_write(self, value: int, before: int) -> int:
        """The last call before `before` that made or changed a value, -1 for one that was there from the start."""
        writes = self.writes[value]
        place = bisect_left(writes, before)
        return writes[place - 1] if place else -1

    def read_between(self, value: int, first: int, last: int) -> Sequence[int]:
        """Calls from `first` to `last`, both included, that read or change a value."""
        uses = self.uses[value]
        return uses[bisect_left(uses, first) : bisect_right(uses, last)]

    def needed_after(self, value: int, last: int) -> bool:
        """True where a call from `last` on reads a value, or the model returns it."""
        return value in self.answers or (bool(self.uses[value]) and self.uses[value][-1] >= last)

    def is_overwritten(self, value: int, last: int) -> bool:
        """True where a call from `last` on changes a value in place, itself or through a view."""
        return self._changes.get(self._memory.of(value), -1) >= last

    def is_closed(self, call: ModuleCall) -> bool:
        """Nothing made inside is used outside, except the results; nothing from outside is changed in place."""
        made = {o for c in self.record.calls[call.first : call.last] for o in c.outputs} - set(call.outputs)
        changed = {v for v in call.inputs if self.last_write(v, call.last) >= call.first}  # also if returned too
        return not any(
            v in call.inputs
            or self.needed_after(v, call.last)
            or (bool(self.uses[v]) and self.uses[v][0] < call.first)
            or self.last_write(v, call.first) >= 0
            for v in made | changed
        )

    def modules_around(self, number: int) -> Iterator[ModuleCall]:
        """The module calls in which an operator call ran, the innermost first."""
        place = self._inside[0][number]
        while place >= 0:
            yield self.record.module_calls[place]
            place = self._inside[1][place]

    def vanishing(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[int] | None:
        """Sources at and below a module, None where one is tied to or used by something outside these calls."""
        inside = self.tensors.get(path, [])
        for number in inside:
            source = self.record.sources[number]
            if any(not a.startswith(f"{path}.") for a in source.aliases):
                return None
            uses = self.uses[source.value]
            if uses and not any(first <= uses[0] and uses[-1] < last for first, last in ranges):
                return None
        return inside


def paths_around(path: str) -> Iterator[str]:
    """A module and those around it, the innermost first, the model ("") last."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def innermost_calls(record: Record) -> tuple[list[int], list[int]]:
    """([calls] the module call in which each ran, [module calls] the one around each); -1 for none."""
    inside = [-1] * len(record.calls)
    around = [-1] * len(record.module_calls)
    # Module calls that ended, while those around them have not.
    ended: list[int] = []
    for place, call in enumerate(record.module_calls):
        while ended and record.module_calls[ended[-1]].first >= call.first:
            around[ended.pop()] = place
        for number in range(call.first, call.last):
            if inside[number] < 0:
                inside[number] = place
        ended.append(place)
    return inside, around
