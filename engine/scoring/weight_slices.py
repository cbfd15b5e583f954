"""The slices of weights that count for each structure, in the present shapes of the tensors.

*Producers* are the weights that compute a structure: the first parameter of its set (a bias makes way for the weight
of its layer), and every weight of two or more dimensions that has the set on an output dimension. *Consumers* are those
that read it, on their input dimension; a set without any (its readers have no weights) falls back to its producers.
Vectors (biases, scales and shifts of norms) are on another scale and count in neither; buffers never do. A tied tensor
has a place in each of its uses, as if it were two tensors: the head reads a width that the embedding computes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, CoupledSet
from ..structures.transition import KeptIndices
from .score_options import Slices
from .weight_roles import TiedUse, WeightRoles, owner_of, roles_of

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
        produced = _produced(analysis, uses, one.touches)
        read = {(t, d, name) for t, d in one.touches for name, _, inputs in uses[t] if d in inputs}
        if slices is Slices.CONSUMERS:
            return read or produced
        return produced if slices is Slices.PRODUCERS else produced | read

    return _collected(analysis, kept, counts, tuple(roles.tied.values()))


def axis_slices(analysis: Analysis, kept: KeptIndices, tensors: set[int]) -> WeightSlices:
    """Every dimension of these tensors that structures lie on."""
    return _collected(
        analysis, kept, lambda one: {(t, d, analysis.tensors[t].name) for t, d in one.touches if t in tensors}
    )


def _produced(
    analysis: Analysis, uses: dict[int, tuple[WeightUse, ...]], touches: tuple[tuple[int, int], ...]
) -> set[SliceKey]:
    made = {(t, d, name) for t, d in touches for name, outputs, _ in uses[t] if d in outputs}
    rated = ((t, d) for t, d in touches if len(analysis.tensors[t].shape) < 2 or uses[t][0][1])
    first = next(((t, d) for t, d in rated if analysis.tensors[t].parameter), None)
    if first is None or any(spot[:2] == first for spot in made):
        return made
    vector = analysis.tensors[first[0]]
    beside = {owner_of(analysis.tensors[t].module) for t, _, _ in made} if len(vector.shape) < 2 else set[str]()
    return made if vector.module in beside else {*made, (*first, vector.name)}


def _uses(analysis: Analysis, roles: WeightRoles, one: CoupledSet, tensor: int) -> Iterator[WeightUse]:
    """Each use of a tensor, as a set lies on it."""
    if tensor in roles.grouped and roles.grouped[tensor] in analysis.axes_of(one):
        yield analysis.tensors[tensor].name, (0,), ()
        return
    yield analysis.tensors[tensor].name, roles.outputs[tensor], roles.inputs[tensor]
    if tensor in roles.tied:
        other = roles.tied[tensor]
        yield other.names[0], other.outputs, other.inputs


def _collected(
    analysis: Analysis, kept: KeptIndices, counts: Callable[[CoupledSet], set[SliceKey]], tied: tuple[TiedUse, ...] = ()
) -> WeightSlices:
    """The slices that count for each set; those of one dimension of a use are one."""
    owners: dict[SliceKey, list[CoupledSet]] = {}
    for one in analysis.sets:
        for spot in counts(one):
            owners.setdefault(spot, []).append(one)
    found = (_slice(analysis, kept, spot, owners[spot]) for spot in sorted(owners))
    return WeightSlices(tuple(place for place in found if place is not None), analysis.count, tied)


def _slice(analysis: Analysis, kept: KeptIndices, spot: SliceKey, owners: list[CoupledSet]) -> WeightSlice | None:
    """What sets own of a dimension; None where it lies on no axis or its tensor is gone."""
    tensor, dim = analysis.tensors[spot[0]], spot[1]
    dims, axis = kept.get(tensor.name, (None,) * len(tensor.shape)), tensor.axes[dim]
    if dims is None or axis < 0:
        return None
    left = dims[dim]
    now = np.full(tensor.shape[dim], -1, dtype=np.int64)
    now[slice(None) if left is None else left] = np.arange(tensor.shape[dim] if left is None else len(left))
    structures, indices = zip(*(owned(analysis, one, axis) for one in owners), strict=True)
    structure, index = np.concatenate(structures), now[np.concatenate(indices)]
    return WeightSlice(spot[2], dim, int((now >= 0).sum()), structure[index >= 0], index[index >= 0])


def owned(analysis: Analysis, one: CoupledSet, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """([n] structures of a set, [n] the original index of an axis that each owns)."""
    bounds = analysis.member_start[one.first : one.first + one.count + 1]
    members = analysis.member_position[bounds[0] : bounds[-1]]
    structures = np.repeat(np.arange(one.first, one.first + one.count), np.diff(bounds))
    first, last = analysis.axis_start[axis : axis + 2]
    here = (members >= first) & (members < last)
    return structures[here], members[here] - first
