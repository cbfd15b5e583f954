"""The analysis of a model as plain data: numpy arrays and small dataclasses, no torch.

It takes nothing and computes nothing but lookups: `solve.py` builds it, `costs.py` counts with it, planning marks on
it, surgery cuts by it, and the window shows it. All indices are in the original model's coordinates.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Message

Mask: TypeAlias = NDArray[np.bool_]
"""[S] True where a structure is removed."""


class Kind(StrEnum):
    """What a structure is called."""

    FILTER = "filter"
    NEURON = "neuron"
    HEAD = "head"
    HEAD_DIM = "head dimension"
    WIDTH = "residual width"
    GROUP = "convolution group"
    CHANNEL = "channel"
    BLOCK = "block"


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
    """

    kind: Kind
    name: str
    dim: int
    module: str
    first: int
    count: int
    touches: tuple[tuple[int, int], ...]
    along: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Identity that survives a new analysis: kind, parameter and dimension."""
        return set_key(self.kind, self.name, self.dim)

    @property
    def structures(self) -> slice:
        """The set's structures as a slice of [S] arrays."""
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Fixed:
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
class Operators:
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
class Step:
    """What an operator's result must measure after any cut: the audit of a cut model compares with it.

    Attributes:
        op: Operator ("aten.convolution"), spellings of one product alike.
        module: Module that called it.
        sizes: Original size of each dimension.
        axes: Axis of each dimension, -1 where its size stays.
        scalars: Floating literals, which must not change.
        call: Number of the call in the record.
    """

    op: str
    module: str
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    scalars: tuple[float, ...]
    call: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A size or scale that a module's forward hands to a torch function, where a repair may replace it.

    Attributes:
        module: Path of the module.
        function: Name ("reshape").
        number: The module's k-th call of it.
        sizes: Literal sizes as given.
        axes: Axis of each size, -1 where it stays.
        scalar: Floating literal, None where there is none.
    """

    module: str
    function: str
    number: int
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    scalar: float | None


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
        block_calls: (structure, first, last): calls of the record that vanish with a block.
        sizes: (module, "groups" or "heads", axis, repeats): counts that modules remember; the count is the kept size of
            the axis divided by repeats.
        literals: Sizes and scales written in forwards.
    """

    model: str
    input_shapes: tuple[tuple[int, ...], ...]
    tensors: tuple[TensorInfo, ...]
    modules: tuple[ModuleInfo, ...]
    sets: tuple[CoupledSet, ...]
    fixed: tuple[Fixed, ...]
    index: NDArray[np.int32]
    axis_start: NDArray[np.int64]
    member_start: NDArray[np.int64]
    member_position: NDArray[np.int64]
    operators: Operators
    block_tensor: NDArray[np.int32]
    block_operator: NDArray[np.int32]
    notes: tuple[Message, ...] = ()
    steps: tuple[Step, ...] = ()
    block_calls: tuple[tuple[int, int, int], ...] = ()
    sizes: tuple[tuple[str, str, int, int], ...] = ()
    literals: tuple[Literal, ...] = ()

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

    def set_numbers(self) -> NDArray[np.int32]:
        """[S] number of each structure's set."""
        return np.repeat(np.arange(len(self.sets), dtype=np.int32), [s.count for s in self.sets])

    def removed_positions(self, removed: Mask) -> NDArray[np.bool_]:
        """[P] True where a position of an axis goes: where any structure that holds it goes."""
        gone = np.zeros(int(self.axis_start[-1]), dtype=np.bool_)
        gone[self.member_position[np.repeat(removed, np.diff(self.member_start))]] = True
        return gone

    def kept_indices(self, removed: Mask) -> dict[str, tuple[NDArray[np.int64] | None, ...] | None]:
        """For each tensor that changes: per dimension the original indices it keeps (None: all); None: it vanishes with a block."""
        gone = self.removed_positions(removed)
        kept: dict[str, tuple[NDArray[np.int64] | None, ...] | None] = {}
        for tensor in self.tensors:
            dims = tuple(self._kept_on(axis, gone) for axis in tensor.axes)
            if any(k is not None for k in dims):
                kept[tensor.name] = dims
        for structure, tensor_number in self.block_tensor:
            if removed[structure]:
                kept[self.tensors[tensor_number].name] = None
        return kept

    def _kept_on(self, axis: int, gone: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        if axis < 0:
            return None
        on_axis = gone[self.axis_start[axis] : self.axis_start[axis + 1]]
        return np.flatnonzero(~on_axis) if on_axis.any() else None

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
        return tuple(self.tensors[t].name for s, t in self.block_tensor if s == structure)


def set_key(kind: Kind, name: str, dim: int) -> str:
    """Identity of a coupled set: kind, first parameter, dimension."""
    return f"{kind}|{name}|{dim}"


def identities(analysis: Analysis, removed: Mask) -> dict[str, list[int]]:
    """A mask as what recipes store: set key to original indices."""
    named: dict[str, list[int]] = {}
    for one in analysis.sets:
        marked = np.flatnonzero(removed[one.structures])
        if len(marked):
            named[one.key] = [int(i) for i in analysis.index[one.first + marked]]
    return named


def from_identities(analysis: Analysis, named: dict[str, list[int]]) -> tuple[Mask, list[str]]:
    """The mask that stored identities mean in this analysis, and those that match nothing ("key[index]")."""
    removed, missing = analysis.empty(), list[str]()
    sets = {one.key: one for one in analysis.sets}
    for key, indices in named.items():
        one = sets.get(key)
        places = {} if one is None else {int(i): one.first + n for n, i in enumerate(analysis.index[one.structures])}
        for index in indices:
            if index in places:
                removed[places[index]] = True
            else:
                missing.append(f"{key}[{index}]")
    return removed, missing
