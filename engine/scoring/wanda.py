"""Wanda: the size of a weight times the size of what enters it (Sun et al. 2023).

The paper takes the L2 norm of an input feature over all samples and positions. Here it is divided by the root of their
number, so that more data or larger images do not raise a score.
"""

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job
from .gradients import forward_cost
from .protocol import Criterion, Needs, RatedModel
from .score_options import Combine, Slices


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean |w| times the root mean square of the feature that it multiplies."""
    from .features import FeatureMoments, rate_by

    def importance(weight: NDArray[np.float32], features: FeatureMoments) -> NDArray[np.floating]:
        return np.abs(weight) * features.root_mean_square.astype(weight.dtype)

    return (yield from rate_by(rated, token, importance))


WANDA = Criterion(
    name="wanda",
    title="Wanda",
    formula=(
        "mean of |w| times the root mean square of the feature it multiplies, over the weights that read the structure"
    ),
    paper="Sun et al., A Simple and Effective Pruning Approach for Large Language Models, 2023",
    needs=Needs.DATA,
    rate=rate,
    watches=True,
    slices=Slices.CONSUMERS,
    combine=Combine.MEAN,
    cost=forward_cost,
)
