"""Which slices of the weights count for which structure, in the present shapes of the tensors.

*Producers* are the weights that compute a structure: the first parameter of its set always, and every weight of two or
more dimensions that has the set on an output dimension. *Consumers* are those that read it, on their input dimension; a
set without any (its readers have no weights) falls back to its producers. Vectors (biases, scales and shifts of norms)
are on another scale and count in neither; buffers never do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, CoupledSet
from .choices import Slices
from .roles import Roles, roles_of

Kept = dict[str, tuple[NDArray[np.int64] | None, ...] | None]
"""What `Analysis.kept_indices` gives."""


@dataclass(frozen=True, slots=True)
class Place:
    """A dimension of a tensor that counts, and who owns what of it.

    Attributes:
        tensor: Name of the tensor.
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
class Places:
    """The slices that count for a score: places in the order of their tensors, and S, the number of structures."""

    places: tuple[Place, ...]
    structures: int


def places_of(analysis: Analysis, kept: Kept, slices: Slices) -> Places:
    """The slices that count: of the weights that compute the structures, of those that read them, or of both."""
    roles = roles_of(analysis)

    def counts(one: CoupledSet) -> set[tuple[int, int]]:
        produced = _produced(analysis, roles, one.touches)
        read = {(t, d) for t, d in one.touches if d in roles.inputs[t]}
        if slices is Slices.CONSUMERS:
            return read or produced
        return produced if slices is Slices.PRODUCERS else produced | read

    return _places(analysis, kept, counts)


def axis_places(analysis: Analysis, kept: Kept, tensors: set[int]) -> Places:
    """Every dimension of these tensors that structures lie on."""
    return _places(analysis, kept, lambda one: {(t, d) for t, d in one.touches if t in tensors})


def _produced(analysis: Analysis, roles: Roles, touches: tuple[tuple[int, int], ...]) -> set[tuple[int, int]]:
    first = [(t, d) for t, d in touches if analysis.tensors[t].parameter][:1]
    return {*first, *((t, d) for t, d in touches if d in roles.outputs[t])}


def _places(analysis: Analysis, kept: Kept, counts: Callable[[CoupledSet], set[tuple[int, int]]]) -> Places:
    """The places that count for each set, those of one dimension of a tensor together."""
    owners: dict[tuple[int, int], list[CoupledSet]] = {}
    for one in analysis.sets:
        for pair in counts(one):
            owners.setdefault(pair, []).append(one)
    found = (_place(analysis, kept, pair, owners[pair]) for pair in sorted(owners))
    return Places(tuple(place for place in found if place is not None), analysis.count)


def _place(analysis: Analysis, kept: Kept, pair: tuple[int, int], owners: list[CoupledSet]) -> Place | None:
    """What sets own of a dimension; None where it lies on no axis or its tensor is gone."""
    tensor, dim = analysis.tensors[pair[0]], pair[1]
    dims, axis = kept.get(tensor.name, (None,) * len(tensor.shape)), tensor.axes[dim]
    if dims is None or axis < 0:
        return None
    left = dims[dim]
    now = np.full(tensor.shape[dim], -1, dtype=np.int64)
    now[slice(None) if left is None else left] = np.arange(tensor.shape[dim] if left is None else len(left))
    structures, indices = zip(*(_owned(analysis, one, axis) for one in owners), strict=True)
    structure, index = np.concatenate(structures), now[np.concatenate(indices)]
    return Place(tensor.name, dim, int((now >= 0).sum()), structure[index >= 0], index[index >= 0])


def _owned(analysis: Analysis, one: CoupledSet, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """([n] structures of a set, [n] the original index of an axis that each owns)."""
    bounds = analysis.member_start[one.first : one.first + one.count + 1]
    members = analysis.member_position[bounds[0] : bounds[-1]]
    structures = np.repeat(np.arange(one.first, one.first + one.count), np.diff(bounds))
    first, last = analysis.axis_start[axis : axis + 2]
    here = (members >= first) & (members < last)
    return structures[here], members[here] - first
