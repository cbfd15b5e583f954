"""Runs an ExecuTorch file in a fresh process without the model's code and compares."""

from typing import Any

from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import as_array, batch_size, call, read, with_arrays
from ..tracing.tree import as_tensors
from .compare import difference
from .executorch_runtime import loaded


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run `job["path"]` on `job["cases"]`; returns {"difference": the worst one}."""
    yield Progress("Checking the file in a fresh process", 3, 4)
    run, _ = loaded(job["path"])
    worst = 0.0
    for inputs, expected in read(job["cases"]):
        try:
            found = call(run, as_tensors(with_arrays(inputs)))
        except Exception as error:
            template = "The exported file does not run at batch {batch}: {error}"
            raise ExportError("export.onnx_run", template, batch=batch_size(inputs), error=str(error)) from error
        worst = max(worst, difference(expected, [as_array(one) for one in found]))
    return {"difference": worst}
