"""The exporting process for a model that came as a graph (ONNX, a program): writes that graph with the cut tensors."""

import json
from pathlib import Path
from typing import Any

import onnx

from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import read
from ..runtime.onnx_module import OnnxModule
from ..sources.exported_folder import read_shapes, recorded_source
from ..sources.onnx_file import read_model
from ..sources.open import unpack
from ..sources.program_file import ProgramFile, read_graph
from ..tracing.tree import as_tensors
from .cut_graph import GraphNotKept, cut_graph
from .flat_model import output_paths
from .onnx_size import LARGEST, too_large


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Write the graph of the file that the parcel `job["parcel"]` came from, cut, to `job["path"]`."""
    yield Progress("Rebuilding the model", 0, 4)
    model, parcel = unpack(job["parcel"]), Path(job["parcel"])
    assert isinstance(model, OnnxModule)
    source = recorded_source(read_shapes(str(parcel)), parcel).source
    read_proto = read_graph if ProgramFile().matches(source) else read_model
    yield Progress("Writing the graph of the file", 1, 4)
    inputs = as_tensors(read(job["inputs"]))
    try:
        proto = cut_graph(read_proto(Path(source)), model, inputs)
    except GraphNotKept as error:
        template = "The graph of {source} has no place for {what}."
        raise ExportError("export.graph", template, source=source, what=str(error)) from error
    if proto.ByteSize() > LARGEST:
        raise too_large()
    told = {one.key: one.value for one in proto.metadata_props}
    onnx.helper.set_model_props(proto, told | job["properties"] | {"outputs": json.dumps(output_paths(model, inputs))})
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        template = "The graph of {source} cannot be written as a valid file: {what}"
        raise ExportError("export.graph_invalid", template, source=source, what=str(error)) from error
    Path(job["path"]).write_bytes(proto.SerializeToString())
    return {}
