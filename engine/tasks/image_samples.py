"""Preprocesses pixels into a model's input, and turns an input back into a picture to show."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import TaskError
from .protocol import Sample, TaskSpec


def channels_first(x: NDArray[Any]) -> NDArray[Any]:
    """[N, H, W] or [N, H, W, C] to [N, C, H, W]; what is no image stays as it is."""
    if x.ndim == 3 and np.issubdtype(x.dtype, np.uint8):
        return x[:, None]
    if x.ndim == 4 and x.shape[1] not in (1, 3, 4) and x.shape[-1] in (1, 3, 4):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def normalise(x: NDArray[Any], spec: TaskSpec) -> torch.Tensor:
    """Bytes to 0..1, then minus mean over std per channel; other integers (tokens) stay what they are."""
    if np.issubdtype(x.dtype, np.integer) and x.dtype != np.uint8:
        return torch.from_numpy(x.astype(np.int64))
    result = torch.from_numpy(x.astype(np.float32))
    if x.dtype == np.uint8:
        result /= 255
    return standardise(result, spec)


def standardise(x: torch.Tensor, spec: TaskSpec) -> torch.Tensor:
    """Subtract the mean and divide by the deviation of each channel of [N, C, ...]; nothing where none is given."""
    if not spec.mean and not spec.std:
        return x
    mean, std = per_channel(spec.mean or (0.0,), x), per_channel(spec.std or (1.0,), x)
    if not bool((std > 0).all()):
        raise TaskError("task.std", "Standard deviations must be above 0, not {std}.", std=list(spec.std))
    return (x - mean) / std


def per_channel(values: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
    """One value for all channels of [N, C, ...], or one for each, to be computed with; raises TaskError otherwise."""
    if len(values) not in (1, x.shape[1]):
        template = (
            "The data has {channels} channels, but {given} values of mean or std were given. Give one for each channel."
        )
        raise TaskError("task.means", template, channels=x.shape[1], given=len(values))
    return torch.tensor(values, dtype=x.dtype).reshape(1, -1, *([1] * (x.ndim - 2)))


def sample(x: torch.Tensor, label: str, predicted: str, text: str = "") -> Sample:
    """A preprocessed input [C, H, W] to look at; anything else has no picture, but what a person reads of it."""
    low, high = float(x.min()), float(x.max())
    picture: NDArray[np.uint8] | None = None
    if x.ndim == 3 and x.shape[0] in (1, 3):
        stretched = ((x - low) / max(high - low, 1e-12) * 255).round().to(torch.uint8).numpy()
        picture = stretched[0] if len(stretched) == 1 else np.ascontiguousarray(stretched.transpose(1, 2, 0))
    return Sample(picture, label, predicted, tuple(x.shape), low, high, text)
