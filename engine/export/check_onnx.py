"""Runs an ONNX file in a fresh process and compares. Imports onnxruntime, not torch."""

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import call, read
from ..targets.onnxruntime_target import feeder, open_session
from .compare import difference, largest_difference


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run `job["path"]` on `job["cases"]`; returns {"difference": the worst one}."""
    return (yield from checked(job, difference))


def checked(job: dict[str, Any], compared: Callable[[Sequence[Any], Sequence[Any]], float]) -> Job[dict[str, Any]]:
    """As `main`, by another measure of what was expected and what was found."""
    yield Progress("Checking the file in a fresh process", 3, 4)
    try:
        session = open_session(job["path"])
    except Exception as error:
        raise ExportError(
            "export.onnx_load", "ONNX Runtime cannot load the exported file: {error}", error=str(error)
        ) from error
    worst = largest_difference(lambda one: session.run(None, call(feeder(session), one)), read(job["cases"]), compared)
    return {"difference": worst}
