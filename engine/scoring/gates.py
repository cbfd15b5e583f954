"""Gates: how much the loss of a sample depends on a gate on each head, on average (Michel et al. 2019).

The gate multiplies all outputs of a head, so its gradient is the sum of activation times gradient over them; its size
is taken for each sample and then averaged. The sum is read off the weights that read the head (see `gradients.py`),
which makes it the same for filters, neurons, key/value groups, experts and whatever else a weight reads. The scores of
each set are divided by their L2 norm, as the paper does for each layer.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job
from .aggregate import has_weights, structure_sums
from .gradients import WeightChanges, over_samples, sample_cost
from .protocol import Criterion, Needs, RatedModel
from .score_options import Normalise


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean over samples of |sum of w g|, in units of the loss."""

    def size(changes: WeightChanges) -> NDArray[np.float64]:
        return np.abs(structure_sums(rated.slices, changes.get)[0])

    def scores(sums: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
        return np.where(has_weights(rated.slices), sums / samples, np.nan)

    shown = Message("progress.gates", "Measuring gate gradients")
    return (yield from over_samples(rated, token, shown, size, scores))


GATES = Criterion(
    name="gates",
    title="Head gates",
    formula="mean over samples of |sum of w g| over the weights that read the structure: the gradient of a gate on it",
    paper="Michel et al., Are Sixteen Heads Really Better than One?, 2019",
    needs=Needs.LOSS,
    rate=rate,
    normalise=Normalise.L2,
    cost=sample_cost,
    parallel=True,
)
