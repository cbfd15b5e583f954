"""Diagonal Fisher: the second-order change of the loss when a structure is taken away (Theis et al. 2018).

The Fisher information of a weight is the mean over samples of the square of its gradient, each sample by itself; times
w^2 it says, to second order and with weights taken as independent, what the loss rises by when the weight becomes zero.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job
from .aggregate import combine
from .gradients import WeightChanges, over_samples, sample_cost
from .protocol import Criterion, Needs, RatedModel
from .score_options import Combine, Slices


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean over samples of the sum of (w g)^2, NaN where no weight that counts got a gradient."""

    def information(changes: WeightChanges) -> NDArray[np.float64]:
        squares = {name: np.square(change) for name, change in changes.items()}
        return combine(rated.slices, squares.get, rated.combine)

    shown = Message("progress.fisher", "Measuring the Fisher information")
    return (yield from over_samples(rated, token, shown, information, lambda sums, samples: sums / samples))


FISHER = Criterion(
    name="fisher",
    title="Fisher, diagonal",
    formula="mean over samples of the sum of (w g)^2 over the weights that read the structure",
    paper="Theis et al., Faster gaze prediction with dense networks and Fisher pruning, 2018",
    needs=Needs.LOSS,
    rate=rate,
    slices=Slices.CONSUMERS,
    combine=Combine.SUM,
    cost=sample_cost,
    parallel=True,
)
