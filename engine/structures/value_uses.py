"""An index of values: which call makes each, which calls read it, and which module calls hold it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from ..tracing.record import ModuleCall, Record
from .liveness import changed, shared_memory


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
            for path in _upwards(source.name.rpartition(".")[0]):
                self.tensors.setdefault(path, []).append(number)
        self._inside = innermost_calls(record)
        self._memory = shared_memory(record)
        self._changes = {self._memory.of(v): n for n, call in enumerate(record.calls) for v in changed(call)}

    def written(self, value: int, before: int) -> int:
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

    def overwritten(self, value: int, last: int) -> bool:
        """True where a call from `last` on changes a value in place, itself or through a view."""
        return self._changes.get(self._memory.of(value), -1) >= last

    def closed(self, call: ModuleCall) -> bool:
        """Nothing made inside is used outside, except the results; nothing from outside is changed in place."""
        made = {o for c in self.record.calls[call.first : call.last] for o in c.outputs} - set(call.outputs)
        return not any(
            v in call.inputs or self.needed_after(v, call.last) or self._older(v, call.first)
            for v in made.union(self._changed(call))
        )

    def _changed(self, call: ModuleCall) -> set[int]:
        """Inputs that are changed in place inside; those that are returned too among them."""
        return {v for v in call.inputs if self.written(v, call.last) >= call.first}

    def _older(self, value: int, first: int) -> bool:
        return (bool(self.uses[value]) and self.uses[value][0] < first) or self.written(value, first) >= 0

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


class ScopeSums:
    """Sums of a number per call over ranges of calls."""

    def __init__(self, calls: int, numbers: Mapping[int, int]) -> None:
        """Take how many calls there are, and the numbers of those that have one."""
        self._sums = [0, *accumulate(numbers.get(n, 0) for n in range(calls))]

    def over(self, ranges: Iterable[tuple[int, int]]) -> int:
        """The sum over the calls first..last (exclusive) of each range."""
        return sum(self._sums[last] - self._sums[first] for first, last in ranges)


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def innermost_calls(record: Record) -> tuple[list[int], list[int]]:
    """([calls] the module call in which each ran, [module calls] the one around each); -1 for none."""
    inside = [-1] * len(record.calls)
    around = [-1] * len(record.module_calls)
    ended: list[int] = []  # module calls that ended and whose surroundings have not
    for place, call in enumerate(record.module_calls):
        while ended and record.module_calls[ended[-1]].first >= call.first:
            around[ended.pop()] = place
        for number in range(call.first, call.last):
            if inside[number] < 0:
                inside[number] = place
        ended.append(place)
    return inside, around
