"""The exporting process: rebuilds the packed model and writes it with torch's ONNX exporter."""

import ast
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import onnx
import onnx_ir as ir
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..bfloat16 import widened
from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import Inputs, read
from ..recovery.mixed_precision import in_single
from ..sources.open import unpack
from ..targets.token_step import StepModel
from ..tracing.tree import as_tensors, named_tensors, tensors_of
from .expert_products import onnx_translations
from .exporter_options import first_line, free_batch, plain, quiet
from .flat_model import FlatModel, output_paths
from .onnx_size import LARGEST, too_large

MODEL = "model."
"""Where `FlatModel` holds the model."""
SCOPES = "pkg.torch.onnx.name_scopes"
"""Where torch's exporter writes the modules around a node, as a list in Python's own form."""


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Export the parcel `job["parcel"]` to `job["path"]`."""
    yield Progress("Rebuilding the model", 0, 4)
    model = unpack(job["parcel"])
    model = StepModel(model).eval() if job["step"] else model
    inputs = as_tensors(read(job["inputs"]))
    yield Progress("Exporting to ONNX", 1, 4)
    export_onnx_here(model, inputs, job["path"], job["properties"])
    return {}


def export_onnx_here(
    model: nn.Module,
    inputs: Inputs,
    path: str | Path,
    properties: Mapping[str, str] | None = None,
    homes: bool = False,
) -> None:
    """Write `model` to an ONNX file with a free batch size, in this process; cannot be interrupted.

    A model in half precision becomes a file that computes in float32.

    Args:
        model: In eval mode.
        inputs: Example inputs [N, ...], N of 2 or more; the file's inputs have their names, and what is no tensor
            becomes part of the file.
        path: File to write.
        properties: Stored as the file's metadata, beside the paths of the outputs.
        homes: Store the module of each node too, in order, for a file that is only measured.
    """
    with in_single(model):  # onnxruntime has no kernels for bfloat16 on CPUs
        inputs = widened(inputs)
        paths = output_paths(model, inputs)
        proto = _exported(model, inputs, paths)
    told = {"homes": json.dumps(_homes(model, proto.graph))} if homes else {}
    put(proto, path, {**(properties or {}), **told, "outputs": json.dumps(paths)})


def put(proto: onnx.ModelProto, path: str | Path, told: Mapping[str, str]) -> None:
    """Write a graph with what it tells of itself; raises ExportError where one file cannot hold it."""
    if proto.ByteSize() > LARGEST:
        raise too_large()
    _forget_origins(proto.graph)
    onnx.helper.set_model_props(proto, dict(told))
    proto.producer_name = "Secateur"
    onnx.checker.check_model(proto)
    Path(path).write_bytes(proto.SerializeToString())


def _exported(model: nn.Module, inputs: Inputs, answers: list[str]) -> onnx.ModelProto:
    flat, tensors = FlatModel(model, inputs).eval(), tuple(tensors_of(inputs))
    with quiet(), sdpa_kernel(SDPBackend.MATH):  # other kernels lay results out otherwise than the operators written
        try:
            program = torch.onnx.export(
                flat,
                tensors,
                dynamo=True,
                dynamic_shapes=free_batch(flat, tensors),
                input_names=_input_names(model, inputs),
                custom_translation_table=onnx_translations(),
                verbose=False,
                optimize=True,
            )
        except Exception as error:
            raise refused(error) from error
    assert program is not None
    for weight in list(program.model.graph.initializers.values()):
        weight.name = cast("str", weight.name).removeprefix(MODEL)  # the name that the user's class has for it
    _name_outputs(program.model.graph, answers)
    return program.model_proto


def refused(error: Exception) -> ExportError:
    """What stopped torch's exporter, in a sentence."""
    template = "PyTorch cannot export this model to ONNX: {error}"
    return ExportError("export.onnx", template, plain(error), error=first_line(error))


def _name_outputs(graph: ir.Graph, paths: list[str]) -> None:
    """Name the outputs by their paths, with "output" before what is no name of its own.

    One that stands in several places, or is an input or a weight, gets a copy of its own.
    """
    made = {id(one): one for node in graph for one in node.outputs}
    for number, value in enumerate(graph.outputs):
        if made.pop(id(value), None) is None:
            copy = ir.node("Identity", [value])
            graph.append(copy)
            graph.outputs[number] = copy.outputs[0]
            copy.outputs[0].shape, copy.outputs[0].type = value.shape, value.type
    for inner in made.values():
        inner.name = f"{inner.name}_value" if inner.name in paths else inner.name
    taken = {one.name for one in (*graph.inputs, *graph.initializers.values())}
    for path, value in zip(paths, graph.outputs, strict=True):
        is_name = path and not path[0].isdigit() and path not in taken
        value.name = path if is_name else f"output_{path}".rstrip("_")


def _homes(model: nn.Module, graph: onnx.GraphProto) -> list[str]:
    """The module of each node: whose parameter it reads first, else the one it was traced in; "" for the model."""
    owners = {name: name.rpartition(".")[0] for name, _ in model.named_parameters()}
    read = [next((owners[one] for one in node.input if one in owners), None) for node in graph.node]
    return [_traced_in(node) if home is None else home for node, home in zip(graph.node, read, strict=True)]


def _traced_in(node: onnx.NodeProto) -> str:
    """The module that a node was traced in, "" for the model itself and where that is not known."""
    scopes = next((one.value for one in node.metadata_props if one.key == SCOPES), "[]")
    modules = [one for one in ast.literal_eval(scopes)[:-1] if one.startswith(MODEL)]
    return modules[-1].removeprefix(MODEL) if modules else ""


def _forget_origins(graph: onnx.GraphProto) -> None:
    """Take out the exporter's stack traces: paths of this machine have no place in a file that is passed on."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _input_names(model: nn.Module, inputs: Inputs) -> list[str]:
    """The names that inputs are given by, or those of the forward's arguments."""
    paths = [path for path, _ in named_tensors(inputs)]
    if isinstance(inputs, Mapping):
        return paths
    if len(paths) == 1:
        return ["input"]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    arguments = [n for n, p in inspect.signature(model.forward).parameters.items() if p.kind in kinds]
    heads = arguments if len(arguments) >= len(inputs) else [f"input_{n}" for n in range(len(inputs))]
    split = [path.partition(".") for path in paths]
    return [f"{heads[int(first)]}{dot}{rest}" for first, dot, rest in split]
