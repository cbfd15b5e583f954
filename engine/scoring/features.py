"""Importances from each weight's input features on calibration data: the part that Wanda and FLAP share.

Forward passes only; the model runs in eval mode, without gradients, attention as plain products. What stands at tokens
that only fill up a batch does not count.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch_parts import input_parts
from ..errors import Message
from ..jobs import CancelToken, Job
from ..model_inputs import call, filled
from .aggregate import combined
from .gradients import each_batch
from .partial_scores import with_partial_scores
from .protocol import RatedModel


def rate_by(
    rated: RatedModel, token: CancelToken, importance: Callable[[Any, Any], NDArray[np.float64]]
) -> Job[NDArray[np.float64]]:
    """[S] combined importances of the weights that count; what entered no measured product is left out.

    Args:
        rated: What is rated.
        token: Cancels.
        importance: (weight as an array, `Moments` of what enters it) -> importance of each element.
    """
    from .activation_statistics import FeatureStatistics
    from .weights import as_array

    assert rated.task is not None
    names = {part.tensor for part in rated.slices.slices}
    weights = {name: one for name, one in rated.parameters.items() if name in names}
    others = [one for name, one in rated.parameters.items() if name not in names]
    watching = FeatureStatistics(weights, [*others, *rated.model.buffers()])

    def elements(name: str) -> NDArray[np.floating] | None:
        found = watching.moments.get(name)
        return None if found is None else importance(as_array(rated, name), found)

    def scores() -> NDArray[np.float64]:
        return combined(rated.slices, elements, rated.combine)

    for batch, progress in each_batch(rated, token, Message("progress.features", "Measuring the inputs of each layer")):
        _run(rated, watching, batch, token)
        yield with_partial_scores(progress, scores)
    return scores()


def _run(rated: RatedModel, watching: Any, batch: Any, token: CancelToken) -> None:
    from ..tracing.isolated_forward import quiet_forward
    from .cancellable_autograd import interruptible
    from .tied_weights import untied_weights

    assert rated.task is not None
    for inputs in input_parts(rated.task.inputs(batch), rated.limit):
        watching.present = filled(inputs)
        with untied_weights(rated), quiet_forward(rated.model), interruptible(token), watching:
            call(rated.model, inputs)
        watching.forget()
