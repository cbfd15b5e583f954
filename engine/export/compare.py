"""Compares the outputs of a file with those of the model. Arrays only: processes that check a file load no torch.

`check_onnx`, `check_boxes` and `check_openvino` are such processes. Formats that need torch have theirs in the
exporter's file (`program.check_program`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError
from ..inference.model_inputs import Inputs, batch_size, call, read
from ..jobs import Job, Progress

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
    worst = 0.0
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if a.size == 0 or np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
            continue
        # In double precision: numpy subtracts no truth values, and small integers would overflow.
        gap = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
        size = float(np.abs(a.astype(np.float64)).max())
        worst = max(worst, gap / size if size and np.isfinite(gap) else float("inf"))
    return worst


def largest_difference(
    run: Callable[[Inputs], Sequence[NDArray[Any]]],
    cases: Iterable[ReferenceCase],
    compared: Callable[[Sequence[Any], Sequence[Any]], float] = difference,
) -> float:
    """The worst of all cases; raises ExportError where the file does not run on one.

    Args:
        run: The file, as a function of a case's inputs.
        cases: Inputs, and the model's outputs.
        compared: Gives the difference of the expected and the found outputs.
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

    Each box is compared with the nearest one of its class, both ways. The last digit of a score decides which of
    several nearly equal boxes wins, so that a few may have no partner (`UNPAIRED`).
    """
    if len(expected) != len(found):
        return float("inf")
    (boxes, labels, scores), (others, named, said) = expected[:3], found[:3]
    size = float(np.abs(boxes).max(initial=1.0))
    far = np.abs(boxes[:, None] - others[None]).max(-1, initial=0.0) / size
    far = np.maximum(far, np.abs(scores[:, None] - said[None]))
    far = np.where(labels[:, None] == named[None], far, np.inf)
    unpaired = math.ceil(UNPAIRED * max(far.shape))
    if not len(boxes) or not len(others):
        return float("inf") if max(len(boxes), len(others)) > unpaired else 0.0
    partner = far.argmin(1)
    here = far.min(1)
    for a, b in zip(expected[3:], found[3:], strict=True):
        if a.shape[1:] != b.shape[1:]:
            return float("inf")
        gaps = np.abs(a - b[partner]).reshape(len(a), -1).max(1)
        here = np.maximum(here, gaps / float(np.abs(a).max(initial=1.0)))
    both = (np.sort(one)[::-1][unpaired:] for one in (here, far.min(0)))
    return float(max(one.max(initial=0.0) for one in both))


def check_onnx(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run the ONNX file `job["path"]` on `job["cases"]`; returns {"difference": the worst one}."""
    return (yield from _check_onnx(job, difference))


def check_boxes(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """As `check_onnx`, for a detector's file: compares the boxes that it finds."""
    return (yield from _check_onnx(job, difference_of_boxes))


def _check_onnx(job: dict[str, Any], compared: Callable[[Sequence[Any], Sequence[Any]], float]) -> Job[dict[str, Any]]:
    from ..targets.onnxruntime_target import feeder, open_session

    yield Progress("Checking the file in a fresh process", 3, 4)
    try:
        session = open_session(job["path"])
    except Exception as error:
        raise ExportError(
            "export.onnx_load", "ONNX Runtime cannot load the exported file: {error}", error=str(error)
        ) from error
    worst = largest_difference(lambda one: session.run(None, call(feeder(session), one)), read(job["cases"]), compared)
    return {"difference": worst}


def check_openvino(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """As `check_onnx`, for an OpenVINO file."""
    from ..targets.openvino_target import load_file

    yield Progress("Checking the file in a fresh process", 3, 4)
    _, run = load_file(job["path"])
    return {"difference": largest_difference(lambda one: call(run, one), read(job["cases"]))}
