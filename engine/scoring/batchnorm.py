"""BatchNorm scale: the absolute scale of a channel's BatchNorm (network slimming, Liu et al. 2017).

A BatchNorm is found by what it holds, a vector `weight` and running statistics, or where it keeps none by its type.
Where it was folded into the layer before it, nothing of it is left to rate by.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check
from ..structures.analysis import Analysis
from .aggregate import combine
from .protocol import Criterion, Needs, RatedModel, ScoringContext
from .score_options import Combine
from .weight_slices import axis_slices
from .weights import to_array


def rate(rated: RatedModel, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] mean |scale| over the BatchNorm channels of a structure, NaN where none is on its way."""
    check(token)
    yield Progress("Reading BatchNorm scales")
    slices = axis_slices(rated.analysis, rated.kept, _scales(rated.analysis))
    # Frozen BatchNorms hold their scales as buffers.
    held: dict[str, Any] = dict(rated.model.named_buffers()) | rated.parameters
    return combine(slices, lambda name: np.abs(to_array(held[name])) if name in held else None, rated.combine)


def missing(context: ScoringContext) -> Message | None:
    """Why there is nothing to rate by."""
    scales = _scales(context.analysis)
    if any(t in scales for one in context.analysis.sets for t, _ in one.touches):
        return None
    return Message(
        "scoring.no_batchnorm",
        "No structure passes through a BatchNorm with a scale: the model has none, or they were folded into other "
        "layers. Choose another criterion.",
    )


def _scales(analysis: Analysis) -> set[int]:
    """Numbers of the tensors that scale the channels of a BatchNorm."""
    normal = {t.module for t in analysis.tensors if t.name.endswith("running_mean")}
    normal |= {one.path for one in analysis.modules if "BatchNorm" in one.type_name}
    vectors = ((n, t) for n, t in enumerate(analysis.tensors) if len(t.shape) == 1 and t.module in normal)
    return {n for n, t in vectors if t.name.rpartition(".")[2] == "weight"}


BATCHNORM = Criterion(
    name="batchnorm",
    title="BatchNorm scale",
    formula="mean |scale| of the BatchNorm channels that the structure passes through",
    paper="Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017",
    needs=Needs.NOTHING,
    rate=rate,
    combine=Combine.MEAN,
    missing=missing,
)
