"""Writes a model by torch's ONNX exporters: `export_onnx_here` any one, `export_boxes_here` a two-stage detector."""

import ast
import inspect
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.onnx.operators import shape_as_tensor

from ..adapters.torchvision_detection import IMAGES, images_of
from ..errors import ExportError
from ..inference.bfloat16 import widened
from ..inference.model_inputs import Inputs
from ..recovery.mixed_precision import in_single
from ..tracing.tree import named_tensors, tensors_of
from .torch_exporters import (
    LARGEST_ONNX,
    FlatModel,
    first_line,
    free_batch,
    onnx_translations,
    output_paths,
    plain,
    quiet,
    too_large,
)

MODEL = "model."
"""Where `FlatModel` holds the model."""
SCOPES = "pkg.torch.onnx.name_scopes"
"""Where torch's exporter writes the modules around a node, as a list in Python's own form."""
OPSET = 17
"""Opset of a detector's file: torchvision's detectors need 11, runtimes of the last years know this one."""


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
        inputs: Example inputs [N, ...], N of 2 or more; the file's inputs have their names, and anything else
            becomes part of the file.
        path: File to write.
        properties: Stored as the file's metadata, with the paths of the outputs.
        homes: Store the module of each node too, in order, for a file that is only measured.
    """
    with in_single(model):  # onnxruntime has no kernels for bfloat16 on CPUs
        inputs = widened(inputs)
        paths = output_paths(model, inputs)
        flat, tensors = FlatModel(model, inputs).eval(), tuple(tensors_of(inputs))
        # Other attention kernels lay results out otherwise than the operators that are written.
        with quiet(), sdpa_kernel(SDPBackend.MATH):
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
                raise _refusal(error) from error
        assert program is not None
        graph = program.model.graph
        for weight in list(graph.initializers.values()):
            weight.name = cast("str", weight.name).removeprefix(MODEL)  # the name that the user's class has for it
        _name_outputs(graph, paths)
        proto = program.model_proto  # while the weights are in single precision: it copies them
    own = {"outputs": json.dumps(paths)}
    if homes:
        owners = {name: name.rpartition(".")[0] for name, _ in model.named_parameters()}
        own = {"homes": json.dumps([_node_home(node, owners) for node in proto.graph.node])} | own
    _write_file(proto, path, {**(properties or {}), **own})


def export_boxes_here(
    model: nn.Module, inputs: Inputs, path: str | Path, properties: Mapping[str, str] | None = None
) -> None:
    """Write a two-stage detector to an ONNX file, from the image to the boxes; as `export_onnx_here`.

    Which boxes the first stage chooses depends on the image, which torch's present exporter cannot follow; the earlier
    one, which records what runs, can. It changes the detector.
    """
    image: Tensor = images_of(inputs)[:1]
    with torch.no_grad():
        found = [name for name, _ in named_tensors(model([image[0]])[0])]
    free = {IMAGES: {2: "height", 3: "width"}, **{name: {0: "found"} for name in found}}
    with quiet():
        try:
            torch.onnx.export(
                _OneImage(model).eval(),
                (image,),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=[IMAGES],
                output_names=found,
                dynamic_axes=free,
            )
        except Exception as error:
            raise _refusal(error) from error
    _write_file(onnx.load(str(path)), path, {**(properties or {}), "outputs": json.dumps(found)})


def _refusal(error: Exception) -> ExportError:
    template = "PyTorch cannot export this model to ONNX: {error}"
    return ExportError("export.onnx", template, plain(error), error=first_line(error))


def _write_file(proto: onnx.ModelProto, path: str | Path, properties: dict[str, str]) -> None:
    """Write a graph with properties; raises ExportError where one file cannot hold it."""
    if proto.ByteSize() > LARGEST_ONNX:
        raise too_large()
    graph = proto.graph
    # The exporter's stack traces: paths of this machine have no place in a file that is passed on.
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.helper.set_model_props(proto, properties)
    proto.producer_name = "Secateur"
    onnx.checker.check_model(proto)
    Path(path).write_bytes(proto.SerializeToString())


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


def _name_outputs(graph: ir.Graph, paths: list[str]) -> None:
    """Name the outputs by their paths, with "output" before a path that cannot be a name.

    A value that is two outputs, or an input or a weight, gets a copy for each.
    """
    made = {id(one): one for node in graph for one in node.outputs}
    for number, value in enumerate(graph.outputs):
        if made.pop(id(value), None) is None:
            copy = ir.node("Identity", [value])
            graph.append(copy)
            graph.outputs[number] = copy.outputs[0]
            copy.outputs[0].shape, copy.outputs[0].type = value.shape, value.type
    # Names of values inside must not be in the way of the outputs' own.
    for inner in made.values():
        inner.name = f"{inner.name}_value" if inner.name in paths else inner.name
    taken = {one.name for one in (*graph.inputs, *graph.initializers.values())}
    for path, value in zip(paths, graph.outputs, strict=True):
        is_name = path and not path[0].isdigit() and path not in taken
        value.name = path if is_name else f"output_{path}".rstrip("_")


def _node_home(node: onnx.NodeProto, owners: Mapping[str, str]) -> str:
    """The module of a node: whose parameter it reads first, else the one it was traced in; "" for the model."""
    own = next((owners[one] for one in node.input if one in owners), None)
    if own is not None:
        return own
    scopes = next((one.value for one in node.metadata_props if one.key == SCOPES), "[]")
    modules = [one for one in ast.literal_eval(scopes)[:-1] if one.startswith(MODEL)]
    return modules[-1].removeprefix(MODEL) if modules else ""


class _OneImage(nn.Module):
    """A detector that takes one image [1, 3, H, W] and gives what it finds, array by array. It changes the detector."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        if model.transform.fixed_size is None:
            model.transform.resize = partial(_resize_as_in_eager_mode, model.transform)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [tensor for _, tensor in named_tensors(self.model([images[0]])[0])]


def _resize_as_in_eager_mode(transform: Any, image: Tensor, target: None) -> tuple[Tensor, None]:
    """An image [3, H, W] at the size that a detector gives it, by numbers that a graph can hold.

    torchvision's own are float32 while it is traced. The shorter side is to become a whole number, so that the last
    digit decides between that and one pixel less: for every tenth size of an image the file would work on another one.
    """
    sides = shape_as_tensor(image)[-2:].double()
    shortest, longest = torch.tensor([transform.min_size[-1], transform.max_size], dtype=torch.float64).unbind()
    # Of one element each: a scalar would be taken for float32.
    scale = torch.minimum((shortest / sides).amax(0, True), (longest / sides).amin(0, True))
    height, width = (sides * scale).long().unbind()
    size = cast("list[int]", [height, width])
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0], target
