"""The converting process: makes an fp16 or int8 file of an ONNX file. Imports onnxruntime, not torch."""

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
from ..jobs import Job, Progress
from ..model_inputs import Inputs, batch_size, call, read
from ..targets.onnxruntime_target import feed_by

PER_CHANNEL = 13
"""The first opset in which DequantizeLinear has a scale for each channel."""


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Write `job["source"]` in `job["precision"]` to `job["path"]`; temporary files lie in `job["place"]`."""
    yield Progress("Converting the file", 2, 4)
    logging.disable(logging.WARNING)  # of tensors that have fewer axes than their product's scales
    former, tempfile.tempdir = tempfile.tempdir, job["place"]  # else files of a killed process would stay
    source = onnx.load(job["source"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weights below the smallest number of fp16 become it
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
    """The same graph with weights in fp16, which computes in it where ONNX Runtime can; inputs and outputs stay."""
    half: Any = import_module("onnxruntime.transformers.float16")
    converted: onnx.ModelProto = half.convert_float_to_float16(model, keep_io_types=True)
    made = ir.from_proto(converted)
    made.graph.sort()  # the library puts its casts at the end
    return ir.to_proto(made)


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
