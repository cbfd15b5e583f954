"""Runs an ExecuTorch file in a fresh process without the model's code and compares."""

from typing import Any

from numpy.typing import NDArray

from ..jobs import Job, Progress
from ..model_inputs import Inputs, as_array, call, read, with_arrays
from ..tracing.tree import as_tensors
from .compare import largest_difference
from .executorch_runtime import loaded


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run `job["path"]` on `job["cases"]`; returns {"difference": the worst one}."""
    yield Progress("Checking the file in a fresh process", 3, 4)
    run, _ = loaded(job["path"])

    def given(inputs: Inputs) -> list[NDArray[Any]]:
        return [as_array(one) for one in call(run, as_tensors(with_arrays(inputs)))]

    return {"difference": largest_difference(given, read(job["cases"]))}
