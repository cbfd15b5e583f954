"""Weights that a cut multiplies, as the code after them computes with another number than before (`folding.py`)."""

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..structures.analysis import Analysis, Mask
from .slicing import relative_keeps, slice_tensor

Factor: TypeAlias = tuple[str, int, tuple[int, ...] | None, float, tuple[str, ...]]
"""As in `Edits.weights`."""
Factors: TypeAlias = tuple[Factor, ...]


def relative_factors(earlier: Factors, now: Factors) -> Factors:
    """What is still to be multiplied where the earlier factors are in the weights, for those that shall be now."""
    if earlier == now:
        return ()
    return (*now, *((name, dim, indices, 1 / factor, results) for name, dim, indices, factor, results in earlier))


def scale(model: nn.Module, analysis: Analysis, removed: Mask, factors: Factors) -> None:
    """Multiply weights of a model in place.

    Args:
        model: At the state in which `removed` is gone.
        analysis: Of the original.
        removed: What is gone.
        factors: Indices in the original's numbering.
    """
    own = dict(model.named_parameters())
    for name, rate in _rates(analysis, removed, factors).items():
        own[name].data = _times(own[name].data, rate)


def unrounded(
    before: nn.Module, after: nn.Module, cut_model: nn.Module, plan: tuple[Analysis, Mask, Mask], factors: Factors
) -> None:
    """Give a copy in a finer type the products that the cut model's weights are the roundings of.

    A comparison in that type would show nothing but the rounding. A weight that is off by more stays as it is.

    Args:
        before: Copy of the model that was cut, in the finer type.
        after: Copy of the cut model in the finer type; changed in place.
        cut_model: The cut model itself.
        plan: Analysis, what was gone before, what is gone after.
        factors: What the cut multiplied.
    """
    whole, own, rounded = (dict(model.named_parameters()) for model in (before, after, cut_model))
    keeps = relative_keeps(*plan)
    for name, rate in _rates(plan[0], plan[2], factors).items():
        exact = _times(slice_tensor(whole[name].data, keeps.get(name) or ()), rate)
        near = (own[name].data - exact).abs() <= torch.finfo(rounded[name].dtype).eps * exact.abs()
        own[name].data = torch.where(near, exact, own[name].data)


def _rates(analysis: Analysis, removed: Mask, factors: Factors) -> dict[str, torch.Tensor]:
    """By what each entry of a parameter is multiplied; of the parameter's shape, or one long in a dimension."""
    kept, tensors = analysis.kept_indices(removed), {one.name: one for one in analysis.tensors}
    rates: dict[str, NDArray[np.float64]] = {}
    for name, dim, indices, factor, _ in factors:
        shape = tensors[name].shape
        if kept.get(name, ()) is not None:  # else it vanished with a block
            rate = np.ones(shape[dim])
            rate[slice(None) if indices is None else list(indices)] = factor
            own = (kept.get(name) or (None,) * len(shape))[dim]
            rate = (rate if own is None else rate[own]).reshape([-1 if n == dim else 1 for n in range(len(shape))])
            rates[name] = rates.get(name, np.ones(1)) * rate
    return {name: torch.from_numpy(rate) for name, rate in rates.items()}


def _times(tensor: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """Rounded once, to the tensor's own type."""
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    return (tensor.to(wide) * rate.to(tensor.device)).to(tensor.dtype)
