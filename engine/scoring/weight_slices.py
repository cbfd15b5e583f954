"""The slices of weights that count for each structure, in the present shapes of the tensors.

*Producers* are the weights that compute a structure: the first parameter of its set (a bias makes way for the weight
of its layer), and every weight of two or more dimensions that has the set on an output dimension. *Consumers* are those
that read it, on their input dimension; a set without any (its readers have no weights) falls back to its producers.
Vectors (biases, scales and shifts of norms) are on another scale and count in neither; buffers never do. A tied tensor
has a place in each of its uses, as if it were two tensors: the head reads a width that the embedding computes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, CoupledSet, TensorInfo
from ..structures.transition import KeptIndices
from .score_options import Slices

REVERSED = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Conv1D", "Embedding"})
"""Module types whose weight has its inputs on dimension 0 and its outputs on dimension 1."""

PARAMETRISED = ".parametrizations."
"""Between the path of a module and the name of its weight, in the path of what holds the weight's factors."""


@dataclass(frozen=True, slots=True)
class TiedUse:
    """A further use of a tied tensor, in which its dimensions are for something else.

    Attributes:
        tensor: Canonical name of the tensor.
        names: Its names in this use; the first one stands for the use.
        outputs: Dimensions that it computes there.
        inputs: Dimensions that it reads there.
    """

    tensor: str
    names: tuple[str, ...]
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WeightRoles:
    """What the dimensions of the weights are for; T tensors.

    Attributes:
        outputs: [T] dimensions whose indices a weight computes, the last one its features; () for what is no weight.
        inputs: [T] dimensions that it reads.
        tied: Number of a tied tensor -> its other use; `outputs` and `inputs` are those of its canonical name.
        grouped: Number of the weight of a grouped transposed convolution -> axis of its groups. Its inputs lie group by
            group, and a group of outputs is computed by the same indices: along groups, they are outputs.
    """

    outputs: list[tuple[int, ...]]
    inputs: list[tuple[int, ...]]
    tied: dict[int, TiedUse] = field(default_factory=dict[int, TiedUse])
    grouped: dict[int, int] = field(default_factory=dict[int, int])


def roles_of(analysis: Analysis) -> WeightRoles:
    """Outputs on dimension 0 and inputs on dimension 1, or the other way round; in stacks behind the expert's number.

    Which way round a stack is shows at the set that begins on it: its first parameter computes it.
    """
    tensors = analysis.tensors
    types = {module.path: module.type_name for module in analysis.modules}
    # One matrix for each expert.
    stacks = {
        n
        for n, one in enumerate(tensors)
        if one.parameter and len(one.shape) == 3 and one.shape[0] > 1 and "Conv" not in types.get(one.module, "")
    }
    begins = (one.touches[0] for one in analysis.sets if one.touches)
    computed = {tensors[t].module: d for t, d in begins if t in stacks and d > 0}
    # Lengths and other factors scale a weight: what they are multiplied into is what counts.
    scales = {n for group in factors_of(tensors).values() for n in group[:-1]}
    groups = {module: axis for module, what, axis, _ in analysis.sizes if what == "groups"}
    found = WeightRoles([], [])
    for n, one in enumerate(tensors):
        outputs, inputs, owner = (), (), owner_of(one.module)
        if one.parameter and len(one.shape) > 1 and n not in scales:
            if n in stacks and one.module in computed:
                dim = computed[one.module]
                outputs, inputs = (0, dim), (3 - dim,)
            else:
                dim = _computed_dim(one, types.get(owner, "").removeprefix("Parametrized"))
                outputs, inputs = (dim,), (1 - dim,)
        found.outputs.append(outputs)
        found.inputs.append(inputs)
        if inputs == (0,) and owner in groups:
            found.grouped[n] = groups[owner]
        if not (one.aliases and one.parameter and len(one.shape) > 1) or n in stacks:
            continue
        # Of a tied tensor a further use counts where the modules of other names have it the other way round.
        named = {name: types.get(name.rpartition(".")[0]) for name in (one.name, *one.aliases)}
        made = {name: _computed_dim(one, type_name) for name, type_name in named.items() if type_name is not None}
        names = tuple(name for name in made if made[name] != made.get(one.name, 0))
        if names:
            found.tied[n] = TiedUse(one.name, names, (made[names[0]],), (1 - made[names[0]],))
    return found


def owner_of(module: str) -> str:
    """Path of the module that runs the weight whose factors a module holds; any other module's own path."""
    return module.partition(PARAMETRISED)[0]


def factors_of(tensors: tuple[TensorInfo, ...]) -> dict[str, list[int]]:
    """Name of a weight that is made of parameters -> numbers of these, the one that has the weight's shape last.

    Factors are what a parametrisation holds, and the directions and lengths of weight norm.
    """
    found: dict[str, list[int]] = {}
    for number, one in enumerate(tensors):
        owner, parametrised, weight = one.module.partition(PARAMETRISED)
        if one.parameter and parametrised:
            found.setdefault(f"{owner}.{weight}", []).append(number)
    numbers = {one.name: number for number, one in enumerate(tensors) if one.parameter}
    for name, number in numbers.items():
        lengths = numbers.get(f"{name[:-2]}_g") if name.endswith("_v") else None
        if lengths is not None:
            # Lengths are one number for each index of a dimension, or one for all.
            shape, directions = tensors[lengths].shape, tensors[number].shape
            same = [n for n, size in zip(shape, directions, strict=False) if n == size and n > 1]
            if not shape or (len(shape) == len(directions) and len(same) <= 1 and prod(shape) == prod(same)):
                found[name[:-2]] = [lengths, number]
    return {
        name: sorted(group, key=lambda n: (prod(tensors[n].shape), tensors[n].name)) for name, group in found.items()
    }


def _computed_dim(tensor: TensorInfo, type_name: str) -> int:
    """The dimension that a module computes; of tied tensors also an embedding of another class is known by its name."""
    return int(type_name in REVERSED or (bool(tensor.aliases) and type_name.endswith("Embedding")))


SliceKey = tuple[int, int, str]
"""(tensor, dimension, name of its use)."""
WeightUse = tuple[str, tuple[int, ...], tuple[int, ...]]
"""(name, dimensions that it computes, dimensions that it reads)."""


@dataclass(frozen=True, slots=True)
class WeightSlice:
    """A dimension of a tensor that counts, and who owns what of it.

    Attributes:
        tensor: Name of the tensor in the use that counts: its canonical one, or the first of a further use.
        dim: The dimension.
        size: How many indices it has left.
        structures: [n] numbers of structures, in order.
        indices: [n] the index that each owns.
    """

    tensor: str
    dim: int
    size: int
    structures: NDArray[np.int64]
    indices: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WeightSlices:
    """The slices that count for a score.

    Attributes:
        slices: In the order of their tensors.
        structures: S, the number of structures.
        tied: Further uses of tied tensors.
    """

    slices: tuple[WeightSlice, ...]
    structures: int
    tied: tuple[TiedUse, ...] = ()


def slices_of(analysis: Analysis, kept: KeptIndices, slices: Slices) -> WeightSlices:
    """The slices that count: of the weights that compute the structures, of those that read them, or of both."""
    roles = roles_of(analysis)

    def counts(one: CoupledSet) -> set[SliceKey]:
        uses = {t: tuple(_uses(analysis, roles, one, t)) for t, _ in one.touches}
        produced = _produced_slices(analysis, uses, one.touches)
        read = {(t, d, name) for t, d in one.touches for name, _, inputs in uses[t] if d in inputs}
        if slices is Slices.CONSUMERS:
            return read or produced
        return produced if slices is Slices.PRODUCERS else produced | read

    return _collect_slices(analysis, kept, counts, tuple(roles.tied.values()))


def axis_slices(analysis: Analysis, kept: KeptIndices, tensors: set[int]) -> WeightSlices:
    """Every dimension of these tensors that structures lie on."""
    return _collect_slices(
        analysis, kept, lambda one: {(t, d, analysis.tensors[t].name) for t, d in one.touches if t in tensors}
    )


def _produced_slices(
    analysis: Analysis, uses: dict[int, tuple[WeightUse, ...]], touches: tuple[tuple[int, int], ...]
) -> set[SliceKey]:
    """Slices of the weights that compute a set; its first parameter is one, if it is not a vector of their layers."""
    made = {(t, d, name) for t, d in touches for name, outputs, _ in uses[t] if d in outputs}
    rated = ((t, d) for t, d in touches if len(analysis.tensors[t].shape) < 2 or uses[t][0][1])
    first = next(((t, d) for t, d in rated if analysis.tensors[t].parameter), None)
    if first is None or any(spot[:2] == first for spot in made):
        return made
    vector = analysis.tensors[first[0]]
    # A bias goes with the weight of its layer; a norm's scale belongs to no such weight, and counts.
    owners_of_made = {owner_of(analysis.tensors[t].module) for t, _, _ in made} if len(vector.shape) < 2 else set[str]()
    return made if vector.module in owners_of_made else {*made, (*first, vector.name)}


def _uses(analysis: Analysis, roles: WeightRoles, one: CoupledSet, tensor: int) -> Iterator[WeightUse]:
    """Each use of a tensor in which a set has structures."""
    if tensor in roles.grouped and roles.grouped[tensor] in analysis.axes_of(one):
        yield analysis.tensors[tensor].name, (0,), ()
        return
    yield analysis.tensors[tensor].name, roles.outputs[tensor], roles.inputs[tensor]
    if tensor in roles.tied:
        other = roles.tied[tensor]
        yield other.names[0], other.outputs, other.inputs


def _collect_slices(
    analysis: Analysis, kept: KeptIndices, counts: Callable[[CoupledSet], set[SliceKey]], tied: tuple[TiedUse, ...] = ()
) -> WeightSlices:
    """The slices that count for each set; those of one dimension of a use are one."""
    owners: dict[SliceKey, list[CoupledSet]] = {}
    for one in analysis.sets:
        for spot in counts(one):
            owners.setdefault(spot, []).append(one)
    found: list[WeightSlice] = []
    for number, dim, use in sorted(owners):
        tensor = analysis.tensors[number]
        dims, axis = kept.get(tensor.name, (None,) * len(tensor.shape)), tensor.axes[dim]
        # The tensor is gone, or nothing of this dimension can go.
        if dims is None or axis < 0:
            continue
        # Scores are made on the cut model: original indices become those that are left.
        left = dims[dim]
        now = np.full(tensor.shape[dim], -1, dtype=np.int64)
        now[slice(None) if left is None else left] = np.arange(tensor.shape[dim] if left is None else len(left))
        structures, indices = zip(
            *(owned_indices(analysis, one, axis) for one in owners[number, dim, use]), strict=True
        )
        structure, index = np.concatenate(structures), now[np.concatenate(indices)]
        found.append(WeightSlice(use, dim, int((now >= 0).sum()), structure[index >= 0], index[index >= 0]))
    return WeightSlices(tuple(found), analysis.count, tied)


def owned_indices(analysis: Analysis, one: CoupledSet, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """([n] structures of a set, [n] the original index of an axis that each owns)."""
    bounds = analysis.member_start[one.first : one.first + one.count + 1]
    members = analysis.member_position[bounds[0] : bounds[-1]]
    structures = np.repeat(np.arange(one.first, one.first + one.count), np.diff(bounds))
    first, last = analysis.axis_start[axis : axis + 2]
    here = (members >= first) & (members < last)
    return structures[here], members[here] - first
