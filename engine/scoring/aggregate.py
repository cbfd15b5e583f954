"""From numbers per weight to numbers per structure: pure numpy, by the memberships of the analysis.

A weight tensor has an importance for every element. Summed over all dimensions but one it becomes a vector along an
axis; a structure gets the sum over the indices it owns (one for a filter, many for a head).

Which slices count. *Producers* are the weights that compute a structure: the first parameter of its set always, and
every weight of two or more dimensions that has the set on its output dimension. *Consumers* are those that read it, on
their input dimension; a set without any (its readers have no weights) falls back to its producers. Vectors (biases,
scales and shifts of norms) are on another scale and count in neither; buffers never do.

How they are combined. *Sum* and *mean* run over all weights of all slices; *max* takes the slice with the largest mean,
so that a structure counts as much as the layer that needs it most.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, CoupledSet, Kind, TensorInfo
from .choices import Combine, Slices

Kept = dict[str, tuple[NDArray[np.int64] | None, ...] | None]
"""What `Analysis.kept_indices` gives."""

Elements = Callable[[str], NDArray[np.floating] | None]
"""Name of a tensor -> importance of each of its elements, in its present shape; None to leave it out."""

REVERSED = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Conv1D", "Embedding"})
"""Module types whose weight has its inputs on dimension 0 and its outputs on dimension 1."""


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
    outputs = output_dims(analysis)

    def counts(one: CoupledSet) -> set[tuple[int, int]]:
        produced = _produced(analysis, outputs, one.touches)
        read = {(t, d) for t, d in one.touches if _is_weight(analysis.tensors[t]) and d == 1 - outputs[t]}
        if slices is Slices.CONSUMERS:
            return read or produced
        return produced if slices is Slices.PRODUCERS else produced | read

    return _places(analysis, kept, counts)


def axis_places(analysis: Analysis, kept: Kept, tensors: set[int]) -> Places:
    """Every dimension of these tensors that structures lie on."""
    return _places(analysis, kept, lambda one: {(t, d) for t, d in one.touches if t in tensors})


def structure_sums(places: Places, elements: Elements) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """([S] sums of importances, [S] number of weights they are sums of)."""
    sums, counts = np.zeros(places.structures), np.zeros(places.structures)
    for place, importance in _importances(places, elements):
        total, number = _on_place(places, place, importance)
        sums += total
        counts += number
    return sums, counts


def combined(places: Places, elements: Elements, how: Combine) -> NDArray[np.float64]:
    """[S] importance of each structure, NaN where it has no weight that counts."""
    if how is Combine.MAX:
        return _largest(places, elements)
    sums, counts = structure_sums(places, elements)
    return sums / counts if how is Combine.MEAN else np.where(counts > 0, sums, np.nan)


def counted(places: Places) -> NDArray[np.bool_]:
    """[S] True where a structure has weights that count."""
    found = np.zeros(places.structures, dtype=np.bool_)
    for place in places.places:
        found[place.structures] = True
    return found


def _importances(places: Places, elements: Elements) -> Iterator[tuple[Place, NDArray[np.floating]]]:
    """Each place with its tensor's importances, asked for once a tensor."""
    name, importance = "", None
    for place in places.places:
        if place.tensor != name:
            name, importance = place.tensor, elements(place.tensor)
        if importance is not None:
            yield place, importance


def _on_place(
    places: Places, place: Place, importance: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """([S] sums of importances, [S] numbers of weights) on one place."""
    others = tuple(d for d in range(importance.ndim) if d != place.dim)
    along = importance.sum(axis=others, dtype=np.float64)
    sums: NDArray[np.float64] = np.zeros(places.structures)
    np.add.at(sums, place.structures, along[place.indices])
    owned = np.bincount(place.structures, minlength=places.structures)
    return sums, owned * (importance.size / max(place.size, 1))


def _largest(places: Places, elements: Elements) -> NDArray[np.float64]:
    largest = np.full(places.structures, np.nan)
    for place, importance in _importances(places, elements):
        sums, counts = _on_place(places, place, importance)
        largest = np.fmax(largest, sums / counts)
    return largest


def fill_blocks(analysis: Analysis, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in which each block without one has the mean of the structures it wholly holds (NaN where it holds none).

    A mean, not a sum: a block is compared with blocks, and a deep one is not better for its length.
    """
    filled = scores.copy()
    holdings = [(one, {t for t, _ in one.touches}) for one in analysis.sets if one.kind is not Kind.BLOCK]
    blocks = np.unique(analysis.block_tensor[:, 0])
    for block in blocks[np.isnan(scores[blocks])]:
        tensors = set(analysis.block_tensor[analysis.block_tensor[:, 0] == block, 1].tolist())
        inside = [scores[one.structures] for one, touched in holdings if touched <= tensors]
        known = np.concatenate([np.zeros(0), *inside])
        known = known[np.isfinite(known)]
        filled[block] = known.mean() if len(known) else np.nan
    return filled


def _produced(analysis: Analysis, outputs: list[int], touches: tuple[tuple[int, int], ...]) -> set[tuple[int, int]]:
    first = [(t, d) for t, d in touches if analysis.tensors[t].parameter][:1]
    return {*first, *((t, d) for t, d in touches if _is_weight(analysis.tensors[t]) and d == outputs[t])}


def output_dims(analysis: Analysis) -> list[int]:
    """[T] the dimension on which a weight has its outputs."""
    reversed_modules = {m.path for m in analysis.modules if m.type_name in REVERSED}
    return [1 if t.module in reversed_modules else 0 for t in analysis.tensors]


def _is_weight(tensor: TensorInfo) -> bool:
    return tensor.parameter and len(tensor.shape) >= 2


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
