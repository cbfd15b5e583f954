"""Exporter to ONNX: one file that onnxruntime runs at any batch size."""

import json
from typing import Any

import torch

from ..adapters.torchvision_detection import in_two_stages
from ..jobs import CancelToken, Job, NeverCancelled
from ..targets.onnxruntime_target import feeder, open_session
from .export_single_file import export_file
from .output_tree import output_from_paths
from .protocol import Exported, ExportRequest, Predictor


class OnnxExporter:
    """Writes one .onnx file with its weights inside and a free batch size."""

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write `request.path`; see `export_onnx`."""
        return export_onnx(request, token=token)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The file as a function; see `predictor`."""
        return predictor(path, threads)


def export_onnx(request: ExportRequest, *, token: CancelToken | None = None) -> Job[Exported]:
    """Write an ONNX file that computes what the model computes, at any batch size; see `export_file`.

    That of a detector in two stages takes one image at a time, of any size, and gives its boxes.
    """
    return export_file(request, token or NeverCancelled(), "boxes" if in_two_stages(request.model) else "onnx")


def predictor(path: str, threads: int = 1) -> Predictor:
    """An ONNX file of ours as a function that takes tensors [N, ...] as the model does, and answers as it does."""
    session = open_session(path, threads)
    feed = feeder(session)
    paths: list[str] = json.loads(session.get_modelmeta().custom_metadata_map["outputs"])

    def predict(*inputs: Any, **named: Any) -> Any:
        found = session.run(None, feed(*inputs, **named))
        return output_from_paths(list(zip(paths, map(torch.as_tensor, found), strict=True)))

    return predict
