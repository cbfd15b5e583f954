"""The `Analysis` of a model as plain data: numpy arrays and dataclasses. No torch.

It takes nothing and computes nothing but lookups: `solve.py` builds it, `costs.py` counts with it, planning marks on
it, surgery cuts by it, and the window shows it. All indices are in the original model's coordinates.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..tracing.record import RecordedOutput
from .layer_graph import NO_GRAPH, LayerGraph
from .op_sequence import Operation


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
        axes: For each dimension its axis, -1 where it cannot be cut.
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
    """Whether a path is a module's or below it; everything is in the model itself, ""."""
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
        kinds.setdefault(_place_of_key(key), set()).add(key.partition("|")[0])
    found = {key: key for key in named & now}
    for key in named - now:
        kind, _, place = key.partition("|")
        there = kinds.get(_place_of_key(key), set[str]())
        other = f"{min(there, default='')}|{place}"
        if len(there) == 1 and {kind, *there} <= INDEXED and other in now - named:
            found[key] = other
    return found


def _place_of_key(key: str) -> str:
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


Mask: TypeAlias = NDArray[np.bool_]
"""[S] True where a structure is removed."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that can be removed from a model, what goes along, what cannot, and what it costs.

    S structures, A axes, P positions (all axes laid end to end), M memberships, T tensors, O operators.

    Attributes:
        model: The model's name for a person.
        input_shapes: Shapes of the example inputs, batch first; costs are for these at batch 1.
        tensors: [T] parameters and buffers.
        modules: Modules in definition order, root first.
        sets: Coupled sets, in tree order; together they cover 0..S.
        fixed: What cannot be removed, with reasons.
        index: [S] int32, original index of each structure on its set's first parameter dimension
            (its number on the factor axis for heads and head dimensions).
        axis_start: [A + 1] int64, where each axis begins among the positions.
        member_start: [S + 1] int64, CSR over the memberships of each structure.
        member_position: [M] int64, positions that go when the structure goes.
        operators: What costs.
        block_tensor: [*, 2] int32, (structure, tensor): tensors that vanish with a block.
        block_operator: [*, 2] int32, (structure, operator): operators that vanish with a block.
        notes: Remarks for the user (branches not seen, operators without a rule).
        steps: The run, for the audit of a cut model.
        script: Operators and numbers of the run, which a cut must not change.
        block_calls: (structure, first, last): calls of the record that vanish with a block.
        sizes: (module, "groups", "heads" or "repeats" (of a key), axis, repeats): counts that modules remember; the
            count is the kept size of the axis divided by repeats.
        literals: Sizes and scales written in forwards.
        constants: Tensors of the code's own, where forwards combine them with others.
        outputs: Paths of the outputs that were chosen to be preserved, () for the default
            (`tracing.tree.outputs_of`).
        trained: Some parameters work in training mode alone (auxiliary heads): a cut is verified there too.
        compared_sizes: Sizes of weights that the code may compare with those of its inputs (`Record.compared_sizes`).
        weightless: The run knew shapes only, and so does the audit of a cut model.
        stand_ins: What stands in place of the modules of removed blocks; the first of a block is for its own module.
        activations: Memory of the forward.
        constraints: How many indices must stay, whichever: what every plan has to respect.
        bundles: Sets of which the constraints let only certain counts go; all others lose what they like but the last.
        known: What trial cuts have shown about the model's code.
        recorded: Names what the code computes, by every operator of the run and its arguments (`script.digest`): the
            same code on inputs of the same shapes, the same name.
        unused: Modules, and parameters of modules that ran, that no operator of the runs read.
        returned: The model's outputs: those that every plan preserves, and those that may become narrower.
        graph: Which layers feed which.
    """

    model: str
    input_shapes: tuple[tuple[int, ...], ...]
    tensors: tuple[TensorInfo, ...]
    modules: tuple[ModuleInfo, ...]
    sets: tuple[CoupledSet, ...]
    fixed: tuple[FixedAxis, ...]
    index: NDArray[np.int32]
    axis_start: NDArray[np.int64]
    member_start: NDArray[np.int64]
    member_position: NDArray[np.int64]
    operators: CostingOperators
    block_tensor: NDArray[np.int32]
    block_operator: NDArray[np.int32]
    notes: tuple[Message, ...] = ()
    steps: tuple[AuditStep, ...] = ()
    script: tuple[Operation, ...] = ()
    block_calls: tuple[tuple[int, int, int], ...] = ()
    sizes: tuple[tuple[str, str, int, int], ...] = ()
    literals: tuple[Literal, ...] = ()
    constants: tuple[Constant, ...] = ()
    outputs: tuple[str, ...] = ()
    trained: bool = False
    compared_sizes: tuple[int, ...] = ()
    weightless: bool = False
    stand_ins: tuple[StandInSpec, ...] = ()
    activations: Activations = NOTHING_HELD
    constraints: tuple[Constraint, ...] = ()
    bundles: tuple[CountBundle, ...] = ()
    known: KnownRepairs = NO_KNOWN_REPAIRS
    recorded: str = ""
    unused: tuple[str, ...] = ()
    returned: tuple[RecordedOutput, ...] = ()
    graph: LayerGraph = NO_GRAPH

    @property
    def count(self) -> int:
        """S, the number of structures."""
        return len(self.index)

    def empty(self) -> Mask:
        """A mask that removes nothing."""
        return np.zeros(self.count, dtype=np.bool_)

    def set_of(self, structure: int) -> CoupledSet:
        """The coupled set of a structure."""
        return self.sets[int(np.searchsorted([s.first for s in self.sets], structure, side="right")) - 1]

    def axes_of(self, one: CoupledSet) -> set[int]:
        """Axes on which a set's structures have positions."""
        bounds = self.member_start[[one.first, one.first + one.count]]
        positions = self.member_position[bounds[0] : bounds[1]]
        return set((np.searchsorted(self.axis_start, positions, side="right") - 1).tolist())

    def set_numbers(self) -> NDArray[np.int32]:
        """[S] number of each structure's set."""
        return np.repeat(np.arange(len(self.sets), dtype=np.int32), [s.count for s in self.sets])

    def removed_positions(self, removed: Mask) -> NDArray[np.bool_]:
        """[P] True where a position of an axis goes: where any structure that holds it goes."""
        gone = np.zeros(int(self.axis_start[-1]), dtype=np.bool_)
        gone[self.member_position[np.repeat(removed, np.diff(self.member_start))]] = True
        return gone

    def kept_indices(self, removed: Mask) -> dict[str, tuple[NDArray[np.int64] | None, ...] | None]:
        """For each tensor that changes: per dimension the original indices that it keeps (None: all).

        None in place of the dimensions: the tensor vanishes with a block.
        """
        kept: dict[str, tuple[NDArray[np.int64] | None, ...] | None] = {}
        if not removed.any():
            return kept
        gone = self.removed_positions(removed)
        places = np.flatnonzero(gone)
        shorter = np.unique(np.searchsorted(self.axis_start, places, side="right") - 1)
        on_axis = {int(a): np.flatnonzero(~gone[self.axis_start[a] : self.axis_start[a + 1]]) for a in shorter}
        for tensor in self.tensors:
            if any(axis in on_axis for axis in tensor.axes):
                kept[tensor.name] = tuple(on_axis.get(axis) for axis in tensor.axes)
        for structure, tensor_number in self.block_tensor:
            if removed[structure]:
                kept[self.tensors[tensor_number].name] = None
        return kept

    def slices(self, structure: int) -> tuple[Slice, ...]:
        """Everything that goes along with a structure, tensor by tensor (empty for a block: see `block_tensors`)."""
        positions = self.member_position[self.member_start[structure] : self.member_start[structure + 1]]
        axes = np.searchsorted(self.axis_start, positions, side="right") - 1
        found: list[Slice] = []
        on_axis = {int(a): positions[axes == a] - self.axis_start[a] for a in np.unique(axes)}
        for tensor in self.tensors:
            for dim, axis in enumerate(tensor.axes):
                if axis in on_axis:
                    found.append(Slice(tensor.name, dim, on_axis[axis]))
        return tuple(found)

    def block_tensors(self, structure: int) -> tuple[str, ...]:
        """Names of the tensors that vanish with a block."""
        gone: NDArray[np.int32] = self.block_tensor[self.block_tensor[:, 0] == structure, 1]
        return tuple(self.tensors[int(tensor)].name for tensor in gone)


def identities(analysis: Analysis, removed: Mask) -> dict[str, list[int]]:
    """A mask as what recipes store: set key to original indices."""
    named: dict[str, list[int]] = {}
    for one in analysis.sets:
        marked = np.flatnonzero(removed[one.structures])
        if len(marked):
            named[one.key] = [int(i) for i in analysis.index[one.first + marked]]
    return named


def from_identities(analysis: Analysis, named: dict[str, list[int]]) -> tuple[Mask, list[str]]:
    """The mask that stored identities mean in this analysis (`matching_keys`), and what matches none ("key[index]")."""
    removed, missing = analysis.empty(), list[str]()
    sets = {one.key: one for one in analysis.sets}
    known = matching_keys(named, sets)
    for key, indices in named.items():
        one = sets.get(known.get(key, ""))
        places = {} if one is None else {int(i): one.first + n for n, i in enumerate(analysis.index[one.structures])}
        for index in indices:
            if index in places:
                removed[places[index]] = True
            else:
                missing.append(f"{key}[{index}]")
    return removed, missing
