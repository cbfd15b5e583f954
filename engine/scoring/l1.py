"""Magnitude, L1: the mean absolute value of the weights that compute a structure (Li et al. 2016)."""

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job, Progress, check
from .aggregate import combine
from .protocol import Criterion, Needs, RatedModel
from .score_options import Combine, Slices
from .weights import Elementwise


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean |w|; the mean, not the sum, so that layers of equal shape compare after cuts of different size."""
    check(token)
    yield Progress("Reading weights")
    return combine(rated.slices, lambda name: Elementwise(rated, name, np.abs), rated.combine)


L1 = Criterion(
    name="l1",
    title="Magnitude, L1",
    formula="mean |w| over the weights that compute the structure",
    paper="Li et al., Pruning Filters for Efficient ConvNets, 2016",
    needs=Needs.NOTHING,
    rate=rate,
    slices=Slices.PRODUCERS,
    combine=Combine.MEAN,
)
