"""What the exporting process does: rebuild the model from its parcel and write it with torch's ONNX exporter."""

import contextlib
import inspect
import logging
import re
import warnings
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
from .parcel import unpack

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
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
    with _quiet():
        try:
            program = torch.onnx.export(
                model,
                inputs,
                dynamo=True,
                dynamic_shapes=_dynamic(model, inputs),
                input_names=_input_names(model, inputs) if names is None else names,
                verbose=False,
                optimize=True,
            )
        except Exception as error:
            raise ExportError(
                "export.onnx",
                "PyTorch cannot export this model to ONNX: {error}",
                COLOUR.sub("", str(error)),
                error=_first_line(error),
            ) from error
    assert program is not None
    return program.model_proto


def _forget_origins(graph: onnx.GraphProto) -> None:
    """Take out the exporter's stack traces: paths of this machine have no place in a file that is passed on."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _dynamic(model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """The first dimension of every input that has the batch is free."""
    batch, given = torch.export.Dim("batch", min=1), len(inputs[0])
    shapes = tuple({0: batch} if one.ndim and len(one) == given else {} for one in inputs)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(model.forward).parameters.values())
    return (shapes,) if variadic else shapes


def _input_names(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    if len(inputs) == 1:
        return ["input"]
    names = [n for n, p in inspect.signature(model.forward).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return names[: len(inputs)] if len(names) >= len(inputs) else [f"input_{n}" for n in range(len(inputs))]


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter's remarks on its own workings are of no use to a person."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__
