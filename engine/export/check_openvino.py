"""Runs an OpenVINO file in a fresh process and compares. Imports no torch."""

from typing import Any

from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import batch_size, call, read
from ..targets.openvino_target import loaded
from .compare import difference


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run `job["path"]` on `job["cases"]`; returns {"difference": the worst one}."""
    yield Progress("Checking the file in a fresh process", 3, 4)
    _, run = loaded(job["path"])
    worst = 0.0
    for inputs, expected in read(job["cases"]):
        try:
            found = call(run, inputs)
        except Exception as error:
            template = "The exported file does not run at batch {batch}: {error}"
            raise ExportError("export.onnx_run", template, batch=batch_size(inputs), error=str(error)) from error
        worst = max(worst, difference(expected, found))
    return {"difference": worst}
