"""Records the branches on sizes and values that a model's Python code takes.

A recording holds the operators of one way through the code. What the code read to choose that way is seen here: sizes
and values of tensors come back as numbers that note who compares them, with what, and how it went. Which inputs would
have led elsewhere is found in `surgery/verify/other_paths.py`.
"""

import ast
import dis
import linecache
import math
import operator
import os
import random
import sys
import sysconfig
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..model_inputs import Inputs, batch_size
from .attribute_reads import is_plain
from .tree import modules_of, named_tensors

Result = TypeVar("Result")
InputDimension: TypeAlias = tuple[str, int]
"""A dimension of an input: path of the tensor ("0", "input_ids"), number of the dimension."""


class GuardKind(Enum):
    """What a branch depends on."""

    BATCH = "batch size"
    SIZE = "another size"
    VALUE = "value of a tensor"
    RANDOM = "random number"


@dataclass(frozen=True, slots=True)
class Observation:
    """One comparison in one run.

    Attributes:
        run: Number of the run.
        left: What was compared; 0 or 1 for the truth of a tensor.
        right: What it was compared with.
        taken: How it went; None where that is not known.
    """

    run: int
    left: float
    right: float
    taken: bool | None


@dataclass(frozen=True, slots=True)
class Guard:
    """A place in a model's code that branches on a size or a value.

    Attributes:
        number: Tells it from all others of the same `Guards`.
        file: The source file.
        line: Its line, from 1.
        text: The source of that line.
        module: Path of the module whose code it is.
        kind: What it depends on.
        dimension: Dimension of the tensor whose size was read; None for a value or a size computed of several.
        places: The inputs' dimensions that were read themselves; empty where it was a tensor on the way.
        read: How the code got it ("shape", "len", "item", "bool", "float", "numpy").
        operator: "==", "!=", "<", "<=", ">", ">="; "bool" for the truth of a tensor; "" where it is not known what the
            code does with the number.
        bound: What it is compared with, as last seen; None where that is not known or is a size or value too.
        modulus: The k of the last `% k` on the way; 0 for none.
        branches: The comparison decides which code runs; False for one within `min`, `max` or `sorted`.
        weights: Names of the parameters and buffers with whose size another number is compared.
        taken: Ways it went in runs that came to their end.
        raising: Ways it went in runs that raised, and in no other.
        sights: Every comparison, in the order of the runs.
    """

    number: int
    file: str
    line: int
    text: str
    module: str
    kind: GuardKind
    dimension: int | None
    places: frozenset[InputDimension]
    read: str
    operator: str
    bound: float | None
    modulus: int
    branches: bool
    weights: frozenset[str]
    taken: frozenset[bool]
    raising: frozenset[bool]
    sights: tuple[Observation, ...]

    @property
    def open(self) -> bool:
        """One side was neither taken nor does the model raise on it."""
        return len(self.taken | self.raising) < 2


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """A forward that was watched.

    Attributes:
        number: Of the run, from 0.
        shapes: Of the input tensors by their paths.
        batch: Size of the batch.
        raised: The forward raised.
    """

    number: int
    shapes: dict[str, tuple[int, ...]]
    batch: int
    raised: bool

    def changed(self, other: "WatchedRun") -> frozenset[InputDimension] | None:
        """Dimensions of inputs that have another size in another run; None where the tensors are others."""
        if {key: len(shape) for key, shape in self.shapes.items()} != {k: len(s) for k, s in other.shapes.items()}:
            return None
        return frozenset(
            (path, dim)
            for path, shape in self.shapes.items()
            for dim, (mine, its) in enumerate(zip(shape, other.shapes[path], strict=True))
            if mine != its
        )


SIZE, VALUE, RANDOM = 1, 2, 4
"""What a number comes from, as bits."""


class _Origin(NamedTuple):
    """Where a number comes from.

    Attributes:
        read: How it was read.
        sort: Bits of what it is.
        dimension: That of the tensor whose size it is, -1 for none or several.
        places: The inputs' dimensions that it was computed from.
        modulus: As in `Guard`.
        both: Both of what is compared come from tensors.
        weights: Names of parameters and buffers whose sizes it was computed from.
    """

    read: str
    sort: int
    dimension: int
    places: frozenset[InputDimension]
    modulus: int
    both: bool = False
    weights: frozenset[str] = frozenset()


class _Key(NamedTuple):
    """One comparison in the code of one module; items of shapes that are compared together are told apart."""

    code: CodeType
    instruction: int
    module: str
    part: str


@dataclass(slots=True)
class _Entry:
    """What was seen of a guard."""

    line: int
    origin: _Origin
    operator: str
    branches: bool
    sights: list[Observation] = field(default_factory=list[Observation])


MOST_SIGHTS = 64
"""Different comparisons that are kept of a guard and a run."""
MOST_LISTED = 4096
"""Numbers of a list (`tolist`) that are watched; a longer one is left as it is."""


class Guards:
    """What was seen over all watched runs of one model.

    Attributes:
        runs: The runs.
        changed: (module path, attribute): what a forward changed of its modules: numbers, words, lengths of containers,
            buffers.
        drawn: Whose random state a forward drew from: "Python", "NumPy", "torch".
        unwatched: A forward raised when it was watched, and did not without that: what it does is not known.
    """

    def __init__(self) -> None:
        """Nothing was seen."""
        self.runs: list[WatchedRun] = []
        self.changed: set[tuple[str, str]] = set()
        self.drawn: set[str] = set()
        self.unwatched = False
        self._entries: dict[_Key, _Entry] = {}

    @contextmanager
    def watching(self, model: nn.Module, inputs: Inputs) -> Generator[None]:
        """Note what a forward does within this; put it inside of what seeds or puts back random states.

        Args:
            model: The module that runs; a twin nobody else runs at the time.
            inputs: The tensors that it is called with, themselves and no copies.
        """
        number = len(self.runs)
        named = list(named_tensors(inputs))
        shapes = {path: tuple(tensor.shape) for path, tensor in named}
        before = _State(model)
        watch = _Watch(self, number, before, {id(tensor): path for path, tensor in named})
        raised = True
        _watches.append(watch)
        try:
            with watch:
                yield
            raised = False
        finally:
            _watches.remove(watch)
            self.runs.append(WatchedRun(number, shapes, batch_size(inputs), raised))
            self.drawn |= before.drawn()
            if not raised:
                self.changed.update(before.changed())

    def found(self) -> tuple[Guard, ...]:
        """Every guard that was seen, in the order of files and lines."""
        found = [self._guard(number, key, entry) for number, (key, entry) in enumerate(self._entries.items())]
        return tuple(sorted(found, key=lambda one: (one.file, one.line, one.number)))

    def note(self, key: _Key, line: int, origin: _Origin, operator: str, branches: bool, sight: Observation) -> None:
        """Keep one comparison."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(line, origin, operator, branches)
        now = [one for one in entry.sights[-MOST_SIGHTS:] if one.run == sight.run]
        if sight not in now and len(now) < MOST_SIGHTS:
            entry.sights.append(sight)

    def drop_last_run(self) -> None:
        """Forget a run that raised for a reason of its own, not the model's."""
        gone = self.runs.pop().number
        for key, entry in list(self._entries.items()):
            entry.sights = [one for one in entry.sights if one.run != gone]
            if not entry.sights:
                del self._entries[key]

    def _guard(self, number: int, key: _Key, entry: _Entry) -> Guard:
        raised = {run.number for run in self.runs if run.raised}
        ways = {
            fine: {s.taken for s in entry.sights if (s.run not in raised) is fine} - {None} for fine in (True, False)
        }
        taken = frozenset(cast("set[bool]", ways[True]))
        known = entry.operator in COMPARISONS and not entry.origin.both and not math.isnan(entry.sights[-1].right)
        file = key.code.co_filename
        return Guard(
            number=number,
            file=file,
            line=entry.line,
            text=linecache.getline(file, entry.line).strip(),
            module=key.module,
            kind=self._kind(entry),
            dimension=entry.origin.dimension if entry.origin.dimension >= 0 else None,
            places=entry.origin.places,
            read=entry.origin.read,
            operator=entry.operator,
            bound=entry.sights[-1].right if known else None,
            modulus=entry.origin.modulus,
            branches=entry.branches,
            weights=entry.origin.weights,
            taken=taken,
            raising=frozenset(cast("set[bool]", ways[False])) - taken,
            sights=tuple(entry.sights),
        )

    def _kind(self, entry: _Entry) -> GuardKind:
        sort = entry.origin.sort
        if sort & RANDOM:
            return GuardKind.RANDOM
        if sort & VALUE:
            return GuardKind.VALUE
        if entry.origin.places:
            return GuardKind.BATCH if all(dim == 0 for _, dim in entry.origin.places) else GuardKind.SIZE
        # A tensor on the way: its size is what changes with the batch alone, or where it is what the batch was.
        ranges = {run.number: {s.left - s.right for s in entry.sights if s.run == run.number} for run in self.runs}
        first = self.runs[entry.sights[0].run] if entry.sights[0].run < len(self.runs) else None
        for run in self.runs:
            changed = None if first is None else first.changed(run)
            if first is None or changed is None or not ranges[run.number] or ranges[run.number] == ranges[first.number]:
                continue
            if not changed:
                return GuardKind.VALUE
            return GuardKind.BATCH if all(dim == 0 for _, dim in changed) else GuardKind.SIZE
        alike = first is not None and all(s.left == self.runs[s.run].batch for s in entry.sights)
        return GuardKind.BATCH if entry.origin.dimension == 0 and alike else GuardKind.SIZE


def watched(guards: Guards | None, run: Callable[[Guards | None], Result]) -> Result:
    """A run that is watched, or not where it raises because of that.

    Args:
        guards: Where to note what it does; None for a plain run.
        run: Runs a fresh twin of the model within `watching` of what it is given, or plainly with None; it may be
            called twice.

    Returns:
        What `run` gives.
    """
    if guards is None:
        return run(None)
    before = len(guards.runs)
    try:
        return run(guards)
    except Exception:
        result = run(None)  # raises by itself where that was not the watching
    if len(guards.runs) > before:
        guards.drop_last_run()
    guards.unwatched = True
    return result


frame_of_caller: Callable[[int], FrameType] = sys._getframe  # pyright: ignore[reportPrivateUsage]
_watches: list["_Watch"] = []
"""The forwards that are watched; the innermost last."""

TORCH = os.path.join(os.path.dirname(torch.__file__), "")
OURS = os.path.join(str(Path(__file__).resolve().parents[1]), "")
STDLIB = os.path.join(sysconfig.get_path("stdlib"), "")
PACKAGES = ("site-packages", "dist-packages")
BETWEEN = (os.path.join(TORCH, "_tensor.py"), os.path.join(TORCH, "overrides.py"))
"""Where torch hands the methods of a tensor on."""


@cache
def _is_the_models(code: CodeType) -> bool:
    """Code of a model or a library of models, not of torch, Python or this program."""
    file = code.co_filename
    if file.startswith("<frozen"):
        return False
    file = os.path.realpath(file) if not file.startswith("<") else file
    if file.startswith((TORCH, OURS)):
        return False
    return not file.startswith(STDLIB) or any(f"{os.sep}{name}{os.sep}" in file for name in PACKAGES)


CONSTANT, DRAWN, GIVEN = 0, RANDOM, VALUE
"""What a tensor was computed from: the model alone, random numbers, the inputs (or what is not known)."""
MARK = "_secateur_origin"
DRAWS = frozenset(
    (
        "rand", "randn", "randint", "rand_like", "randn_like", "randint_like", "randperm", "bernoulli", "bernoulli_",
        "normal", "normal_", "uniform_", "random_", "exponential_", "multinomial", "poisson", "geometric_", "cauchy_",
        "log_normal_",
    )
)  # fmt: skip
FOREIGN = frozenset(("from_numpy", "as_tensor", "tensor", "asarray", "frombuffer", "from_dlpack"))
ABOUT_FINITENESS = frozenset(("isnan", "isinf", "isfinite", "isposinf", "isneginf"))
"""On finite numbers these are constants, and on others nothing can be compared."""
TRUTHS = frozenset(("__bool__", "is_nonzero", "equal", "allclose"))
CONVERSIONS = frozenset(("__len__", "__float__", "__int__", "__index__", "numpy", "__array__"))


class _Watch(TorchFunctionMode):
    """One forward that is watched."""

    def __init__(self, guards: Guards, run: int, state: "_State", inputs: dict[int, str]) -> None:
        super().__init__()
        self._guards = guards
        self._run = run
        self._modules = state.modules
        self._held = state.tensors
        self._weights = state.weights
        self._inputs = inputs

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            result = func(*args, **kwargs)
        except TypeError:
            if not _has_watched((args, kwargs)):
                raise
            result = func(*_plainly(args), **_plainly(kwargs))
        name = getattr(func, "__name__", "")
        if isinstance(result, torch.Tensor):
            self._follow(name, args, kwargs, (result,))
        elif type(result) is torch.Size:
            if _is_the_models(frame_of_caller(1).f_code):
                return torch.Size(self._sized(args[0], number, size) for number, size in enumerate(result))
        elif result is None:
            if name == "__setitem__":
                self._follow(name, args, kwargs, ())
        elif type(result) in (tuple, list) and result and isinstance(result[0], torch.Tensor):
            self._follow(name, args, kwargs, result)
        elif name in TRUTHS or name in CONVERSIONS:
            frame = frame_of_caller(1)
            while frame.f_code.co_filename in BETWEEN and frame.f_back is not None:
                frame = frame.f_back
            self._told(name, args, result, frame)
        elif name in ("size", "numel", "nelement", "item", "tolist") and _is_the_models(frame_of_caller(1).f_code):
            if name in ("item", "tolist"):
                return self._valued(args[0], name, result)
            dim = args[1] if len(args) > 1 else kwargs.get("dim", -1)
            return self._sized(args[0], dim % max(args[0].dim(), 1) if name == "size" else -1, result)
        return result

    def _origin_of(self, tensor: torch.Tensor) -> int:
        return CONSTANT if id(tensor) in self._held else getattr(tensor, MARK, GIVEN)

    def _follow(self, name: str, args: Any, kwargs: Any, results: Iterable[torch.Tensor]) -> None:
        """Mark results that no input went into."""
        origin = self._origin(args, kwargs)
        if name in DRAWS:
            origin = DRAWN
        elif name in ABOUT_FINITENESS or name == "empty_like":
            origin = CONSTANT
        if origin == GIVEN:
            if args and (name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))):
                self._held.discard(id(args[0]))
                if hasattr(args[0], MARK):
                    delattr(args[0], MARK)
            return
        for one in results:
            if not any(one is given for given in args):  # what is only passed on may be the user's own
                setattr(one, MARK, origin)

    def _origin(self, args: Any, kwargs: Any) -> int:
        origin = CONSTANT
        for one in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(one, torch.Tensor):
                origin = max_origin(origin, self._origin_of(one))
            elif type(one) in WATCHED or type(one) is np.ndarray:
                return GIVEN
            elif type(one) in (tuple, list):
                origin = max_origin(origin, self._origin(one, {}))
            if origin == GIVEN:
                return origin
        return origin

    def _sized(self, tensor: torch.Tensor, dim: int, size: int) -> "WatchedInt":
        path = self._inputs.get(id(tensor))
        places = frozenset[InputDimension]() if path is None or dim < 0 else frozenset(((path, dim),))
        weight = self._weights.get(id(tensor))
        weights = frozenset[str]() if weight is None else frozenset((weight,))
        return WatchedInt.of(size, _Origin("shape", SIZE, dim, places, 0, weights=weights))

    def _valued(self, tensor: torch.Tensor, name: str, result: Any) -> Any:
        sort = self._origin_of(tensor)
        if sort == CONSTANT or tensor.numel() > MOST_LISTED:
            return result
        return _as_watched(result, _Origin(name, sort, -1, frozenset(), 0))

    def _told(self, name: str, args: Any, result: Any, frame: FrameType) -> None:
        """A method gave a number or array that cannot be another one, which would note what is done with it."""
        if not _is_the_models(frame.f_code):
            return
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        sort = SIZE if name == "__len__" else self._origin(tensors, {})
        if sort == CONSTANT:
            return
        path = self._inputs.get(id(args[0])) if name == "__len__" else None
        places = frozenset[InputDimension]() if path is None else frozenset(((path, 0),))
        origin = _Origin(name.strip("_"), sort, 0 if name == "__len__" else -1, places, 0)
        if name in TRUTHS:
            self._note(frame, "", _line(frame), origin, "bool", True, float(result), math.nan, bool(result))
        elif name in ("numpy", "__array__"):
            self._note(frame, "", _line(frame), origin, "", True, math.nan, math.nan, None)
        else:
            self.converted(result, origin, frame)

    def converted(self, value: float, origin: _Origin, frame: FrameType) -> None:
        """A number became a plain one: note what the code there compares it with, as far as its text says."""
        for use in _uses(frame.f_code, frame.f_lasti):
            taken = None if use.bound is None else bool(COMPARISONS[use.operator](value, use.bound))
            right = math.nan if use.bound is None else use.bound
            self._note(frame, f"{use.line}:{use.column}", use.line, origin, use.operator, True, value, right, taken)

    def compared(self, left: Any, symbol: str, right: float, taken: bool, frame: FrameType) -> None:
        """A number was compared."""
        origin, weights = cast("_Origin", left.origin), frozenset[str]()
        if type(right) in WATCHED:
            other: _Origin = cast("Any", right).origin
            if not (origin.weights and other.weights):
                weights = origin.weights | other.weights
            origin = _joined(origin, other)._replace(both=True)
        origin = origin._replace(weights=weights)
        if not _is_the_models(frame.f_code):
            return
        name = _operation(frame.f_code, frame.f_lasti)
        if name.startswith("BINARY"):  # the key of a dictionary
            return
        branches = symbol == "bool" or not name.startswith(("CALL", "PRECALL"))
        part = str(origin.dimension)
        symbol, right = ("!=", 0) if symbol == "bool" else (symbol, right)
        self._note(frame, part, _line(frame), origin, symbol, branches, _plain(left), _plain(right), taken)

    def _note(
        self, frame: FrameType, part: str, line: int, origin: _Origin, symbol: str, branches: bool, left: float,
        right: float, taken: bool | None,
    ) -> None:  # fmt: skip
        key = _Key(frame.f_code, _instruction(frame), self._module_of(frame), part)
        self._guards.note(key, line, origin, symbol, branches, Observation(self._run, left, right, taken))

    def _module_of(self, frame: FrameType | None) -> str:
        """The innermost module of which a method runs."""
        while frame is not None:
            code = frame.f_code
            if code.co_argcount and code.co_varnames[0] == "self":
                path = self._modules.get(id(frame.f_locals.get("self")))
                if path is not None:
                    return path
            frame = frame.f_back
        return ""


def max_origin(first: int, second: int) -> int:
    """The origin of what is computed of two."""
    return GIVEN if GIVEN in (first, second) else max(first, second)


def _joined(first: _Origin, second: _Origin) -> _Origin:
    return _Origin(
        first.read,
        first.sort | second.sort,
        first.dimension if first.dimension == second.dimension else -1,
        first.places | second.places,
        first.modulus or second.modulus,
        weights=first.weights | second.weights,
    )


def _line(frame: FrameType) -> int:
    return frame.f_lineno or frame.f_code.co_firstlineno


NUMBERS = (int, float, bool)
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv, "mod": operator.mod,
    "truediv": operator.truediv, "pow": operator.pow, "and": operator.and_, "or": operator.or_, "xor": operator.xor,
    "lshift": operator.lshift, "rshift": operator.rshift, "divmod": divmod,
}  # fmt: skip
ALONE: dict[str, Callable[[Any], Any]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": abs, "ceil": math.ceil, "floor": math.floor, "trunc": math.trunc,
}  # fmt: skip


class WatchedInt(int):
    """A size or a whole value of a tensor, which computes as any int and notes what it is compared with."""

    origin: _Origin

    @staticmethod
    def of(value: int, origin: _Origin) -> "WatchedInt":
        """The number with where it comes from."""
        made = WatchedInt(value)
        made.origin = origin
        return made


class WatchedFloat(float):
    """A value of a tensor, or what was computed of a size, which notes what it is compared with."""

    origin: _Origin

    @staticmethod
    def of(value: float, origin: _Origin) -> "WatchedFloat":
        """The number with where it comes from."""
        made = WatchedFloat(value)
        made.origin = origin
        return made


WATCHED = (WatchedInt, WatchedFloat)


def _plain(value: Any) -> Any:
    """The number as what it is to everyone else."""
    if type(value) is WatchedInt:
        return int.__int__(value)
    return float.__float__(value) if type(value) is WatchedFloat else value


def _as_watched(value: Any, origin: _Origin) -> Any:
    """A number, or each in a nested list, with its origin; flags stay flags."""
    if type(value) is int:
        return WatchedInt.of(value, origin)
    if type(value) is float:
        return WatchedFloat.of(value, origin)
    if type(value) in (list, tuple):
        return type(value)(_as_watched(one, origin) for one in value)
    return value


def _plainly(value: Any) -> Any:
    """Arguments with plain numbers in them."""
    if type(value) in WATCHED:
        return _plain(value)
    if type(value) in (tuple, list, torch.Size):
        return type(value)(_plainly(one) for one in value)
    if type(value) is dict:
        return {key: _plainly(one) for key, one in cast("dict[Any, Any]", value).items()}
    if type(value) is slice:
        return slice(*map(_plainly, (value.start, value.stop, value.step)))
    return value


def _has_watched(value: Any) -> bool:
    if type(value) is dict:
        return _has_watched(tuple(cast("dict[Any, Any]", value).values()))
    if type(value) is slice:
        return _has_watched((value.start, value.stop, value.step))
    if type(value) in (tuple, list, torch.Size):
        return any(map(_has_watched, value))
    return type(value) in WATCHED


def _comparing(symbol: str, compare: Callable[[Any, Any], Any], own: Callable[[Any, Any], Any]) -> Any:
    def method(self: Any, other: Any) -> Any:
        if type(other) not in WATCHED and type(other) not in NUMBERS:
            return own(self, other)
        result = compare(_plain(self), _plain(other))
        if _watches:
            _watches[-1].compared(self, symbol, other, result, frame_of_caller(1))
        return result

    return method


def _computing(name: str, compute: Callable[[Any, Any], Any], own: Callable[[Any, Any], Any], turned: bool) -> Any:
    def method(self: Any, other: Any, *rest: Any) -> Any:
        if rest or (type(other) not in WATCHED and type(other) not in NUMBERS):
            return own(self, other, *rest)
        first, second = _plain(self), _plain(other)
        origin: _Origin = self.origin if type(other) not in WATCHED else _joined(self.origin, other.origin)
        if name in ("mod", "divmod") and not turned and type(second) is int:
            origin = origin._replace(modulus=second)
        return _as_watched(compute(second, first) if turned else compute(first, second), origin)

    return method


def _changing(change: Callable[..., Any]) -> Any:
    def method(self: Any, *rest: Any) -> Any:
        return _as_watched(change(_plain(self), *rest), self.origin)

    return method


def _reduced(self: Any) -> tuple[Any, ...]:
    plain = _plain(self)
    return cast("type[Any]", type(plain)), (plain,)


def _deeply(self: Any, _memo: Any) -> Any:
    return _plain(self)


def _converting(convert: Callable[[Any], Any]) -> Any:
    def method(self: Any) -> Any:
        result = convert(self)
        if _watches and _is_the_models((frame := frame_of_caller(1)).f_code):
            _watches[-1].converted(result, self.origin, frame)
        return result

    return method


def _truth(self: Any) -> bool:
    result = _plain(self) != 0
    if _watches:
        _watches[-1].compared(self, "bool", 0, result, frame_of_caller(1))
    return result


for kind, base in ((WatchedInt, int), (WatchedFloat, float)):
    methods: dict[str, Any] = {
        "__bool__": _truth,
        "__hash__": base.__hash__,
        "__round__": _changing(round),
        "__reduce__": _reduced,
        "__copy__": _plain,
        "__deepcopy__": _deeply,
        "__int__": _converting(base.__int__),
        "__float__": _converting(base.__float__),
    }
    names = ("eq", "ne", "lt", "le", "gt", "ge")
    for word, (symbol, compare) in zip(names, COMPARISONS.items(), strict=True):
        methods[f"__{word}__"] = _comparing(symbol, compare, getattr(base, f"__{word}__"))
    for word, compute in ARITHMETIC.items():
        for turned in (False, True):
            name = f"__{'r' if turned else ''}{word}__"
            if (own := getattr(base, name, None)) is not None:
                methods[name] = _computing(word, compute, own, turned)
    for word, change in ALONE.items():
        methods[f"__{word}__"] = _changing(change)
    for name, method in methods.items():
        setattr(kind, name, method)


def compares_numbers(code: CodeType) -> bool:
    """Code of a model in which something is compared."""
    return _is_the_models(code) and "COMPARE_OP" in _names(code).values()


@cache
def _names(code: CodeType) -> dict[int, str]:
    """Names of a function's instructions by their offset."""
    raw = code.co_code
    return {offset: dis.opname[raw[offset]] for offset in range(0, len(raw), 2)}


def _instruction(frame: FrameType) -> int:
    """Where a frame is; Python 3.11 is at another half of a call once it has specialised it."""
    names, place = _names(frame.f_code), frame.f_lasti
    if names.get(place) == "PRECALL":
        return next(offset for offset, name in names.items() if offset > place and name == "CALL")
    return place


def _operation(code: CodeType, instruction: int) -> str:
    return _names(code).get(instruction, "")


class _Use(NamedTuple):
    """A branch in the text of a function that uses a number: place, operator and bound where these are plain."""

    line: int
    column: int
    operator: str
    bound: float | None


SYMBOLS: dict[type, str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@cache
def _uses(code: CodeType, instruction: int) -> tuple[_Use, ...]:
    """Branches that use what a call gives: those around the call, or of the name that it is assigned to."""
    position = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    tree = _parsed(code.co_filename)
    if None in position or tree is None:
        return ()
    nodes, parents = tree
    call = nodes.get(cast("tuple[int, int, int, int]", position))
    if call is None:
        return ()
    uses = list(_tests_around(call, parents))
    statement, function = call, call
    while isinstance(statement, ast.expr):
        statement = function = parents[statement]
    while function in parents and not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        function = parents[function]
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is call:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = {one.id for one in targets if isinstance(one, ast.Name)}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
                uses += _tests_around(node, parents)
    return tuple(dict.fromkeys(uses))


def _tests_around(node: ast.expr, parents: dict[ast.AST, ast.AST]) -> Iterator[_Use]:
    """The comparison, or the test of a statement, that an expression stands in."""
    inner: ast.AST = node
    while inner in parents:
        outer = parents[inner]
        if isinstance(outer, ast.Compare) and len(outer.ops) == 1 and type(outer.ops[0]) in SYMBOLS:
            symbol = SYMBOLS[type(outer.ops[0])]
            other = outer.comparators[0] if outer.left is inner else outer.left
            number = other.value if isinstance(other, ast.Constant) and inner is node else None
            bound = float(number) if isinstance(number, int | float) else None
            symbol = symbol if outer.left is inner else TURNED[symbol]
            yield _Use(outer.lineno, outer.col_offset, symbol if bound is not None else "", bound)
            return
        if isinstance(outer, ast.Compare) or (
            isinstance(outer, ast.If | ast.While | ast.IfExp | ast.Assert) and outer.test is inner
        ):
            plain = inner is node and isinstance(outer, ast.If | ast.While | ast.IfExp)
            yield _Use(node.lineno, node.col_offset, "!=" if plain else "", 0.0 if plain else None)
            return
        if isinstance(outer, ast.stmt):
            return
        inner = outer


@cache
def _parsed(file: str) -> tuple[dict[tuple[int, int, int, int], ast.expr], dict[ast.AST, ast.AST]] | None:
    """Calls of a source file by line, last line, column and last column (in bytes), and each node's parent."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None
    calls: dict[tuple[int, int, int, int], ast.expr] = {}
    parents: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            calls[node.lineno, node.end_lineno or 0, node.col_offset, node.end_col_offset or 0] = node
        for child in ast.iter_child_nodes(node):
            parents[child] = node
    return calls, parents


PLAIN = (bool, int, float, str, type(None))
SIZED = (list, dict, set, tuple)
STORES = frozenset(name for name in vars(nn.Module()) if name.startswith("_"))
"""Where every module keeps its parameters, modules and hooks."""


class _State:
    """What a forward may change beside its results: attributes, buffers, random states; and what the model holds."""

    def __init__(self, model: nn.Module) -> None:
        self.modules: dict[int, str] = {}
        self.tensors: set[int] = set()
        self.weights: dict[int, str] = {}
        self._owners: list[tuple[str, str, dict[str, Any]]] = []
        self._keep: list[Any] = [model]
        seen: set[int] = set()
        for path, module in modules_of(model).items():
            own = vars(module)
            self.modules[id(module)] = path
            for name, value in (*own["_parameters"].items(), *own["_buffers"].items()):
                if value is not None:
                    self.tensors.add(id(value))
                    self.weights.setdefault(id(value), f"{path}.{name}" if path else name)
                    self._keep.append(value)
            if own["_buffers"]:
                self._owners.append((path, "", own["_buffers"]))
            if type(module).__module__.startswith("torch.nn."):  # its forward changes nothing but buffers
                continue
            self._owners.append((path, "", own))
            for name, value in own.items():
                if name in STORES or type(value) in PLAIN or type(value) in SIZED:
                    continue
                if isinstance(value, torch.Tensor):
                    self.tensors.add(id(value))
                    self._keep.append(value)
                elif id(value) not in seen and is_plain(value):
                    seen.add(id(value))
                    self._owners.append((path, f"{name}.", value.__dict__))
        self._before = [_snapshot(own) for _, _, own in self._owners]
        self._python = random.getstate()
        self._numpy = np.random.get_state(legacy=False)
        self._torch = torch.random.get_rng_state()

    def drawn(self) -> set[str]:
        """Whose random numbers were drawn since then."""
        found: set[str] = set()
        if random.getstate() != self._python:
            found.add("Python")
        before, after = cast("Any", self._numpy)["state"], cast("Any", np.random.get_state(legacy=False))["state"]
        if before["pos"] != after["pos"] or not np.array_equal(before["key"], after["key"]):
            found.add("NumPy")
        if not torch.equal(torch.random.get_rng_state(), self._torch):
            found.add("torch")
        return found

    def changed(self) -> Iterator[tuple[str, str]]:
        """Modules and attributes that are others now."""
        for (path, prefix, own), before in zip(self._owners, self._before, strict=True):
            after = _snapshot(own)
            if after != before:
                for name in {**before, **after}:
                    if before.get(name, before) != after.get(name, after):
                        yield path, prefix + name


def _snapshot(own: dict[str, Any]) -> dict[str, Any]:
    """Numbers, words, lengths of containers, and versions of tensors among attributes, by their names."""
    found: dict[str, Any] = {}
    for name, value in own.items():
        kind = cast("Any", type(value))
        if kind in PLAIN or kind in WATCHED:
            found[name] = value
        elif name in STORES:
            continue
        elif kind in SIZED:
            found[name] = len(value)
        elif isinstance(value, torch.Tensor):
            found[name] = (id(value), value._version)
    return found
