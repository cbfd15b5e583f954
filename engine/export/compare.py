"""Difference between the outputs of a file and of the model. Arrays only: the checking process needs no torch."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError
from ..model_inputs import Inputs, batch_size

TOLERANCE, COARSE = 1e-4, 2.0**-5
"""Largest difference that an exported file may show; the second where both compute in bfloat16.

That has 8 bits, and what is rounded after sums in another order differs in the last one in every layer.
"""

UNPAIRED = 0.02
"""Share of a detector's boxes, at least one box, that may have no partner; see `difference_of_boxes`."""

ReferenceCase = tuple[Inputs, list[NDArray[Any]]]
"""Inputs as arrays, positional or by name, and the model's outputs, at one batch size."""


def difference(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    """max|a - b| / max|a|, worst over the outputs; infinite where number, shape or finiteness differ."""
    if len(expected) != len(found):
        return float("inf")
    return max((_one(a, b) for a, b in zip(expected, found, strict=True)), default=0.0)


def largest_difference(
    run: Callable[[Inputs], Sequence[NDArray[Any]]],
    cases: Iterable[ReferenceCase],
    compared: Callable[[Sequence[Any], Sequence[Any]], float] = difference,
) -> float:
    """The worst of all cases; raises ExportError where the file does not run on one.

    Args:
        run: The file, as a function of a case's inputs.
        cases: Inputs, and what the model answers to them.
        compared: What was expected and what was found -> their difference.
    """
    worst = 0.0
    for inputs, expected in cases:
        try:
            found = run(inputs)
        except Exception as error:
            template = "The exported file does not run at batch {batch}: {error}"
            raise ExportError("export.onnx_run", template, batch=batch_size(inputs), error=str(error)) from error
        worst = max(worst, compared(expected, found))
    return worst


def difference_of_boxes(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    """As `difference`, for what is found in one image: boxes [R, 4], labels [R], scores [R], more of the same boxes.

    Each box is held against the nearest one of its class, both ways. The last digit of a score decides which of several
    nearly equal boxes wins, so that a few may have no partner (`UNPAIRED`).
    """
    if len(expected) != len(found):
        return float("inf")
    (boxes, labels, scores), (others, named, said) = expected[:3], found[:3]
    size = float(np.abs(boxes).max(initial=1.0))
    far = np.abs(boxes[:, None] - others[None]).max(-1, initial=0.0) / size
    far = np.maximum(far, np.abs(scores[:, None] - said[None]))
    far = np.where(labels[:, None] == named[None], far, np.inf)
    if not len(boxes) or not len(others):
        return float("inf") if max(len(boxes), len(others)) > _unpaired(far) else 0.0
    partner = far.argmin(1)
    here = far.min(1)
    for a, b in zip(expected[3:], found[3:], strict=True):
        if a.shape[1:] != b.shape[1:]:
            return float("inf")
        gaps = np.abs(a - b[partner]).reshape(len(a), -1).max(1)
        here = np.maximum(here, gaps / float(np.abs(a).max(initial=1.0)))
    both = (np.sort(one)[::-1][_unpaired(far) :] for one in (here, far.min(0)))
    return float(max(one.max(initial=0.0) for one in both))


def _unpaired(far: NDArray[Any]) -> int:
    """How many may have no partner."""
    return math.ceil(UNPAIRED * max(far.shape))


def _one(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0 or np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
        return 0.0
    gap = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
    size = float(np.abs(a.astype(np.float64)).max())
    return gap / size if size and np.isfinite(gap) else float("inf")
