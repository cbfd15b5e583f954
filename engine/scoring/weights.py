"""The parameters of a model by the names of the analysis, and as numpy arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AnalysisError
from ..structures.analysis import Analysis, TensorInfo
from ..structures.transition import KeptIndices
from .protocol import RatedModel


def parameters_of(model: Any, analysis: Analysis, kept: KeptIndices) -> dict[str, Any]:
    """Canonical name -> parameter, for those that the model still has; their shapes are checked against `kept`."""
    named = dict(model.named_parameters(remove_duplicate=False))
    found: dict[str, Any] = {}
    for tensor in analysis.tensors:
        if not tensor.parameter or kept.get(tensor.name, ()) is None:
            continue
        name = next((n for n in (tensor.name, *tensor.aliases) if n in named), None)
        if name is None or tuple(named[name].shape) != _shape_now(tensor, kept):
            raise AnalysisError(
                "scoring.mismatch",
                "{tensor} does not match this state of the model. Open the model again.",
                tensor=tensor.name,
                details=f"found {name and tuple(named[name].shape)}, expected {_shape_now(tensor, kept)}",
            )
        found[tensor.name] = named[name]
    return found


def as_array(rated: RatedModel, name: str) -> NDArray[np.float32]:
    """A weight as it runs, as float32 (float64 stays), without a copy where possible."""
    return to_array(rated.made[name] if name in rated.made else rated.parameters[name])


def shape_of(rated: RatedModel, name: str) -> tuple[int, ...]:
    """The present shape of a parameter."""
    return tuple(rated.parameters[name].shape)


def to_array(tensor: Any) -> NDArray[np.float32]:
    """A tensor as float32 (float64 stays), without a copy where possible."""
    values = tensor.detach().cpu()
    return (values if values.element_size() >= 4 else values.float()).numpy()


def _shape_now(tensor: TensorInfo, kept: KeptIndices) -> tuple[int, ...]:
    dims = kept.get(tensor.name) or (None,) * len(tensor.shape)
    return tuple(n if k is None else len(k) for n, k in zip(tensor.shape, dims, strict=True))
