"""Magnitude, L2: the root mean square of the weights that compute a structure (Li et al. 2016 compare it with L1)."""

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job, Progress, check
from .aggregate import combine
from .protocol import Criterion, Needs, RatedModel
from .score_options import Combine, Slices
from .weights import Elementwise


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] root of the mean of w^2: the L2 norm over the root of the number of weights; of the sum: the norm itself."""
    check(token)
    yield Progress("Reading weights")
    return np.sqrt(combine(rated.slices, lambda name: Elementwise(rated, name, np.square), rated.combine))


L2 = Criterion(
    name="l2",
    title="Magnitude, L2",
    formula="root mean square of the weights that compute the structure",
    paper="Li et al., Pruning Filters for Efficient ConvNets, 2016",
    needs=Needs.NOTHING,
    rate=rate,
    slices=Slices.PRODUCERS,
    combine=Combine.MEAN,
)
