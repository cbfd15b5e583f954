"""A forward that is run again from where parameters changed: what comes before is not computed again. Loads torch.

It is recorded operator by operator, beneath all modules. Run again, an operator before the first one that reads a
changed parameter gives an empty tensor of the same form, or what it gave if something behind that point reads it; views
are taken anew. All of the model's own code runs, so nothing has to be known of it. Behind what could tell the two apart
(random numbers, numbers written into what the model holds, arrays of other libraries) nothing is left out.
"""

import sys
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from .schema import operator
from .tree import tensors_of

SMALL = 1 << 14
"""Bytes up to which floats are kept wherever they change, as integers of any size are: code may look at them."""
READS = frozenset(("numpy", "__array__", "tolist", "data_ptr", "untyped_storage", "storage", "__dlpack__"))
"""Methods of a tensor by which code gets at its numbers past all operators."""
Run: TypeAlias = Callable[[AbstractContextManager[Any]], Any]
"""Calls a model inside a context, with the same inputs and the same state each time; gives its outputs."""


class ResumableForward:
    """A forward of a model on some inputs.

    Attributes:
        outputs: What the model gave.
    """

    def __init__(self, run: Run, parameters: Mapping[str, Tensor], memory: int) -> None:
        """Run it, twice where something can be left out later.

        Args:
            run: Runs the model.
            parameters: Those that will change, by name.
            memory: Bytes to hold at most.
        """
        first = _Recording(parameters, memory, {})
        self._run, self._reads = run, first.reads
        self._calls: list[_Call] = []
        self._kept: dict[int, dict[int, Tensor]] = {}
        self.outputs = run(_watched(first))
        first.read(tensors_of(self.outputs))
        if wanted := first.wanted(memory):
            second = _Recording(parameters, memory, wanted)
            run(second)
            if [one.func for one in second.calls] == [one.func for one in first.calls]:
                self._calls, self._kept = second.calls, second.kept

    def again(self, changed: Collection[str]) -> Any:
        """What the model gives now that these parameters, and no others, may hold other numbers."""
        start = min((self._reads.get(name, 0) for name in changed), default=0)
        if point := max((one for one in self._kept if one <= start), default=0):
            resumed = _Resumed(self._calls[:point], self._kept[point])
            try:
                found = self._run(resumed)
            except Exception:
                if resumed.followed:
                    raise
            else:
                if resumed.followed:
                    return found
            self._kept.clear()  # and so it would each time
        return self._run(nullcontext())


@dataclass(slots=True)
class _Storage:
    """Memory that an operator of the forward allocated.

    Attributes:
        size: Bytes.
        small: Its numbers are kept wherever they change.
        made: Number of the call that allocated it.
        read: Of the last call that reads it.
        written: Of those that wrote it afterwards.
    """

    size: int
    small: bool
    made: int
    read: int
    written: list[int] = field(default_factory=list[int])

    def version(self, call: int) -> int:
        """How often it was written before a call."""
        return sum(one < call for one in self.written)


@dataclass(frozen=True, slots=True)
class _Made:
    """A tensor in memory that its operator allocated, with its numbers where that is small."""

    form: Mapping[str, Any]
    storage: int
    value: Tensor | None

    def again(self, kept: Mapping[int, Tensor]) -> Tensor:
        """A tensor of the same form, with its numbers if somebody reads them."""
        if self.value is not None:
            return self.value.clone()
        made = torch.empty_strided(**self.form)
        if self.storage in kept:
            _bytes(made.untyped_storage()).copy_(kept[self.storage])
        return made


@dataclass(frozen=True, slots=True)
class _Given:
    """A tensor in a result that is one of the arguments: its place among them."""

    place: int


@dataclass(frozen=True, slots=True)
class _Call:
    """An operator's call.

    Attributes:
        func: The operator.
        view: It gives views of its arguments, and is called again.
        leaves: What it gave: tensors as `_Made` or `_Given`, for views their shapes.
        tree: How they lie in the result.
        written: (place among the arguments, its numbers where they are kept) of each tensor that it wrote.
    """

    func: Any
    view: bool
    leaves: Sequence[Any]
    tree: Any
    written: Sequence[tuple[int, Tensor | None]]


class _Recording(TorchDispatchMode):
    """Notes every operator of a forward.

    Attributes:
        calls: So far.
        reads: Name of a parameter -> the first call that reads it.
        kept: Call -> number of a storage -> the bytes that it holds just before that call, where that was wanted.
        noting: An operator is being noted.
    """

    def __init__(self, parameters: Mapping[str, Tensor], memory: int, wanted: Mapping[int, Collection[int]]) -> None:
        """Take which storages to keep before which calls."""
        super().__init__()
        self.calls: list[_Call] = []
        self.reads: dict[str, int] = {}
        self.kept: dict[int, dict[int, Tensor]] = {}
        self.noting = False
        self._names: dict[int, list[str]] = {}
        for name, one in parameters.items():
            self._names.setdefault(_address(one), []).append(name)
        self._room, self._wanted = memory, wanted
        self._last = sys.maxsize
        self._copies: dict[tuple[int, int], Tensor] = {}
        self._storages: list[_Storage] = []
        self._held: list[StorageWeakRef] = []  # while it is held, no other storage gets its address
        self._numbers: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see the recorder

    def stop(self) -> None:
        """Neither the next call nor any behind it can be left out."""
        self._last = min(self._last, len(self.calls))

    def read_outside(self, tensors: Sequence[Tensor]) -> None:
        """Behind the last call code gets at numbers past all operators: it has to run again."""
        self.read(tensors)
        self._last = min(self._last, len(self.calls) - 1)

    def read(self, tensors: Sequence[Tensor]) -> None:
        """The next call reads them."""
        for address in map(_address, tensors):
            for name in self._names.get(address, ()):
                self.reads.setdefault(name, len(self.calls))
            if address in self._numbers:
                self._storages[self._numbers[address]].read = len(self.calls)

    def wanted(self, memory: int) -> dict[int, list[int]]:
        """First call that reads a parameter -> numbers of the storages that are made before it and read from it on.

        Every second one of these calls is left out until what they want fits into memory.
        """
        points = sorted({one for one in self.reads.values() if 0 < one <= self._last})
        while points:
            found = {point: self._alive(point) for point in points}
            each = {(number, self._storages[number].version(point)) for point in points for number in found[point]}
            if sum(self._storages[number].size for number, _ in each) <= memory:
                return found
            points = sorted(points[::-2]) if len(points) > 1 else []
        return {}

    def _alive(self, point: int) -> list[int]:
        return [n for n, one in enumerate(self._storages) if one.made < point <= one.read and not one.small]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and note it."""
        self.noting = True
        try:
            return self._note(func, args, kwargs or {})
        finally:
            self.noting = False

    def _note(self, func: Any, args: Any, kwargs: Any) -> Any:
        given = pytree.tree_leaves((args, kwargs))
        places = {id(one): place for place, one in enumerate(given) if isinstance(one, Tensor)}
        tensors = [given[place] for place in places.values()]
        self.read(tensors)
        if len(self.calls) in self._wanted:
            self.kept[len(self.calls)] = {number: self._copy(number) for number in self._wanted[len(self.calls)]}
        written = [places[id(one)] for one in _written(func, args, kwargs)]
        before = [_form(given[place]) for place in written]
        result = func(*args, **kwargs)
        leaves, tree = pytree.tree_flatten(result)
        made = [one for one in leaves if isinstance(one, Tensor)]
        addresses = set(map(_address, tensors))
        view = bool(made) and not written and addresses.issuperset(map(_address, made))
        if (
            operator(func).random
            or not all(map(_is_plain, (*tensors, *made)))
            or not all(_address(given[place]) in self._numbers for place in written)
            or before != [_form(given[place]) for place in written]
        ):
            self.stop()
        if view:
            told = [one.shape for one in made]
        else:
            told = [self._told(one, places, addresses) if isinstance(one, Tensor) else one for one in leaves]
        self.calls.append(_Call(func, view, told, tree, [(place, self._changed(given[place])) for place in written]))
        return result

    def _told(self, one: Tensor, places: Mapping[int, int], addresses: set[int]) -> _Made | _Given | None:
        """What an operator gave: an argument, or a tensor in memory of its own."""
        if id(one) in places:
            return _Given(places[id(one)])
        form = _form(one)
        if _address(one) in addresses or not form or one.storage_offset():
            self.stop()
            return None
        addresses.add(_address(one))
        storage = one.untyped_storage()
        small = storage.nbytes() <= SMALL or not (one.is_floating_point() or one.is_complex())
        self._numbers[_address(one)] = number = len(self._storages)
        self._storages.append(_Storage(storage.nbytes(), small, len(self.calls), len(self.calls)))
        self._held.append(StorageWeakRef(storage))
        if storage.nbytes() != _size(one):
            self.stop()
        return _Made(form, number, self._value(one) if small else None)

    def _changed(self, one: Tensor) -> Tensor | None:
        """A tensor was written: its numbers, where they are kept."""
        number = self._numbers.get(_address(one))
        if number is None:
            return None
        self._storages[number].written.append(len(self.calls))
        return self._value(one) if self._storages[number].small else None

    def _value(self, one: Tensor) -> Tensor | None:
        self._room -= one.nbytes
        if self._room < 0:
            self.stop()
            return None
        return one.clone()

    def _copy(self, number: int) -> Tensor:
        """The bytes that a storage holds now; one copy as long as nobody writes it.

        None at all where this forward took another way than the one before it, after which it is of no use.
        """
        held: Any = None
        if number < len(self._held):
            held = torch.UntypedStorage._new_with_weak_ptr(self._held[number].cdata)  # pyright: ignore
        if held is None:
            return torch.empty(0)
        key = number, self._storages[number].version(len(self.calls))
        if key not in self._copies:
            self._copies[key] = _bytes(held).clone()
        return self._copies[key]


class _Resumed(TorchDispatchMode):
    """Gives what operators gave in place of running them, up to some call.

    Attributes:
        followed: The forward has come to that call, on the way that was noted.
    """

    def __init__(self, calls: Sequence[_Call], kept: Mapping[int, Tensor]) -> None:
        """Take the calls to leave out, and the numbers of storages that are read behind them."""
        super().__init__()
        self._calls: Iterator[_Call] = iter(calls)
        self._next = next(self._calls, None)
        self._kept = kept
        self._lost = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see the recorder

    @property
    def followed(self) -> bool:
        """Whether the forward has come to the call from which it runs, on the way that was noted."""
        return self._next is None and not self._lost

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Give what an operator gave, or run it."""
        call, named = self._next, dict[str, Any](kwargs or {})
        if call is None:
            return func(*args, **named)
        self._check(call.func is func)
        self._next = next(self._calls, None)
        if call.view:
            result = func(*args, **named)
            self._check([one.shape for one in pytree.tree_leaves(result)] == call.leaves)
            return result
        given = pytree.tree_leaves((args, named))
        for place, value in call.written:
            if value is not None:
                given[place].copy_(value)
        return pytree.tree_unflatten([self._made(one, given) for one in call.leaves], call.tree)

    def _check(self, same: bool) -> None:
        self._lost = self._lost or not same
        if self._lost:
            raise RuntimeError("This forward takes another way than the one that was noted.")

    def _made(self, leaf: Any, given: Sequence[Any]) -> Any:
        if isinstance(leaf, _Given):
            return given[leaf.place]
        return leaf.again(self._kept) if isinstance(leaf, _Made) else leaf


class _Watching(TorchFunctionMode):
    """Tells a recording of code that gets at numbers past all operators."""

    def __init__(self, recording: _Recording) -> None:
        super().__init__()
        self._recording = recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self._recording.noting and getattr(func, "__name__", "") in READS:
            self._recording.read_outside(tensors_of(args))
        return func(*args, **(kwargs or {}))


@contextmanager
def _watched(recording: _Recording) -> Generator[None]:
    with recording, _Watching(recording):
        yield


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Tensors that an operator writes."""
    if not func._schema.is_mutable:
        return []
    marked = {one.name for one in func._schema.arguments if one.alias_info is not None and one.alias_info.is_write}
    named = {one.name: value for one, value in zip(func._schema.arguments, args, strict=False)} | dict(kwargs)
    return tensors_of([value for name, value in named.items() if name in marked])


def _is_plain(one: Tensor) -> bool:
    """Whether it is an ordinary tensor with numbers in memory."""
    ordinary = type(one) in (Tensor, nn.Parameter) and one.layout is torch.strided and not one.is_nested
    return ordinary and not (one.is_quantized or one.is_conj() or one.is_neg())


def _address(one: Tensor) -> int:
    """Of its memory; 0 where it has none to itself."""
    storage: Any = one.untyped_storage() if _is_plain(one) else None
    return 0 if storage is None else storage._cdata


def _form(one: Tensor) -> dict[str, Any]:
    """What `torch.empty_strided` takes; nothing of what is no ordinary tensor."""
    if not _is_plain(one):
        return {}
    return {"size": one.shape, "stride": one.stride(), "dtype": one.dtype, "device": one.device}


def _size(one: Tensor) -> int:
    """Bytes from the first to the last of its numbers."""
    last = sum((size - 1) * stride for size, stride in zip(one.shape, one.stride(), strict=True))
    return (last + 1) * one.element_size() if one.numel() else 0


def _bytes(storage: Any) -> Tensor:
    """[n] all of it."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
