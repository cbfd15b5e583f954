"""How far a file's outputs are from the model's: arrays only, so that the checking process needs no torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inputs import Inputs

TOLERANCE = 1e-4
"""Largest difference that an exported file may show."""

Case = tuple[Inputs, list[NDArray[Any]]]
"""Inputs as arrays, positional or by name, and the model's outputs, at one batch size."""


def difference(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    """max|a - b| / max|a|, worst over the outputs; infinite where number, shape or finiteness differ."""
    if len(expected) != len(found):
        return float("inf")
    return max((_one(a, b) for a, b in zip(expected, found, strict=True)), default=0.0)


def _one(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0 or np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
        return 0.0
    gap = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
    size = float(np.abs(a.astype(np.float64)).max())
    return gap / size if size and np.isfinite(gap) else float("inf")
