"""The converting processes: make an fp16, int8 or OpenVINO file of an ONNX file. They import no torch."""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from ..errors import ExportError
from ..inference.model_inputs import Inputs, batch_size, call, read
from ..jobs import Job, Progress
from ..targets.onnxruntime_target import feed_by
from ..targets.openvino_target import library

PER_CHANNEL = 13
"""The first opset in which DequantizeLinear has a scale for each channel."""
OUTPUTS = ["secateur", "outputs"]
"""Where an OpenVINO graph has, as JSON, the paths of its outputs in the model's output."""
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


def lower_precision(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Write `job["source"]` in `job["precision"]` to `job["path"]`, with temporary files in `job["place"]`."""
    yield Progress("Converting the file", 2, 4)
    logging.disable(logging.WARNING)  # of tensors that have fewer axes than their product's scales
    former, tempfile.tempdir = tempfile.tempdir, job["place"]  # else files of a killed process would stay
    source = onnx.load(job["source"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weights below the smallest number of fp16 become that number
            made = (
                in_fp16(source) if job["precision"] == "fp16" else in_int8(source, read(job["samples"]), job["place"])
            )
        made.producer_name = "Secateur"
        own = {one.key: one.value for one in source.metadata_props}
        onnx.helper.set_model_props(made, own | {"precision": job["precision"]})
        onnx.checker.check_model(made)
    except Exception as error:
        template = "ONNX Runtime cannot convert the file to {precision}: {error}"
        raise ExportError(
            "export.convert", template, repr(error), precision=job["precision"], error=str(error).partition("\n")[0]
        ) from error
    finally:
        tempfile.tempdir = former
        logging.disable(logging.NOTSET)
    Path(job["path"]).write_bytes(made.SerializeToString())
    return {}


def in_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with weights in fp16, which computes in it where ONNX Runtime can; inputs and outputs stay.

    Counts and places stay in float32: fp16 is exact to 2048 only.
    """
    half: Any = import_module("onnxruntime.transformers.float16")
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"  # the library keeps nodes by name
    converted: onnx.ModelProto = half.convert_float_to_float16(
        model, keep_io_types=True, node_block_list=_counting_nodes(model)
    )
    made = ir.from_proto(converted)
    graph = made.graph
    graph.sort()  # the library puts its casts at the end
    # Between two nodes which both compute in float32 the library goes through fp16: take that out.
    for node in list(graph):
        before = node.inputs[0].producer() if node.op_type == "Cast" and node.inputs[0] is not None else None
        if before is None or before.op_type != "Cast" or node.outputs[0].is_graph_output():
            continue
        source, kinds = before.inputs[0], [one.attributes["to"].as_int() for one in (before, node)]
        if source is not None and source.dtype is ir.DataType.FLOAT and kinds == [ir.DataType.FLOAT16, source.dtype]:
            node.outputs[0].replace_all_uses_with(source)
            graph.remove(node, safe=True)
    return ir.to_proto(made)


def _counting_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that compute whole numbers from whole numbers by way of floats (tokens of each expert)."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    kinds = {one.name: one.type.tensor_type.elem_type for one in (*graph.value_info, *graph.input, *graph.output)}
    kinds |= {one.name: one.data_type for one in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    whole = {one.name for one in graph.initializer}
    whole |= {one.name for one in graph.input if kinds[one.name] not in FLOATS}
    for node in graph.node:  # each comes after those that it reads
        from_whole = all(name in whole for name in node.input if name)
        whole.update(name for name in node.output if from_whole or kinds.get(name) not in FLOATS)
    ends = [node for node in graph.node if all(kinds.get(name) not in FLOATS for name in node.output)]
    read = {id(node): [name for name in node.input if kinds.get(name) in FLOATS] for node in ends}
    waiting = [node for node in ends if read[id(node)] and whole.issuperset(read[id(node)])]
    found: dict[str, None] = {}
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = None
            waiting += [made_by[name] for name in node.input if kinds.get(name) in FLOATS and name in made_by]
    return list(found)


def in_int8(model: onnx.ModelProto, samples: Sequence[Inputs], place: str) -> onnx.ModelProto:
    """The same graph with int8 weights, a scale for each channel, and activations in the ranges that samples show.

    Args:
        model: The graph in float32.
        samples: Batches of inputs.
        place: A folder for temporary files.
    """
    quantization: Any = import_module("onnxruntime.quantization")
    given, prepared, quantised = (str(Path(place) / f"{name}.onnx") for name in ("given", "prepared", "quantised"))
    opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    if opset < PER_CHANNEL:
        model = onnx.version_converter.convert_version(model, PER_CHANNEL)
    onnx.save(model, given)
    quantization.shape_inference.quant_pre_process(given, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared,
        quantised,
        _Samples(_feeds(model.graph, samples)),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,  # else sums of eight-bit products saturate on processors without VNNI
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QInt8,
    )
    return onnx.load(quantised)


class _Samples:
    """A `CalibrationDataReader`."""

    def __init__(self, feeds: Iterator[dict[str, NDArray[Any]]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)


def _feeds(graph: onnx.GraphProto, samples: Sequence[Inputs]) -> Iterator[dict[str, NDArray[Any]]]:
    """What the graph is fed, in batches of its own size where it has one."""
    known = {one.name for one in graph.initializer}
    taken = [one for one in graph.input if one.name not in known]
    feed, fixed = feed_by([one.name for one in taken]), taken[0].type.tensor_type.shape.dim[:1]
    for one in samples:
        given, count = call(feed, one), batch_size(one)
        size = fixed[0].dim_value if fixed and fixed[0].dim_value else count
        for start in range(0, count, size):
            rows = np.arange(start, start + size) % count
            yield {name: array[rows] if array.ndim and len(array) == count else array for name, array in given.items()}


def save_openvino(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Write `job["source"]` as the .xml file `job["path"]` and the .bin file of the same name, in float32."""
    yield Progress("Converting the file", 2, 4)
    openvino = library()
    try:
        model = openvino.Core().read_model(job["source"])
        for one in onnx.load(job["source"], load_external_data=False).metadata_props:
            model.set_rt_info(one.value, [OUTPUTS[0], one.key])
        openvino.save_model(model, job["path"], compress_to_fp16=False)
    except Exception as error:
        template = "OpenVINO cannot convert the ONNX file: {error}"
        words = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError("export.openvino", template, str(error), error=words) from error
    return {}
