"""From numbers per weight to numbers per structure: pure numpy, by the memberships of the analysis.

A weight tensor has an importance for every element. Summed over all dimensions but one it becomes a vector along an
axis; a structure gets the sum over the positions it owns (one for a filter, many for a head).

Which slices count. *Producers* are the weights that compute a structure: the first parameter of its set always, and
every weight of two or more dimensions that has the set on its output dimension. *Consumers* are those that read it, on
their input dimension; a set without any (its readers have no weights) falls back to its producers. Vectors (biases,
scales and shifts of norms) are on another scale and count in neither; buffers never do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Kind, TensorInfo

Kept = dict[str, tuple[NDArray[np.int64] | None, ...] | None]
"""What `Analysis.kept_indices` gives."""

REVERSED = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Conv1D", "Embedding"})
"""Module types whose weight has its inputs on dimension 0 and its outputs on dimension 1."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dimension of a tensor lies: `positions` [n] of its n remaining indices."""

    tensor: str
    dim: int
    positions: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """The slices that count for a score, and who owns them.

    Attributes:
        places: Dimensions of tensors that count.
        member_structure: [M] the structure of each membership.
        member_position: [M] its position.
        structures: S.
        positions: P.
    """

    places: tuple[Place, ...]
    member_structure: NDArray[np.int64]
    member_position: NDArray[np.int64]
    structures: int
    positions: int


def producers(analysis: Analysis, kept: Kept) -> Places:
    """The slices of the weights that compute the structures."""
    return _places(analysis, kept, {pair for one in analysis.sets for pair in _produced(analysis, one.touches)})


def consumers(analysis: Analysis, kept: Kept) -> Places:
    """The slices of the weights that read the structures; the producers of sets that no weight reads."""
    outputs = _output_dims(analysis)
    pairs: set[tuple[int, int]] = set()
    for one in analysis.sets:
        read = {(t, d) for t, d in one.touches if _is_weight(analysis.tensors[t]) and d == 1 - outputs[t]}
        pairs |= read or _produced(analysis, one.touches)
    return _places(analysis, kept, pairs)


def structure_sums(
    places: Places, elements: Callable[[str], NDArray[np.floating] | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """([S] sums of importances, [S] number of weights they are sums of).

    Args:
        places: Which slices count.
        elements: Name of a tensor -> importance of each of its elements, in its present shape; None to leave it out.
    """
    sums, counts = np.zeros(places.positions), np.zeros(places.positions)
    for place in places.places:
        importance = elements(place.tensor)
        if importance is None:
            continue
        others = tuple(d for d in range(importance.ndim) if d != place.dim)
        np.add.at(sums, place.positions, importance.sum(axis=others, dtype=np.float64))
        np.add.at(counts, place.positions, importance.size / max(len(place.positions), 1))
    return _to_structures(places, sums), _to_structures(places, counts)


def fill_blocks(analysis: Analysis, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in which each block has the mean score of the structures it wholly holds (NaN where it holds none).

    A mean, not a sum: a block is compared with blocks, and a deep one is not better for its length.
    """
    filled = scores.copy()
    holdings = [(one, {t for t, _ in one.touches}) for one in analysis.sets if one.kind is not Kind.BLOCK]
    for block in np.unique(analysis.block_tensor[:, 0]):
        tensors = set(analysis.block_tensor[analysis.block_tensor[:, 0] == block, 1].tolist())
        inside = [scores[one.structures] for one, touched in holdings if touched <= tensors]
        known = np.concatenate([np.zeros(0), *inside])
        known = known[np.isfinite(known)]
        filled[block] = known.mean() if len(known) else np.nan
    return filled


def _produced(analysis: Analysis, touches: tuple[tuple[int, int], ...]) -> set[tuple[int, int]]:
    outputs = _output_dims(analysis)
    first = [(t, d) for t, d in touches if analysis.tensors[t].parameter][:1]
    return {*first, *((t, d) for t, d in touches if _is_weight(analysis.tensors[t]) and d == outputs[t])}


def _output_dims(analysis: Analysis) -> list[int]:
    """[T] the dimension on which a weight has its outputs."""
    reversed_modules = {m.path for m in analysis.modules if m.type_name in REVERSED}
    return [1 if t.module in reversed_modules else 0 for t in analysis.tensors]


def _is_weight(tensor: TensorInfo) -> bool:
    return tensor.parameter and len(tensor.shape) >= 2


def _places(analysis: Analysis, kept: Kept, pairs: set[tuple[int, int]]) -> Places:
    owners = np.repeat(np.arange(analysis.count), np.diff(analysis.member_start))
    places = tuple(_remaining(analysis, kept, pairs))
    return Places(places, owners, analysis.member_position, analysis.count, int(analysis.axis_start[-1]))


def _remaining(analysis: Analysis, kept: Kept, pairs: set[tuple[int, int]]) -> Iterator[Place]:
    """The places of the pairs whose tensors are still there."""
    for number, dim in sorted(pairs):
        tensor = analysis.tensors[number]
        dims = kept.get(tensor.name, (None,) * len(tensor.shape))
        axis = tensor.axes[dim]
        if dims is None or axis < 0:
            continue
        indices = dims[dim]
        if indices is None:
            indices = np.arange(tensor.shape[dim], dtype=np.int64)
        yield Place(tensor.name, dim, analysis.axis_start[axis] + indices)


def _to_structures(places: Places, on_positions: NDArray[np.float64]) -> NDArray[np.float64]:
    held = on_positions[places.member_position]
    sums = np.bincount(places.member_structure, weights=held, minlength=places.structures)
    return sums.astype(np.float64)
