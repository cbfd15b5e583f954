"""Weights that a cut multiplies, as the code after them computes with another number than before (`folding.py`)."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ....structures.analysis import Analysis, Mask

Factor: TypeAlias = tuple[str, int, tuple[int, ...] | None, float, tuple[str, ...]]
"""As in `Edits.weights`."""
Factors: TypeAlias = tuple[Factor, ...]
Rates: TypeAlias = Mapping[str, torch.Tensor]
"""By parameter: what its entries are multiplied by; of its shape, or one long in a dimension."""


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
    for name, rate in rates_of(analysis, removed, factors).items():
        own[name].data = times(own[name].data, rate)


def rates_of(analysis: Analysis, removed: Mask, factors: Factors) -> Rates:
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


def times(tensor: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """Rounded once, to the tensor's own type."""
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    return (tensor.to(wide) * rate.to(tensor.device)).to(tensor.dtype)
