"""First-order Taylor: how much the loss changes when a structure is taken away (Molchanov et al. 2019).

The sum of w g over the weights that read a structure is that change for a batch (see `gradients.py`). The model stays
in eval mode.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job
from .aggregate import has_weights, structure_sums
from .gradients import batch_cost, changes_of, each_batch
from .protocol import Criterion, Needs, RatedModel, with_partial_scores
from .score_options import Slices


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] root mean square over batches of the sum of w g: the change of the loss, in units of the loss."""
    squares, batches = np.zeros(rated.analysis.count), 0

    def scores(squares: NDArray[np.float64], batches: float) -> NDArray[np.float64]:
        return np.where(has_weights(rated.slices), np.sqrt(squares / batches), np.nan)

    shown = Message("progress.taylor", "Measuring how the loss depends on each structure")
    for batch, progress in each_batch(rated, token, shown):
        squares += np.square(structure_sums(rated.slices, changes_of(rated, batch, token).get)[0])
        batches += 1
        yield with_partial_scores(progress, partial(scores, squares, batches))
    squares, whole = rated.group.sums(squares, batches)
    return scores(squares, float(whole))


TAYLOR = Criterion(
    name="taylor",
    title="Taylor, first order",
    formula="root mean square over batches of the sum of w g over the weights that read the structure",
    paper="Molchanov et al., Importance Estimation for Neural Network Pruning, 2019",
    needs=Needs.LOSS,
    rate=rate,
    slices=Slices.CONSUMERS,
    cost=batch_cost,
    parallel=True,
)
