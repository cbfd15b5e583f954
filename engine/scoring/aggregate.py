"""Combines importances of weights into scores of structures. Pure numpy, over `weight_slices.py`.

A weight tensor has an importance for every element. Summed over all dimensions but one it becomes a vector along an
axis; a structure gets the sum over the indices it owns (one for a filter, many for a head).

How slices are combined. *Sum* and *mean* run over all weights of all slices; *max* takes the slice with the largest
mean, so that a structure counts as much as in the layer that needs it most. Scores of a coupled set are normalised so
that sets compare.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Kind
from .score_options import Combine, Normalise
from .weight_slices import WeightSlice, WeightSlices
from .weights import Elementwise

Summable = NDArray[np.floating] | Elementwise
"""Importances of the elements of a tensor, as far as they are summed."""
Elements = Callable[[str], Summable | None]
"""Name of a tensor -> importance of each of its elements, in its present shape; None to leave it out."""


def structure_sums(slices: WeightSlices, elements: Elements) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """([S] sums of importances, [S] number of weights they are sums of)."""
    sums, counts = np.zeros(slices.structures), np.zeros(slices.structures)
    for part, importance in _importances(slices, elements):
        np.add.at(sums, part.structures, _sums_along(part, importance)[part.indices])
        np.add.at(counts, part.structures, _weights_each(part, importance))
    return sums, counts


def combine(slices: WeightSlices, elements: Elements, how: Combine) -> NDArray[np.float64]:
    """[S] importance of each structure, NaN where it has no weight that counts."""
    if how is not Combine.MAX:
        sums, counts = structure_sums(slices, elements)
        return sums / counts if how is Combine.MEAN else np.where(counts > 0, sums, np.nan)
    largest = np.full(slices.structures, np.nan)
    for part, importance in _importances(slices, elements):
        own, number = np.unique(part.structures, return_inverse=True)
        sums = np.bincount(number, _sums_along(part, importance)[part.indices])
        # Per weight of a slice, as slices of different sizes compete for the maximum.
        largest[own] = np.fmax(largest[own], sums / (np.bincount(number) * _weights_each(part, importance)))
    return largest


def has_weights(slices: WeightSlices) -> NDArray[np.bool_]:
    """[S] True where a structure has weights that count."""
    found = np.zeros(slices.structures, dtype=np.bool_)
    for part in slices.slices:
        found[part.structures] = True
    return found


def _importances(slices: WeightSlices, elements: Elements) -> Iterator[tuple[WeightSlice, Summable]]:
    """Each slice with its tensor's importances, asked for once a tensor."""
    name, importance = "", None
    for part in slices.slices:
        # Slices are in the order of their tensors, so that one tensor at a time is in memory.
        if part.tensor != name:
            name, importance = part.tensor, elements(part.tensor)
        if importance is not None:
            yield part, importance


def _sums_along(part: WeightSlice, importance: Summable) -> NDArray[np.float64]:
    """Sums of importances at each index of a slice."""
    others = tuple(d for d in range(importance.ndim) if d != part.dim)
    return importance.sum(axis=others, dtype=np.float64)


def _weights_each(part: WeightSlice, importance: Summable) -> float:
    """How many weights there are at an index of a slice."""
    return importance.size / max(part.size, 1)


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


Floats = NDArray[np.float64]


def normalise(analysis: Analysis, scores: Floats, how: Normalise) -> Floats:
    """[S] the scores of each set over what `how` names; NaN stays, and so do blocks, each of which is a set alone."""
    rule = RULES.get(how)
    if rule is None:
        return scores
    result = scores.copy()
    for one in analysis.sets:
        known = np.isfinite(scores[one.structures])
        if one.kind is not Kind.BLOCK and known.any():
            result[one.structures][known] = rule(scores[one.structures][known])
    return result


def _divide(values: Floats, size: float) -> Floats:
    return values / size if size > 0 else np.zeros_like(values)


RULES: dict[Normalise, Callable[[Floats], Floats]] = {
    Normalise.MEAN: lambda values: _divide(values, float(np.abs(values).mean())),
    Normalise.MAX: lambda values: _divide(values, float(np.abs(values).max())),
    Normalise.L2: lambda values: _divide(values, float(np.sqrt(np.square(values).sum()))),
    Normalise.STANDARD: lambda values: _divide(values - values.mean(), float(values.std()) if np.ptp(values) else 0.0),
}
