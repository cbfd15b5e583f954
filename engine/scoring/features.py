"""Importances from each weight's input features on calibration data: the part that Wanda and FLAP share.

Forward passes only; the model runs in eval mode, without gradients, attention as plain products. Padding tokens do not
count. Loads torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import Message
from ..inference.batch_parts import input_parts
from ..inference.model_inputs import filled
from ..jobs import CancelToken, Job
from ..tracing.weight_products import ConvolutionUnit, MatrixUnit, WeightProduct, WeightProducts
from .aggregate import combine
from .gradients import each_batch
from .protocol import RatedModel, with_partial_scores
from .weights import as_array, run_rated


@dataclass(slots=True)
class FeatureMoments:
    """Of the features that enter a weight; arrays broadcast against it, with size 1 where all enter alike.

    Attributes:
        count: How many values each feature had.
        mean: Their mean.
        squares: Sum of the squared distances from the mean.
    """

    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def add(self, at: Any, count: int, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
        """Take in further values of the features `at` an index (Chan et al. 1983)."""
        before, total = self.count[at], self.count[at] + count
        apart = mean - self.mean[at]
        self.squares[at] += variance * count + apart**2 * before * count / total
        self.mean[at] += apart * count / total
        self.count[at] = total

    @property
    def variance(self) -> NDArray[np.float64]:
        """Of each feature, 0 where it never had a value."""
        return self.squares / np.maximum(self.count, 1)

    @property
    def root_mean_square(self) -> NDArray[np.float64]:
        """L2 norm of each feature over the root of how many values it had."""
        return np.sqrt(self.variance + self.mean**2)


class FeatureStatistics(WeightProducts):
    """Context manager that measures what enters weights in forward passes.

    Attributes:
        moments: By the name of the weight.
    """

    def __init__(self, weights: dict[str, Tensor], others: list[Tensor]) -> None:
        """Watch weights by name; `others` are the model's further parameters and buffers."""
        super().__init__(weights, self._measure, others)
        self.moments: dict[str, FeatureMoments] = {}

    def _measure(self, product: WeightProduct) -> None:
        """Add what enters each unit, at its places in the weight: None for a dimension along which all enter alike."""
        weight = self._weights[product.name]
        for unit in product.units if weight.is_contiguous() else ():
            if not unit.rows:
                continue
            if isinstance(unit, ConvolutionUnit):
                # All groups at once. Each value counts once, not as often as the kernel passes over it.
                features, groups, shape = unit.features, unit.groups, weight.shape
                others = tuple(d for d in range(features.ndim) if d != 1)
                variance, mean = torch.var_mean(_widen(features), dim=others, correction=0)
                count, places = features.numel() // features.shape[1], list[Any]([None] * len(shape))
                if unit.transposed or groups == 1:
                    places[0 if unit.transposed else 1] = np.arange(features.shape[1])
                else:  # row r reads the features of its group
                    each = shape[0] // groups
                    mean, variance = (one.view(groups, -1).repeat_interleave(each, 0) for one in (mean, variance))
                    places[:2] = np.arange(shape[0])[:, None], np.arange(shape[1])
                self._add(product.name, places, count, mean, variance)
                return
            assert isinstance(unit, MatrixUnit)
            features = unit.features if unit.flags is None else unit.features[unit.flags]
            variance, mean = torch.var_mean(_widen(features), dim=0, correction=0)
            view, start = unit.view(weight), unit.offset
            columns, rows = (
                np.unravel_index(start + np.arange(view.shape[d]) * view.stride(d), tuple(weight.shape)) for d in (1, 0)
            )
            pairs = zip(columns, rows, weight.shape, strict=True)
            places = [None if not np.ptp(f) and (np.ptp(r) or n == 1) else f for f, r, n in pairs]
            self._add(product.name, places, len(features), mean, variance)

    def _add(self, name: str, places: list[Any], count: int, mean: Tensor, variance: Tensor) -> None:
        shape = self._weights[name].shape
        sizes = tuple(1 if place is None else int(size) for place, size in zip(places, shape, strict=True))
        at = tuple(np.zeros(1, np.int64) if place is None else place for place in places)
        found = self.moments.setdefault(name, FeatureMoments(np.zeros(sizes), np.zeros(sizes), np.zeros(sizes)))
        if found.mean.shape == sizes:
            found.add(at, count, mean.cpu().numpy(), variance.cpu().numpy())


def _widen(features: Tensor) -> Tensor:
    return features if features.element_size() >= 4 else features.float()


def rate_by(
    rated: RatedModel,
    token: CancelToken,
    importance: Callable[[NDArray[np.float32], FeatureMoments], NDArray[np.floating]],
) -> Job[NDArray[np.float64]]:
    """[S] combined importances of the weights that count; what entered no measured product is left out.

    Args:
        rated: What is rated.
        token: Cancels.
        importance: (weight as an array, `FeatureMoments` of what enters it) -> importance of each element.
    """
    assert rated.task is not None
    names = {part.tensor for part in rated.slices.slices}
    weights = {name: one for name, one in rated.parameters.items() if name in names}
    others = [one for name, one in rated.parameters.items() if name not in names]
    watching = FeatureStatistics(weights, [*others, *rated.model.buffers()])

    def elements(name: str) -> NDArray[np.floating] | None:
        found = watching.moments.get(name)
        return None if found is None else importance(as_array(rated, name), found)

    def scores() -> NDArray[np.float64]:
        return combine(rated.slices, elements, rated.combine)

    for batch, progress in each_batch(rated, token, Message("progress.features", "Measuring the inputs of each layer")):
        for inputs in input_parts(rated.task.inputs(batch), rated.limit):
            watching.present = filled(inputs)
            run_rated(rated, token, inputs, watching)
            watching.forget()
        yield with_partial_scores(progress, scores)
    return scores()
