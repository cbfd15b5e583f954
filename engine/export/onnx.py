"""Exporter to ONNX: one file that onnxruntime runs at any batch size."""

import json
from dataclasses import replace
from typing import Any

import torch

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job, NeverCancelled
from ..targets.onnxruntime_target import feeder, open_session
from .export_single_file import export_file
from .onnx_size import LARGEST, bytes_in_float32, too_large
from .output_tree import output_from_paths
from .protocol import Exported, ExportRequest, Predictor


class OnnxExporter:
    """Writes one .onnx file with its weights inside and a free batch size."""

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """Where one file cannot hold the weights."""
        return too_large() if bytes_in_float32(request.model) > LARGEST else None

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write `request.path`; see `export_onnx`."""
        return export_onnx(request, token=token)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The file as a function; see `predictor`."""
        return predictor(path, threads)


def export_onnx(request: ExportRequest, *, token: CancelToken | None = None) -> Job[Exported]:
    """Write an ONNX file that computes what the model computes, at any batch size; see `export_file`.

    That of a detector in two stages takes one image at a time, of any size, and gives its boxes. A model that came from
    an ONNX file leaves as that file's graph, with its names and at its batch; only what was cut or trained differs.
    """
    from ..runtime.onnx_module import OnnxModule  # imported here: sessions start without onnx

    token = token or NeverCancelled()
    if not request.step and request.spec is not None and isinstance(request.model, OnnxModule):
        try:
            return (yield from export_file(request, token, "graph", batch=request.model.graph.batch))
        except ExportError as error:
            reason = error.message
        exported = yield from export_file(request, token, "onnx")
        template = "The file's own graph could not be kept, so a new one was written: {reason}"
        return replace(exported, notes=(*exported.notes, Message("export.new_graph", template, {"reason": reason})))
    return (yield from export_file(request, token, "boxes" if in_two_stages(request.model) else "onnx"))


def fixed_batch(path: str) -> int:
    """The only batch size that an ONNX file takes, 0 where it takes any: the first dimension of its first input."""
    import onnx  # imported here: sessions start without onnx

    graph = onnx.load(path, load_external_data=False).graph
    known = {one.name for one in graph.initializer}
    first = next(one for one in graph.input if one.name not in known)
    return next((one.dim_value for one in first.type.tensor_type.shape.dim), 0)


def predictor(path: str, threads: int = 1) -> Predictor:
    """An ONNX file of ours as a function that takes tensors [N, ...] as the model does, and answers as it does."""
    session = open_session(path, threads)
    feed = feeder(session)
    paths: list[str] = json.loads(session.get_modelmeta().custom_metadata_map["outputs"])

    def predict(*inputs: Any, **named: Any) -> Any:
        found = session.run(None, feed(*inputs, **named))
        return output_from_paths(list(zip(paths, map(torch.as_tensor, found), strict=True)))

    return predict
