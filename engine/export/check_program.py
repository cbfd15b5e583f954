"""Loads an exported program in a process without the model's code and compares."""

from typing import Any

import torch

from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import batch_size, call, read, with_arrays
from ..tracing.tree import as_tensors
from .compare import difference
from .loaded_program import fixed_batch, load
from .reference_outputs import outputs


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Run `job["path"]` on those of `job["cases"]` that fit its batch; returns {"difference": the worst one}."""
    yield Progress("Checking the file in a fresh process", 3, 4)
    try:
        program = load(job["path"])
    except Exception as error:
        raise ExportError(
            "export.program_load", "PyTorch alone cannot load the exported file: {error}", error=str(error)
        ) from error
    run, batch = program.module(), fixed_batch(program)
    found: list[float] = []
    for inputs, expected in read(job["cases"]):
        if batch in (None, batch_size(inputs)):
            try:
                with torch.no_grad():
                    result = outputs(call(run, as_tensors(with_arrays(inputs))))
            except Exception as error:
                raise ExportError(
                    "export.program_run",
                    "The exported file does not run at batch {batch}: {error}",
                    batch=batch_size(inputs),
                    error=str(error),
                ) from error
            found.append(difference(expected, result))
    return {"difference": max(found, default=float("inf"))}
