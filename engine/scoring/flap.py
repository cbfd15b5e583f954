"""Fluctuation: the variance of a structure's output times the weights that read it (FLAP, An et al. 2023).

A feature that hardly varies can be replaced by its mean, which a bias can hold; so the variance counts, not the size.
As in the paper the scores of each set are standardised, so that layers of different scale compare.
"""

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job
from .gradients import forward_cost
from .protocol import Criterion, Needs, RatedModel
from .score_options import Combine, Normalise, Slices


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] sum of w^2 times the variance of the feature that it multiplies."""
    from .features import FeatureMoments, rate_by

    def importance(weight: NDArray[np.float32], features: FeatureMoments) -> NDArray[np.floating]:
        return np.square(weight) * features.variance.astype(weight.dtype)

    return (yield from rate_by(rated, token, importance))


FLUCTUATION = Criterion(
    name="fluctuation",
    title="Fluctuation (FLAP)",
    formula="variance of the feature times the sum of w^2 over the weights that read it; standardised within each set",
    paper="An et al., Fluctuation-based Adaptive Structured Pruning for Large Language Models, 2023",
    needs=Needs.DATA,
    rate=rate,
    watches=True,
    slices=Slices.CONSUMERS,
    combine=Combine.SUM,
    normalise=Normalise.STANDARD,
    cost=forward_cost,
)
