"""Geometric median: the distance of a structure to the others of its set (FPGM); close ones can be replaced.

The distance of two structures is the root mean square of the differences of their weights, over all slices that count.
It is exact up to `REFERENCES` structures; larger sets are compared with so many of them, drawn by the seed.
"""

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job, Progress, check
from .protocol import Criterion, Needs, RatedModel
from .score_options import Slices
from .weights import as_array

REFERENCES = 128
"""With how many structures each is compared at most."""

Floats = NDArray[np.floating]


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean distance to the other structures of the set, NaN where there are none."""
    random = np.random.default_rng(rated.seed)
    scores = np.full(rated.analysis.count, np.nan)
    for number, one in enumerate(rated.analysis.sets, 1):
        check(token)
        there = one.first + np.flatnonzero(~rated.removed[one.structures])
        if len(there) > 1:
            scores[there] = _mean_distances(rated, there, random)
        yield Progress("Comparing weights", number, len(rated.analysis.sets))
    return scores


def _mean_distances(rated: RatedModel, there: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.float64]:
    """[there] mean distance to the references, itself left out."""
    count = min(len(there), REFERENCES)
    chosen = np.sort(random.permutation(len(there))[:count])
    squares, weights = np.zeros((len(there), count)), 0
    for part in rated.slices.slices:
        start, stop = np.searchsorted(part.structures, (there[0], there[-1] + 1))
        each = np.bincount(part.structures[start:stop] - there[0], minlength=there[-1] + 1 - there[0])
        if stop == start or len(each[each > 0]) < len(there) or (each[each > 0] != each.max()).any():
            # A slice counts where all own equally many of its indices.
            continue
        own = np.moveaxis(as_array(rated, part.tensor), part.dim, 0)
        rows = own.reshape(len(own), -1)[part.indices[start:stop]].reshape(len(there), -1)
        # Distances stay, and little is lost in the difference of large numbers.
        rows = rows - rows.mean(axis=0)
        norms = np.einsum("nf,nf->n", rows, rows, dtype=np.float64)
        squares += norms[:, None] + norms[chosen] - 2.0 * (rows @ rows[chosen].T)
        weights += rows.shape[1]
    if not weights:
        return np.full(len(there), np.nan)
    squares[chosen, np.arange(count)] = 0.0
    others = count - np.isin(np.arange(len(there)), chosen)
    return np.sqrt(np.maximum(squares, 0.0) / weights).sum(axis=1) / others


GEOMETRIC_MEDIAN = Criterion(
    name="geometric-median",
    title="Geometric median (FPGM)",
    formula="mean distance of the structure's weights from those of the others in its set, root mean square",
    paper="He et al., Filter Pruning via Geometric Median for Deep CNNs Acceleration, 2019",
    needs=Needs.NOTHING,
    rate=rate,
    slices=Slices.PRODUCERS,
)
