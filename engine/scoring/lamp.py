"""LAMP: a structure's energy as a share of that of all stronger ones in its layer (Lee et al. 2021).

The paper scores single weights, w^2 over the sum of the squares of all weights of the layer that are not smaller. Here
a structure takes the place of a weight, the sum of the squares of its weights that of w^2, and its coupled set that of
the layer. The strongest of each set scores 1, so that scores of different layers compare without a share for each.
"""

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job, Progress, check
from .aggregate import combine
from .protocol import Criterion, Needs, RatedModel
from .score_options import Combine, Slices
from .weights import Elementwise


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] energy over the energy of all in the set that rank no lower, above 0 and up to 1."""
    check(token)
    yield Progress("Reading weights")
    energies = combine(rated.slices, lambda name: Elementwise(rated, name, np.square), rated.combine)
    scores = np.full(len(energies), np.nan)
    for one in rated.analysis.sets:
        own = energies[one.structures]
        order = np.argsort(own, kind="stable")
        order = order[np.isfinite(own[order])]
        above = np.cumsum(own[order][::-1])[::-1]
        shares = np.divide(own[order], above, out=np.zeros(len(order)), where=above > 0)
        scores[one.first + order] = shares
    return scores


LAMP = Criterion(
    name="lamp",
    title="LAMP (layer-adaptive)",
    formula="sum of w^2 of the structure divided by that sum over all in its set that are at least as large",
    paper="Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, 2021",
    needs=Needs.NOTHING,
    rate=rate,
    slices=Slices.PRODUCERS,
    combine=Combine.SUM,
)
