"""The `Analysis` of a model as plain data: numpy arrays and the dataclasses of `types.py`. No torch.

It takes nothing and computes nothing but lookups: `solve.py` builds it, `costs.py` counts with it, planning marks on
it, surgery cuts by it, and the window shows it. All indices are in the original model's coordinates.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..tracing.record import RecordedOutput
from .layer_graph import NO_GRAPH, LayerGraph
from .op_sequence import Operation
from .types import (
    NO_KNOWN_REPAIRS,
    NOTHING_HELD,
    Activations,
    AuditStep,
    Constant,
    Constraint,
    CostingOperators,
    CountBundle,
    CountRule,
    CoupledSet,
    FixedAxis,
    Kind,
    KnownRepairs,
    Literal,
    ModuleInfo,
    Slice,
    StandInSpec,
    TensorInfo,
    matching_keys,
    set_key,
)

__all__ = [
    "NO_KNOWN_REPAIRS",
    "Activations",
    "Analysis",
    "AuditStep",
    "Constant",
    "Constraint",
    "CostingOperators",
    "CountBundle",
    "CountRule",
    "CoupledSet",
    "FixedAxis",
    "Kind",
    "KnownRepairs",
    "Literal",
    "Mask",
    "ModuleInfo",
    "RecordedOutput",
    "Slice",
    "StandInSpec",
    "TensorInfo",
    "from_identities",
    "identities",
    "matching_keys",
    "set_key",
]

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
