"""The dataclasses of an analysis: tensors, modules, coupled sets, fixed axes, costs, audit steps.

Plain data, no torch. Everybody imports these from `analysis.py`, which puts them together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message


class Kind(StrEnum):
    """What a structure is called."""

    FILTER = "filter"
    NEURON = "neuron"
    HEAD = "head"
    KV_GROUP = "key/value group"
    EXPERT = "expert"
    HEAD_DIM = "head dimension"
    WIDTH = "residual width"
    GROUP = "channel group"
    UNIT = "recurrent unit"
    CHANNEL = "channel"
    BLOCK = "block"


INDEXED = frozenset({Kind.FILTER, Kind.NEURON, Kind.CHANNEL, Kind.UNIT, Kind.WIDTH})
"""Kinds that count single indices of a parameter's dimension: another version may have called the same indices so."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A parameter or buffer of the model.

    Attributes:
        name: Canonical state-dict name (the first of tied names).
        shape: Original shape.
        parameter: True for a parameter, False for a buffer.
        axes: For each dimension the axis it lies on, -1 where it cannot be cut.
        aliases: Further names of the same tensor (tied weights).
        module: Path of the module that owns it.
    """

    name: str
    shape: tuple[int, ...]
    parameter: bool
    axes: tuple[int, ...]
    aliases: tuple[str, ...]
    module: str


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """A module of the model: path ("layer1.0.conv1", "" for the root), class name and a few words ("3x3, stride 2")."""

    path: str
    type_name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CoupledSet:
    """Structures that live on the same axes: `first` to `first + count` of the analysis.

    Attributes:
        kind: What each structure is.
        name: Canonical name of the first parameter ("layer1.0.conv1.weight"), for a block the module path.
        dim: Dimension of that parameter, -1 for a block.
        module: Module path under which the set is shown.
        first: Number of the first structure.
        count: How many structures.
        touches: (tensor, dimension) pairs the set's structures have slices in, the first parameter first.
        along: Module paths of the layers that are coupled in this set, besides `module`.
        part: Number among the sets of this kind that begin on the same dimension (halves of a split, two factors).
    """

    kind: Kind
    name: str
    dim: int
    module: str
    first: int
    count: int
    touches: tuple[tuple[int, int], ...]
    along: tuple[str, ...] = ()
    part: int = 0

    @property
    def key(self) -> str:
        """Identity that survives a new analysis: kind, parameter, dimension, and the part where there are several."""
        return set_key(self.kind, self.name, self.dim, self.part)

    @property
    def structures(self) -> slice:
        """The set's structures as a slice of [S] arrays."""
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class FixedAxis:
    """An axis of a parameter that cannot be cut, or only in part.

    Attributes:
        tensor: Tensor number.
        dim: Its dimension.
        count: How many of its indices are fixed.
        reason: Why, in words.
        module: Module whose operator caused it.
    """

    tensor: int
    dim: int
    count: int
    reason: Message
    module: str


@dataclass(frozen=True, slots=True)
class Slice:
    """What a structure has in one dimension of one tensor: a set of indices."""

    tensor: str
    dim: int
    indices: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CostingOperators:
    """The operators that cost multiply-accumulates: `macs = constant * product of kept sizes`, at batch 1.

    Attributes:
        constant: [O] int64, what no axis expresses (space, kernel, sequence).
        axes: [O, 4] int32, axes multiplied, -1 where unused.
        module: For each operator the path of the module that called it.
        name: For each operator its name.
    """

    constant: NDArray[np.int64]
    axes: NDArray[np.int32]
    module: tuple[str, ...]
    name: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Activations:
    """The memory of one forward that is not the model's own; views share the memory that they show.

    V pieces of memory of `constant * product of kept sizes` bytes.

    Attributes:
        constant: [V] int64, bytes of an element times what no axis expresses.
        axes: [V, R] int32, axes multiplied, -1 where unused.
        first: [V] int64, number of the call that makes it; 0 for inputs.
        last: [V] int64, number of the first call at whose end it is freed; `calls` where it outlives the forward,
            `first` for a copy that only the backward pass needs.
        given: [V] the model's inputs.
        saved: [*, 2] int64, (call, memory): what autograd keeps for the backward pass, and the call that needs it.
        handed: [*, 4] int64, (structure, memory, instead, call): what is there in place of a removed block's result, in
            the order of the run: other memory, or (-1) zeros or a copy of the same size made at this call.
        calls: Number of calls.
    """

    constant: NDArray[np.int64]
    axes: NDArray[np.int32]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    given: NDArray[np.bool_]
    saved: NDArray[np.int64]
    handed: NDArray[np.int64]
    calls: int


NOTHING_HELD = Activations(
    np.zeros(0, np.int64), np.zeros((0, 1), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64),
    np.zeros(0, np.bool_), np.zeros((0, 2), np.int64), np.zeros((0, 4), np.int64), 0,
)  # fmt: skip
"""Of an analysis that was made by hand."""


@dataclass(frozen=True, slots=True)
class AuditStep:
    """What an operator's result must measure after any cut: the audit of a cut model compares with it.

    Attributes:
        op: Operator ("aten.convolution"), spellings of one product alike.
        module: Module that called it.
        sizes: Original size of each dimension.
        axes: Axis of each dimension, -1 where its size stays.
        scalars: Floating literals, which must not change.
        call: Number of the call in the record.
        dead: Nothing depends on it (a check of sizes), so only that it runs counts.
    """

    op: str
    module: str
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    scalars: tuple[float, ...]
    call: int
    dead: bool = False


class CountRule(StrEnum):
    """What a constraint says about counts."""

    EQUAL = "equal counts"
    PROPORTIONAL = "equal shares"
    AT_LEAST = "at least"
    MULTIPLE = "multiple of"
    WHOLE = "all of"


@dataclass(frozen=True, slots=True)
class Constraint:
    """How many indices of axes must stay, whichever these are.

    Attributes:
        kind: What is said about the counts.
        axes: Axes of which equally many stay, -1 for one of which all `number` do, or of which the same share stays; or
            the one whose size is meant; none where no structure of the sets may go.
        number: Original size of the axes, or the least common multiple of their sizes where shares are equal; or how
            many stay at least, or of what as many stay as a multiple has.
        sets: Numbers of the coupled sets on which it depends.
        reason: Why, in words.
        module: Module whose operator caused it.
    """

    kind: CountRule
    axes: tuple[int, ...]
    number: int
    sets: tuple[int, ...]
    reason: Message
    module: str


@dataclass(frozen=True, slots=True)
class CountBundle:
    """Coupled sets that lose structures in step, so that all constraints hold: the smallest step, and how many.

    Attributes:
        sets: Numbers of the sets.
        sizes: How many structures each of them loses in a step.
        most: How many steps the original can lose.
    """

    sets: tuple[int, ...]
    sizes: tuple[int, ...]
    most: int


@dataclass(frozen=True, slots=True)
class StandInSpec:
    """What a removed block leaves in place of one of its modules: a module that computes nothing.

    Attributes:
        structure: The block.
        path: The module.
        result: What it returns, as JSON: {"input": place} what it was given there ("0" by position, "mask" by name,
            "0.1" the second in a tuple), {"copy": place} a copy of it, {"zeros": place} zeros of its shape, null,
            {"constant": value}, or {"tuple": [...]}, {"list": [...]}, {"dict": {...}},
            {"class": "module:Name", "fields": {...}} of these.
    """

    structure: int
    path: str
    result: Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A number that a module's forward hands to a torch function, where a repair may replace it.

    Attributes:
        module: Path of the module.
        site: Place in its code (`runtime.load_pruned.call_site`).
        number: It is the module's k-th call from there.
        where: Place among the arguments.
        value: As the code gave it.
        axis: Axis whose size it is, -1 for a number to compute with, which must stay as it is.
        free: A size in which the batch, or another number that no axis has, is a factor; torch can work it out.
        repeats: That factor.
        counted: The axis that has each index once; -1 where there is no such factor.
        alone: No operator that is compared has a result of that size (groups of a shuffle), so that only the number
            itself shows whether it is right.
    """

    module: str
    site: str
    number: int
    where: str
    value: int | float
    axis: int
    free: bool = False
    repeats: int = 1
    counted: int = -1
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that no parameter, buffer or input makes, where a forward combines it with others: cut at that place.

    Attributes:
        module: Path of the module.
        site: Place in its code (`runtime.load_pruned.call_site`).
        number: It is the module's k-th call from there.
        where: Place among the arguments.
        shape: Its size in the original.
        axes: Axis of each dimension, -1 where its size stays.
    """

    module: str
    site: str
    number: int
    where: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


def inside(path: str, module: str) -> bool:
    """Whether a path is a module's or lies below it; everything lies in the model itself, ""."""
    return not module or path == module or path.startswith(f"{module}.")


def set_key(kind: Kind, name: str, dim: int, part: int = 0) -> str:
    """Identity of a coupled set: kind, first parameter, dimension, and which of several there."""
    return f"{kind}|{name}|{dim}" + (f"|{part}" if part else "")


def matching_keys(stored: Iterable[str], present: Iterable[str]) -> dict[str, str]:
    """Stored keys of sets with the present key of each; those that match none are left out.

    A set that is only of another kind than it was is found by parameter, dimension and part, where both kinds count
    single indices (`INDEXED`), all sets that begin there now are of one kind, and none has been stored as that.
    """
    named, now, kinds = set(stored), set(present), dict[str, set[str]]()
    for key in now:
        kinds.setdefault(_beginning(key), set()).add(key.partition("|")[0])
    found = {key: key for key in named & now}
    for key in named - now:
        kind, _, place = key.partition("|")
        there = kinds.get(_beginning(key), set[str]())
        other = f"{min(there, default='')}|{place}"
        if len(there) == 1 and {kind, *there} <= INDEXED and other in now - named:
            found[key] = other
    return found


def _beginning(key: str) -> str:
    """Parameter and dimension of a set's key."""
    return "|".join(key.split("|")[1:3])


@dataclass(frozen=True, slots=True)
class KnownRepairs:
    """What trial cuts have shown about a model's code: a first guess for the next cut, no more.

    Attributes:
        attributes: (module path, attribute, axes): for each of its numbers the axes that it may be the size of, none
            for one that stays.
        literals: (module path, call site, place among the arguments) of the numbers that had to be replaced.
        given: The same of numbers that the code gave by itself in a cut that changed what they follow. A number that is
            in both depends on the cut: no guess replaces it.
    """

    attributes: tuple[tuple[str, str, tuple[tuple[int, ...], ...]], ...] = ()
    literals: tuple[tuple[str, str, str], ...] = ()
    given: tuple[tuple[str, str, str], ...] = ()


NO_KNOWN_REPAIRS = KnownRepairs()
