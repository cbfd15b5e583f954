"""The exporting process: rebuilds the packed model and lowers it for ExecuTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..bfloat16 import widened
from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import Inputs, read
from ..recovery.mixed_precision import in_single
from ..sources.open import unpack
from ..tracing.tree import as_tensors, named_tensors, tensors_of
from .executorch_runtime import ABOUT, library, told
from .expert_products import has_grouped_products
from .exporter_options import first_line, plain, quiet
from .flat_model import FlatModel, output_paths


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Export the parcel `job["parcel"]` to `job["path"]`, at the batch of its inputs."""
    yield Progress("Rebuilding the model", 0, 4)
    model, inputs = unpack(job["parcel"]), as_tensors(read(job["inputs"]))
    yield Progress("Exporting to ExecuTorch", 1, 4)
    export_executorch_here(model, inputs, job["path"], job["properties"])
    return {}


def export_executorch_here(
    model: nn.Module, inputs: Inputs, path: str | Path, properties: Mapping[str, str] | None = None
) -> None:
    """Write `model` as a file in float32, in this process; cannot be interrupted.

    Args:
        model: In eval mode.
        inputs: Example inputs [N, ...]; the file takes their tensors one by one, at this batch size.
        path: File to write.
        properties: What the file says of itself, beside the paths of its inputs and outputs.
    """
    given: Any = model
    with in_single(model), quiet():
        inputs = widened(inputs)
        outputs = output_paths(model, inputs)
        about = {**(properties or {}), "inputs": [name for name, _ in named_tensors(inputs)], "outputs": outputs}
        try:
            program = _traced(model, inputs)
            if has_grouped_products(program):  # ExecuTorch has no kernel for them
                given.set_experts_implementation("batched_mm")
                program = _traced(model, inputs)
            content = _lowered(program, about)
        except Exception as error:  # of many kinds, from several compilers
            template = "ExecuTorch cannot hold this model: {error}"
            raise ExportError("export.executorch", template, plain(error), error=first_line(error)) from error
    Path(path).write_bytes(content)


def _traced(model: nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    with sdpa_kernel(SDPBackend.MATH):
        return torch.export.export(FlatModel(model, inputs).eval(), tuple(tensors_of(inputs)))


def _lowered(program: torch.export.ExportedProgram, about: Mapping[str, Any]) -> bytes:
    """The file's content: parts that XNNPACK knows are for it, all others for the portable kernels."""
    lower: Any = library("exir").to_edge_transform_and_lower
    partitioner: Any = library("backends.xnnpack.partition.xnnpack_partitioner").XnnpackPartitioner
    reason = ""
    for parts in ([partitioner()], []):
        methods = {ABOUT: told({**about, "portable": reason})}
        try:
            return bytes(lower(program, partitioner=parts, constant_methods=methods).to_executorch().buffer)
        except Exception as error:
            if not parts:
                raise
            reason = first_line(error)
    raise AssertionError
