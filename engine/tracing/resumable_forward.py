"""A forward that is run again from where parameters changed: what comes before is not computed again. Loads torch.

It is recorded operator by operator, beneath all modules. Run again, an operator before the first one that reads a
changed parameter gives an empty tensor of the same form; at that point the memory that is still in use is filled with
what it held there. Views are taken anew. All of the model's own code runs, so nothing has to be known of it.

Behind what could tell the two apart (random numbers, numbers written into what the model holds, numbers that code reads
past all operators) nothing is left out. A forward that calls other operators than before is run as a whole.
"""

import math
import sys
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import get_ident
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ..jobs import Cancelled
from .operator_mode import OperatorMode
from .schema import named_arguments, operator, written_tensors
from .tree import outputs_of, same_bits, tensors_of

SMALL = 1 << 14
"""Bytes up to which floats are kept wherever they change, as integers of any size are: code may look at them."""
CALL = 1_000_000
"""Floating point operations that take as long as to follow a call: with fewer of them left out, nothing is won."""
DECLARED = frozenset(("aten", "prims", "torchvision", "quantized"))
"""Namespaces of operators that say what they write and whether they draw random numbers."""
READS = frozenset(("tolist", "__repr__", "__format__", "__reduce_ex__"))
"""Methods of a tensor that give its numbers past all operators."""
OPENS = frozenset(("numpy", "__array__", "data_ptr", "untyped_storage", "storage", "__dlpack__", "apply_", "map_"))
"""Methods that let code write them too."""
LIFTS: Any = torch.ops.aten.lift_fresh.default
"""Makes a tensor of numbers in the code."""
Run: TypeAlias = Callable[[AbstractContextManager[Any]], Any]
"""Calls a model inside a context, with the same inputs and the same state each time; gives its outputs."""


class ResumableForward:
    """A forward of a model on some inputs.

    Attributes:
        outputs: What the model gave.
    """

    def __init__(self, run: Run, parameters: Mapping[str, Tensor], memory: int) -> None:
        """Run it, and twice more where something can be left out later.

        Args:
            run: Runs the model.
            parameters: Those that will change, by name.
            memory: Bytes to hold at most.
        """
        self._run = run
        self._reads: Mapping[str, int] = {}
        self._calls: Sequence[_Call] = ()
        self._kept: dict[int, dict[int, Tensor]] = {}
        try:
            first = _Recording(parameters, memory)
            self.outputs = run(_record_with_code(first))
            plan, self._reads = first.plan(), first.reads
            del first  # it holds small tensors, and the second recording may hold as much again
        except Cancelled:
            raise
        except Exception:
            # Of the model, which raises it again here, or of the recording, without which nothing is left out.
            self.outputs = run(nullcontext())
            return
        try:
            if plan.points:
                self._keep_memory(_Recording(parameters, memory, plan), plan)
        except Cancelled:
            raise
        except Exception:  # such as no memory for it
            self._forget()

    def _keep_memory(self, second: "_Recording", plan: "_Plan") -> None:
        """Record once more, now with what memory holds, and try it out."""
        self._run(second)
        kept = second.kept_until_stop()
        if not kept or [one.func for one in second.calls] != plan.operators:
            return
        self._kept, deepest = kept, max(kept)
        self._calls = second.calls[:deepest]
        # No rule knows all that foreign code may do. So it runs once where most is left out, with NaN in all that is
        # left empty: whoever reads something that was not computed gives other outputs than the whole forward.
        resumed = self._resume(deepest, blank=True)
        if resumed is None or not _same(*([one.tensor for one in outputs_of(of)] for of in (resumed[0], self.outputs))):
            self._forget()

    def _forget(self) -> None:
        """Nothing is left out any more."""
        self._calls, self._kept = (), {}

    def run_changed(self, changed: Collection[str]) -> Any:
        """What the model gives now that these parameters, and no others, may hold other numbers."""
        start = min((self._reads.get(name, 0) for name in changed), default=0)
        point = max((one for one in self._kept if one <= start), default=0)
        if point:
            if resumed := self._resume(point):
                return resumed[0]
            self._forget()  # it would be so each time
        return self._run(nullcontext())

    def _resume(self, point: int, blank: bool = False) -> tuple[Any] | None:
        """What the model gives, run from a call on; None where it goes another way than was recorded."""
        resumed = _Resumed(self._calls[:point], self._kept[point], blank)
        try:
            found = self._run(resumed)
        except Cancelled:
            raise
        except Exception:  # of what was left out, or of the model, which will raise it again
            return None
        return (found,) if resumed.followed else None


@dataclass(slots=True)
class _Storage:
    """Memory that an operator of the forward allocated, held weakly.

    Attributes:
        held: As long as this is held, no other storage gets its address.
        size: Bytes.
        small: Its numbers are kept wherever they change.
        written: The last call that wrote it.
    """

    held: StorageWeakRef
    size: int
    small: bool
    written: int


@dataclass(frozen=True, slots=True)
class _Made:
    """A tensor in memory that its operator allocated, with its numbers where that is small."""

    form: Mapping[str, Any]
    storage: int
    value: Tensor | None


@dataclass(frozen=True, slots=True)
class _Given:
    """A tensor in a result that is one of the arguments: its place among them."""

    place: int


@dataclass(frozen=True, slots=True)
class _Call:
    """An operator's call.

    Attributes:
        func: The operator.
        view: It gives views of its arguments, or changes their form, and is called again.
        leaves: What it gave: tensors as `_Made` or `_Given`, for views their shapes.
        tree: How they lie in the result.
        others: Its arguments that are no tensors.
        written: (place among the arguments, its numbers where they are kept) of each tensor that it wrote.
        literal: What it gave, of one that takes numbers from code; they have to be the same again.
    """

    func: Any
    view: bool
    leaves: Sequence[Any]
    tree: Any
    others: Sequence[Any]
    written: Sequence[tuple[int, Tensor | None]] = ()
    literal: Tensor | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a first recording found, for a second one.

    Attributes:
        operators: Of all calls.
        points: Calls from which to resume -> numbers of the storages that are alive there.
        untracked: (call, place among the arguments) -> address of floats that lie neither in a parameter nor in what a
            noted operator made: of inputs, of buffers, or of what the forward makes where nobody sees it.
        held: These, so that nothing else gets their addresses.
    """

    operators: Sequence[Any]
    points: Mapping[int, Sequence[int]]
    untracked: Mapping[tuple[int, int], int]
    held: Sequence[StorageWeakRef]


class _Recording(OperatorMode):
    """Notes every operator of a forward.

    Attributes:
        calls: So far.
        reads: Name of a parameter -> the first call that reads it.
        noting: An operator is being noted, and what is called meanwhile is not the model's.
    """

    def __init__(self, parameters: Mapping[str, Tensor], memory: int, plan: _Plan | None = None) -> None:
        """Take the bytes to hold at most; with a plan, keep what it wants."""
        super().__init__()
        self.calls: list[_Call] = []
        self.reads: dict[str, int] = {}
        self.noting = False
        self._names: dict[int, list[str]] = {}
        for name, one in parameters.items():
            self._names.setdefault(_address(one), []).append(name)
        self._room = memory
        self._plan = plan
        self._kept: dict[int, dict[int, Tensor]] = {}
        self._untracked: dict[tuple[int, int], int] = {}
        self._held: dict[int, StorageWeakRef] = {}
        self._last = sys.maxsize  # the first call that cannot be left out, nor any behind it
        self._thread = get_ident()
        self._flops = [0]  # before each call
        self._alive: dict[int, list[tuple[int, int]]] = {}
        self._copies: dict[int, Tensor] = {}
        self._storages: list[_Storage] = []
        self._numbers: dict[int, int] = {}

    def stop(self) -> None:
        """Neither the next call nor any behind it can be left out."""
        self._last = min(self._last, len(self.calls))

    def read_outside(self, tensors: Sequence[Tensor], opened: bool) -> None:
        """Code has got at numbers past all operators: the last call cannot be left out, nor any behind it.

        They can be where it only reads numbers that are kept anyway, or those of inputs or parameters.
        """
        last = max(len(self.calls) - 1, 0)
        for one in tensors:
            for name in self._names.get(_address(one), ()):
                self._note_read(name, last)
        numbers = [self._numbers.get(_address(one)) for one in tensors]
        if opened or any(number is not None and not self._storages[number].small for number in numbers):
            self._last = min(self._last, last)

    def plan(self) -> _Plan:
        """From which calls to resume: those that read a parameter first.

        Those before which too little is computed are left out, and every second one until all fits into memory.
        """
        least = CALL * len(self.calls)
        points = [call for call in sorted(self._alive) if 0 < call <= self._last and self._flops[call] >= least]
        while points and self._size(points) > self._room:
            points = points[1 - len(points) % 2 :: 2] if len(points) > 1 else []  # the last one stays
        alive = {call: [number for number, _ in self._alive[call]] for call in points}
        return _Plan([one.func for one in self.calls], alive, self._untracked, list(self._held.values()))

    def kept_until_stop(self) -> dict[int, dict[int, Tensor]]:
        """Call -> number of a storage -> the bytes that it holds just before that call."""
        return {call: found for call, found in self._kept.items() if call <= self._last}

    def _size(self, points: Sequence[int]) -> int:
        """Bytes of what is alive at some calls."""
        return sum(self._storages[number].size for number, _ in {one for call in points for one in self._alive[call]})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and note it."""
        self.noting = True
        try:
            return self._note(func, args, kwargs or {})
        except BaseException:
            self.stop()  # code may go on in spite of it
            raise
        finally:
            self.noting = False

    def _note(self, func: Any, args: Any, kwargs: Any) -> Any:
        given = pytree.tree_leaves((args, kwargs))
        tensors = {place: one for place, one in enumerate(given) if isinstance(one, Tensor)}
        places = {id(one): place for place, one in tensors.items()}
        call = len(self.calls)
        for place, one in tensors.items():
            address = _address(one)
            for name in self._names.get(address, ()):
                self._note_read(name, call)
            if address in self._numbers or address in self._names or not _is_float(one) or func is LIFTS:
                continue
            if self._plan is None:
                self._untracked[call, place] = address
                self._held.setdefault(address, StorageWeakRef(one.untyped_storage()))
            elif self._plan.untracked.get((call, place)) != address:
                # An input or a buffer has the same address in both recordings. This one was made anew, by something
                # that no mode sees: of what is unknown, so nothing behind its making may be left out.
                self._last = 0
        if self._plan is not None and call in self._plan.points:
            found = {number: self._copy_bytes(number) for number in self._plan.points[call]}
            if self._room >= 0:
                self._kept[call] = found
        written = [places[id(one)] for one in written_tensors(func, args, kwargs)]
        before = [_position(given[place]) for place in written]
        result = func(*args, **kwargs)
        leaves, tree = pytree.tree_flatten(result)
        made = [one for one in leaves if isinstance(one, Tensor)]
        addresses = set(map(_address, tensors.values()))
        after = [_position(given[place]) for place in written]
        # Views are taken again when the forward is resumed, as they cost nothing. `squeeze_` and its like count as
        # views: they write another form into a tensor, but leave its memory as it is.
        turned = torch.Tag.inplace_view in func.tags and [one[:2] for one in before] == [one[:2] for one in after]
        plain = all(map(_is_plain, (*made, *tensors.values())))
        view = plain and bool(made) and (turned or not written) and addresses.issuperset(map(_address, made))
        named = named_arguments(func, args, kwargs)
        # Does it more than its schema and its result say? In training a normalisation writes its statistics.
        hidden = (
            operator(func).random
            or func.namespace not in DECLARED
            or get_ident() != self._thread
            or named.get("training") is True
            or named.get("train") is True
        )
        moved = not view and before != after
        foreign = not view and any(_address(given[place]) not in self._numbers for place in written)
        if not plain or hidden or moved or foreign:
            self.stop()
        others = _others(given)
        if view:
            literal = result.clone() if func is LIFTS else None
            self.calls.append(_Call(func, view, [one.shape for one in made], tree, others, literal=literal))
        else:
            forms = [self._describe(one, places, addresses) if isinstance(one, Tensor) else one for one in leaves]
            values = [(place, self._copy_small(given[place])) for place in written]
            for number in {self._numbers.get(_address(given[place]), -1) for place in written} - {-1}:
                self._storages[number].written = call
            self.calls.append(_Call(func, view, forms, tree, others, values))
        count = operator(func).flops
        self._flops.append(self._flops[-1] + (0 if count is None else int(count(*args, **kwargs, out_val=result))))
        return result

    def _note_read(self, name: str, call: int) -> None:
        """A parameter is read; at its first time, what is alive then."""
        if name not in self.reads:
            self.reads[name] = call
            alive = [(number, one.written) for number, one in enumerate(self._storages) if not one.held.expired()]
            self._alive[call] = alive

    def _describe(self, one: Tensor, places: Mapping[int, int], addresses: set[int]) -> _Made | _Given | None:
        """What an operator gave: an argument, or a tensor in memory of its own."""
        if id(one) in places:
            return _Given(places[id(one)])
        address = _address(one)
        if not _is_plain(one) or address in addresses or address in self._numbers or address in self._names:
            self.stop()
            return None
        addresses.add(address)
        storage = one.untyped_storage()
        last = sum((size - 1) * stride for size, stride in zip(one.shape, one.stride(), strict=True))
        size = (last + 1) * one.element_size() if one.numel() else 0
        if one.storage_offset() or storage.nbytes() != size:
            self.stop()  # `empty_strided` would make a storage of another size
        small = storage.nbytes() <= SMALL or not _is_float(one)
        self._numbers[address] = len(self._storages)
        self._storages.append(_Storage(StorageWeakRef(storage), storage.nbytes(), small, len(self.calls)))
        form = {"size": one.shape, "stride": one.stride(), "dtype": one.dtype, "device": one.device}
        return _Made(form, self._numbers[address], self._copy_small(one))

    def _copy_small(self, one: Tensor) -> Tensor | None:
        """The numbers of what an operator made or wrote, where they are kept."""
        number = self._numbers.get(_address(one))
        if number is None or not self._storages[number].small or len(self.calls) >= self._last:
            return None
        self._room -= one.nbytes
        if self._room < 0:
            self.stop()
            return None
        return one.clone()

    def _copy_bytes(self, number: int) -> Tensor:
        """The bytes that a storage holds now, the same copy as long as these are the same; none where it is gone."""
        storage = _storage_of(self._storages[number].held) if number < len(self._storages) else None
        if storage is None or self._room < 0:  # nothing of this forward, or of what is alive now, will be kept
            return torch.empty(0, dtype=torch.uint8)
        now, copy = _bytes(storage), self._copies.get(number)
        if copy is None or not torch.equal(now, copy):
            self._room -= storage.nbytes()
            copy = self._copies[number] = now.clone()
        return copy


class _Resumed(OperatorMode):
    """Gives tensors of the same form in place of what operators gave, up to some call, and fills them there."""

    def __init__(self, calls: Sequence[_Call], kept: Mapping[int, Tensor], blank: bool = False) -> None:
        """Take the calls to leave out, what storages hold behind them, and whether what is empty is to hold NaN."""
        super().__init__()
        self._calls = iter(calls)
        self._next = next(self._calls, None)
        self._kept, self._blank = kept, blank
        self._made: dict[int, StorageWeakRef] = {}
        self._lost = False

    @property
    def followed(self) -> bool:
        """Whether the forward has come to the call from which it runs, on the way that was recorded."""
        return self._next is None and not self._lost

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Give what an operator gave, or run it."""
        call, named = self._next, dict[str, Any](kwargs or {})
        if call is None:
            return func(*args, **named)
        self._check(call.func is func)
        self._next = next(self._calls, None)
        given = pytree.tree_leaves((args, named))
        self._check(_others(given) == call.others)
        if call.view:
            result = call.func(*args, **named)
            self._check([one.shape for one in pytree.tree_leaves(result)] == call.leaves)
            self._check(call.literal is None or _same([result], [call.literal]))
        else:
            for place, value in call.written:
                if value is not None:
                    given[place].copy_(value)
            result = pytree.tree_unflatten([self._make(one, given) for one in call.leaves], call.tree)
        if self._next is None:
            # The recorded calls are through: memory that is still in use gets what it held at this point.
            for number, one in self._made.items():
                if (storage := _storage_of(one)) is not None:
                    _bytes(storage).copy_(self._kept[number])
        return result

    def _check(self, same: bool) -> None:
        self._lost = self._lost or not same
        if self._lost:
            raise RuntimeError("This forward takes another way than the one that was recorded.")

    def _make(self, leaf: Any, given: Sequence[Any]) -> Any:
        """What stands in for a part of an operator's result."""
        if isinstance(leaf, _Given):
            return given[leaf.place]
        if not isinstance(leaf, _Made):
            return leaf
        made = torch.empty_strided(**leaf.form)
        if leaf.value is not None:
            made.copy_(leaf.value)
        elif self._blank:
            made.fill_(math.nan)
        if leaf.storage in self._kept:
            self._made[leaf.storage] = StorageWeakRef(made.untyped_storage())
        return made


class _Watching(TorchFunctionMode):
    """Tells a recording of code that gets at numbers past all operators."""

    def __init__(self, recording: _Recording) -> None:
        super().__init__()
        self._recording = recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if not self._recording.noting and (name in READS or name in OPENS):
            self._recording.read_outside(tensors_of(args), opened=name in OPENS)
        return func(*args, **(kwargs or {}))


@contextmanager
def _record_with_code(recording: _Recording) -> Generator[None]:
    with recording, _Watching(recording):
        yield


def _others(given: Sequence[Any]) -> list[Any]:
    """Arguments that are no tensors."""
    return [one for one in given if not isinstance(one, Tensor)]


def _is_float(one: Tensor) -> bool:
    return one.is_floating_point() or one.is_complex()


def _is_plain(one: Tensor) -> bool:
    """Whether it is an ordinary tensor with numbers in memory."""
    ordinary = type(one) in (Tensor, nn.Parameter) and one.layout is torch.strided and not one.is_nested
    return ordinary and not (one.is_quantized or one.is_conj() or one.is_neg())


def _address(one: Tensor) -> int:
    """Of its storage; 0 of what is no ordinary tensor."""
    storage: Any = one.untyped_storage() if _is_plain(one) else None
    return 0 if storage is None else storage._cdata


def _position(one: Tensor) -> tuple[Any, ...]:
    """Which memory it is, how many bytes, and where it lies in it; of what is no ordinary tensor nothing is known."""
    if not _is_plain(one):
        return 0, 0
    return _address(one), one.untyped_storage().nbytes(), one.storage_offset(), one.shape, one.stride()


def _storage_of(weak: StorageWeakRef) -> Any:
    """The storage, None where it was freed."""
    return torch.UntypedStorage._new_with_weak_ptr(weak.cdata)  # pyright: ignore


def _bytes(storage: Any) -> Tensor:
    """[n] all of it."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether tensors hold the same bits."""
    return len(some) == len(others) and all(map(same_bits, some, others))
