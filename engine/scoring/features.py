"""Importances from each weight's input features on calibration data: the part that Wanda and FLAP share.

Forward passes only; the model runs in eval mode, without gradients, attention as plain products. Padding tokens do not
count. The operators beneath the modules are watched, so that a product counts however a model writes it: a layer,
attention in one function, experts in one stack. A product whose second operand is a parameter, a view of it, or made of
parameters alone (a standardised or cast weight) has its other operand measured. Loads torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch_parts import input_parts
from ..errors import Message
from ..jobs import CancelToken, Job
from ..model_inputs import call, filled, rows_of
from ..tracing.isolated_forward import quiet_forward
from ..tracing.operator_mode import OperatorMode
from ..tracing.tree import tensors_of
from .aggregate import combined
from .cancellable_autograd import interruptible
from .gradients import each_batch
from .partial_scores import with_partial_scores
from .protocol import RatedModel
from .weights import as_array, untied_weights

ATEN: Any = torch.ops.aten
PRODUCTS: dict[Any, int] = {ATEN.mm.default: 0, ATEN.bmm.default: 0, ATEN.addmm.default: 1, ATEN.baddbmm.default: 1}
"""Operator -> place of its first operand; the second follows."""
FLATTENS = (ATEN.view.default, ATEN._unsafe_view.default, ATEN._reshape_alias.default)
TURNS = (ATEN.t.default, ATEN.transpose.int, ATEN.detach.default)
"""Views that leave the rows of a matrix where they are."""


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


class FeatureStatistics(OperatorMode):
    """Context manager that measures forward passes.

    Attributes:
        moments: By the name of the weight.
        present: [N, T] flags of the tokens of this pass that count, None where all do.
    """

    def __init__(self, weights: dict[str, Any], others: list[Any]) -> None:
        """Watch weights by name; `others` are the model's further parameters and buffers."""
        super().__init__()
        self.moments: dict[str, FeatureMoments] = {}
        self.present: Any | None = None
        self._weights = weights
        self._names: dict[int, str] = {_memory(one): "" for one in others}
        self._names |= {_memory(weight): name for name, weight in weights.items()}
        self._made: list[Any] = []
        self._rows: dict[tuple[int, int], tuple[int, ...]] = {}

    def forget(self) -> None:
        """Let go of what was made of parameters in a pass, and of what its rows were."""
        for one in self._made:
            del self._names[_memory(one)]
        self._made.clear()
        self._rows.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and measure what enters a weight in it."""
        result = func(*args, **(kwargs or {}))
        if func in PRODUCTS:
            first, second = args[PRODUCTS[func] : PRODUCTS[func] + 2]
            self._product(first, second)
            self._product(second.mT, first.mT)
        elif func is ATEN.convolution.default:
            self._convolution(args[0], args[1], bool(args[6]), int(args[8]))
        elif func is ATEN._grouped_mm.default and args[1].ndim == 3:  # the rows of each expert end at an offset
            ends = args[2].tolist()
            for expert, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
                self._product(args[0][start:stop], args[1][expert])
        elif func is ATEN.mkldnn_rnn_layer.default:
            states = result[0]  # [T, N, H]; each step reads the one before it, the first one what was given
            first = args[5].reshape(1, *states.shape[1:])
            before = (states[1:], first) if args[7] else (first, states[:-1])  # backwards the last step is the first
            self._product(args[0].flatten(0, 1), args[1].t(), tuple(args[0].shape[:2]))
            self._product(torch.cat(before).flatten(0, 1), args[2].t(), tuple(args[0].shape[:2]))
        self._flattened(func, args, result)
        self._follow(args, result)
        return result

    def _flattened(self, func: Any, args: Any, result: Any) -> None:
        """Remember of rows [a b, k] what a and b were."""
        if self.present is None or not isinstance(result, torch.Tensor) or result.ndim != 2:
            return
        place = int(result.data_ptr()), int(result.shape[0])
        given: Any = args[0] if args else None
        if func in FLATTENS and given.ndim > 2 and given.shape[0] * given.shape[1] == result.shape[0]:
            self._rows[place] = tuple(given.shape[:2])
        elif func not in TURNS:
            self._rows.pop(place, None)  # memory that is used again

    def _product(self, features: Any, operand: Any, sizes: tuple[int, ...] = ()) -> None:
        """Features [(b), n, k] times an operand [(b), k, m]; n may be made of several sizes."""
        name = self._names.get(_memory(operand), "")
        if not name or not features.numel():
            return
        if operand.ndim == 3 and operand.stride(0) == 0:  # one matrix for the whole batch
            sizes = tuple(features.shape[:2])
            features, operand = features.flatten(0, 1), operand[0]
        if self.present is not None and features.ndim == 2:
            sizes = sizes or self._rows.get((int(features.data_ptr()), int(features.shape[0])), ())
            flags = rows_of(self.present, sizes)
            features = features if flags is None else features[flags]
        places = _places(operand, self._weights[name])
        if places is not None:
            variance, mean = torch.var_mean(_wide(features), dim=-2, correction=0)
            self._add(name, places, features.shape[-2], mean, variance)

    def _convolution(self, features: Any, operand: Any, transposed: bool, groups: int) -> None:
        """Features [N, C, ...]; the operand has C / groups on dimension 1, a transposed one C on dimension 0."""
        name = self._names.get(_memory(operand), "")
        if not name or not features.numel() or operand.numel() != self._weights[name].numel():
            return
        channels, shape = features.shape[1], self._weights[name].shape
        others = tuple(d for d in range(features.ndim) if d != 1)
        variance, mean = torch.var_mean(_wide(features), dim=others, correction=0)
        places: list[Any] = [None] * len(shape)
        if transposed or groups == 1:
            places[0 if transposed else 1] = np.arange(channels)
        else:  # row r reads the features of its group
            mean, variance = (one.view(groups, -1).repeat_interleave(shape[0] // groups, 0) for one in (mean, variance))
            places[:2] = np.arange(shape[0])[:, None], np.arange(channels // groups)
        self._add(name, places, features.numel() // channels, mean, variance)

    def _add(self, name: str, places: list[Any], count: int, mean: Any, variance: Any) -> None:
        shape = self._weights[name].shape
        sizes = tuple(1 if place is None else int(size) for place, size in zip(places, shape, strict=True))
        at = tuple(np.zeros(1, np.int64) if place is None else place for place in places)
        found = self.moments.setdefault(name, FeatureMoments(np.zeros(sizes), np.zeros(sizes), np.zeros(sizes)))
        if found.mean.shape == sizes:
            found.add(at, count, mean.cpu().numpy(), variance.cpu().numpy())

    def _follow(self, args: Any, result: Any) -> None:
        """What is made of parameters alone and has as many elements as one of them stands for it."""
        given = tensors_of(args)
        if not given or not all(_memory(one) in self._names or not one.ndim for one in given):
            return
        sources = [one for one in given if self._names.get(_memory(one), "")]
        for one in tensors_of(result):
            name = next((self._names[_memory(s)] for s in sources if s.numel() == one.numel()), "")
            if _memory(one) not in self._names:
                self._names[_memory(one)] = name
                self._made.append(one)


def _wide(features: Any) -> Any:
    return features if features.element_size() >= 4 else features.float()


def _memory(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _places(operand: Any, weight: Any) -> list[Any] | None:
    """Places of an operand's features [(b), k] in its weight: for each dimension, None along which all enter alike.

    None where the operand is no plain view of the weight.
    """
    if not weight.is_contiguous():
        return None
    start = int(operand.storage_offset() - weight.storage_offset())
    features = start + _steps(operand, -2)
    if operand.ndim == 3:
        features = features + _steps(operand, 0)[:, None]
    results = start + _steps(operand, -1)
    if min(features.min(), results.min()) < 0 or max(features.max(), results.max()) >= weight.numel():
        return None
    shape = tuple(weight.shape)
    pairs = zip(np.unravel_index(features, shape), np.unravel_index(results, shape), strict=True)
    return [None if not np.ptp(f) and (np.ptp(r) or n == 1) else f for (f, r), n in zip(pairs, shape, strict=True)]


def _steps(operand: Any, dim: int) -> NDArray[np.int64]:
    return np.arange(int(operand.shape[dim]), dtype=np.int64) * int(operand.stride(dim))


def rate_by(
    rated: RatedModel,
    token: CancelToken,
    importance: Callable[[NDArray[np.float32], FeatureMoments], NDArray[np.float64]],
) -> Job[NDArray[np.float64]]:
    """[S] combined importances of the weights that count; what entered no measured product is left out.

    Args:
        rated: What is rated.
        token: Cancels.
        importance: (weight as an array, `Moments` of what enters it) -> importance of each element.
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
        return combined(rated.slices, elements, rated.combine)

    for batch, progress in each_batch(rated, token, Message("progress.features", "Measuring the inputs of each layer")):
        _run(rated, watching, batch, token)
        yield with_partial_scores(progress, scores)
    return scores()


def _run(rated: RatedModel, watching: FeatureStatistics, batch: Any, token: CancelToken) -> None:
    assert rated.task is not None
    for inputs in input_parts(rated.task.inputs(batch), rated.limit):
        watching.present = filled(inputs)
        with untied_weights(rated), quiet_forward(rated.model), interruptible(token), watching:
            call(rated.model, inputs)
        watching.forget()
