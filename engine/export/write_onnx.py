"""What the exporting process does: rebuild the model from its parcel and write it with torch's ONNX exporter."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ..errors import ExportError
from ..jobs import Job, Progress
from ..tracing.reading import Inputs, tensors_of
from .exporting import first_line, free_batch, plain, quiet
from .parcel import unpack

LARGEST = 2**31 - 2**20
"""Bytes that one protobuf file can hold."""


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Export the parcel `job["parcel"]` to `job["path"]`."""
    yield Progress("Rebuilding the model", 0, 4)
    model = unpack(job["parcel"])
    with np.load(job["inputs"]) as content:
        inputs = tuple(torch.from_numpy(content[name]) for name in content.files)
    yield Progress("Exporting to ONNX", 1, 4)
    export_onnx_here(model, inputs, job["path"], job["properties"])
    return {}


def export_onnx_here(
    model: nn.Module, inputs: Inputs, path: str | Path, properties: Mapping[str, str] | None = None
) -> None:
    """Write `model` to an ONNX file with a free batch size, in this process; cannot be interrupted.

    Args:
        model: In eval mode.
        inputs: Example inputs [N, ...], N of 2 or more; of those by name, what is no tensor becomes part of the file.
        path: File to write.
        properties: Stored as the file's metadata.
    """
    proto = _by_name(model, inputs) if isinstance(inputs, Mapping) else _exported(model, inputs)
    if proto.ByteSize() > LARGEST:
        raise ExportError(
            "export.too_large", "The model has more than 2 GB of weights, which one ONNX file cannot hold."
        )
    _forget_origins(proto.graph)
    onnx.helper.set_model_props(proto, dict(properties or {}))
    proto.producer_name = "Secateur"
    onnx.checker.check_model(proto)
    Path(path).write_bytes(proto.SerializeToString())


class _ByName(nn.Module):
    """A model that takes its tensors by position, and what else it is given as it is now."""

    def __init__(self, model: nn.Module, inputs: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.names = [name for name, value in inputs.items() if isinstance(value, Tensor)]
        self.others = {name: value for name, value in inputs.items() if name not in self.names}

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        return tensors_of(self.model(**dict(zip(self.names, tensors, strict=True)), **self.others))


def _by_name(model: nn.Module, inputs: Mapping[str, Any]) -> onnx.ModelProto:
    wrapped = _ByName(model, inputs)
    return _exported(wrapped.eval(), tuple(inputs[name] for name in wrapped.names), wrapped.names)


def _exported(model: nn.Module, inputs: tuple[Tensor, ...], names: list[str] | None = None) -> onnx.ModelProto:
    with quiet():
        try:
            program = torch.onnx.export(
                model,
                inputs,
                dynamo=True,
                dynamic_shapes=free_batch(model, inputs),
                input_names=_input_names(model, inputs) if names is None else names,
                verbose=False,
                optimize=True,
            )
        except Exception as error:
            raise ExportError(
                "export.onnx",
                "PyTorch cannot export this model to ONNX: {error}",
                plain(error),
                error=first_line(error),
            ) from error
    assert program is not None
    return program.model_proto


def _forget_origins(graph: onnx.GraphProto) -> None:
    """Take out the exporter's stack traces: paths of this machine have no place in a file that is passed on."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _input_names(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    if len(inputs) == 1:
        return ["input"]
    names = [n for n, p in inspect.signature(model.forward).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return names[: len(inputs)] if len(names) >= len(inputs) else [f"input_{n}" for n in range(len(inputs))]
