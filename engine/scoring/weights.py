"""The parameters of a model by the names of the analysis, as numpy arrays, and tied ones apart for each use."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AnalysisError
from ..inference.model_inputs import Inputs, call
from ..jobs import CancelToken
from ..structures.analysis import Analysis
from ..structures.transition import KeptIndices
from .protocol import RatedModel
from .weight_slices import WeightSlices

BLOCK = 1 << 17
"""Elements of a weight that are computed with at a time: they stay in a core's cache."""


def parameters_of(model: Any, analysis: Analysis, kept: KeptIndices) -> dict[str, Any]:
    """Canonical name -> parameter, for those that the model still has; their shapes are checked against `kept`."""
    named = dict(model.named_parameters(remove_duplicate=False))
    found: dict[str, Any] = {}
    for tensor in analysis.tensors:
        if not tensor.parameter or kept.get(tensor.name, ()) is None:
            continue
        name = next((n for n in (tensor.name, *tensor.aliases) if n in named), None)
        dims = kept.get(tensor.name) or (None,) * len(tensor.shape)
        expected = tuple(n if k is None else len(k) for n, k in zip(tensor.shape, dims, strict=True))
        if name is None or tuple(named[name].shape) != expected:
            raise AnalysisError(
                "scoring.mismatch",
                "{tensor} does not match this state of the model. Open the model again.",
                tensor=tensor.name,
                details=f"found {name and tuple(named[name].shape)}, expected {expected}",
            )
        found[tensor.name] = named[name]
    return found


def as_array(rated: RatedModel, name: str) -> NDArray[np.float32]:
    """A weight as it runs, as float32 (float64 stays), without a copy where possible."""
    return to_array(_as_it_runs(rated, name))


class Elementwise:
    """A function of each element of a weight as it runs, to be summed as an array is.

    It is computed by blocks of rows, so that nothing of the weight's size is made: widening bfloat16 and squaring took
    five times as long in memory that is new for each weight.
    """

    def __init__(
        self, rated: RatedModel, name: str, function: Callable[[NDArray[np.float32]], NDArray[np.floating]]
    ) -> None:
        """Take the weight of that name, and what is computed of each element of an array."""
        self._tensor, self._function = _as_it_runs(rated, name).detach(), function

    @property
    def ndim(self) -> int:
        """How many dimensions the weight has."""
        return self._tensor.ndim

    @property
    def size(self) -> int:
        """How many elements."""
        return self._tensor.numel()

    def sum(self, axis: tuple[int, ...], dtype: type[np.float64]) -> NDArray[np.float64]:
        """Sums over these dimensions."""
        rows = len(self._tensor) if self.ndim else 0
        step = BLOCK * rows // max(self.size, 1) or 1
        if step >= rows:
            return self._function(to_array(self._tensor)).sum(axis=axis, dtype=dtype)
        blocks = (self._function(to_array(self._tensor[n : n + step])) for n in range(0, rows, step))
        sums = [one.sum(axis=axis, dtype=dtype) for one in blocks]
        return np.sum(sums, axis=0) if 0 in axis else np.concatenate(sums)


def shape_of(rated: RatedModel, name: str) -> tuple[int, ...]:
    """The present shape of a parameter."""
    return tuple(rated.parameters[name].shape)


def _as_it_runs(rated: RatedModel, name: str) -> Any:
    return rated.made[name] if name in rated.made else rated.parameters[name]


def to_array(tensor: Any) -> NDArray[np.float32]:
    """A tensor as float32 (float64 stays), without a copy where possible."""
    values = tensor.detach().cpu()
    return (values if values.element_size() >= 4 else values.float()).numpy()


def further_uses(parameters: dict[str, Any], slices: WeightSlices, measured: bool) -> dict[str, Any]:
    """Name of each further use -> the tied parameter; where data is measured, one of its own with the same values."""
    there = {one.names[0]: parameters[one.tensor] for one in slices.tied if one.tensor in parameters}
    # An embedding is the largest weight of many models: no copy where none is needed.
    if not measured:
        return there
    from torch import nn

    return {name: nn.Parameter(one.detach().clone(), one.is_floating_point()) for name, one in there.items()}


@contextmanager
def untied_weights(rated: RatedModel) -> Generator[None]:
    """The modules of a further use have its copy inside, and the tied parameter afterwards.

    The gradient of a shared tensor is the sum over its uses. What a width loses is what the head reads of it; what the
    embedding writes into it is read by others again, and would count twice. So a further use gets a copy of its own
    while a batch runs; the model computes the same.
    """
    with ExitStack() as stack:
        modules = dict(rated.model.named_modules()) if rated.slices.tied else {}
        for one in rated.slices.tied:
            for path, _, attribute in (name.rpartition(".") for name in one.names):
                parameter = getattr(modules.get(path), attribute, None)
                if parameter is not None and parameter is rated.parameters.get(one.tensor):
                    stack.callback(setattr, modules[path], attribute, parameter)
                    setattr(modules[path], attribute, rated.parameters[one.names[0]])
        yield


def run_rated(
    rated: RatedModel, token: CancelToken, inputs: Inputs, inside: AbstractContextManager[Any], copies: bool = False
) -> Any:
    """The model's outputs, without gradients and with a copy for each use of tied weights.

    Args:
        rated: The model.
        token: Cancels.
        inputs: Of the model.
        inside: What watches the forward, the innermost context.
        copies: The model gets copies of the inputs, which are made inside too: they are data that the forward made.
    """
    from ..tracing.isolated_forward import quiet_forward
    from ..tracing.tree import copied_inputs
    from .cancellable_autograd import interruptible

    with untied_weights(rated), quiet_forward(rated.model), interruptible(token), inside:
        return call(rated.model, copied_inputs(inputs) if copies else inputs)
