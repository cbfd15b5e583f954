"""Random: every structure draws its score. The baseline that any other criterion has to beat."""

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job, Progress, check
from .protocol import Criterion, Needs, RatedModel


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] uniform in 0..1 by the seed; a structure keeps its draw when others are cut."""
    check(token)
    yield Progress("Drawing")
    return np.random.default_rng(rated.seed).random(rated.analysis.count)


RANDOM = Criterion(
    name="random",
    title="Random",
    formula="drawn uniformly from 0 to 1 with the seed",
    paper="the baseline of Mittal et al., Recovering from Random Pruning, 2018",
    needs=Needs.NOTHING,
    rate=rate,
)
