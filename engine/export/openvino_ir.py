"""Exporter to OpenVINO's own form: an .xml file with the graph and a .bin file with the weights, in float32."""

import json
from typing import Any

import torch

from ..errors import SecateurError
from ..jobs import CancelToken, Job
from ..targets.openvino_target import library, load_file
from .onnx import conversion_refusal, convert_file
from .protocol import Exported, ExportRequest, Predictor
from .table import EXPORTERS, require
from .torch_exporters import output_from_paths

FORMAT = "openvino"


class OpenVinoExporter:
    """Writes two files that OpenVINO reads without a conversion, at any batch size that the ONNX file takes."""

    def refusal(self, request: ExportRequest) -> SecateurError | None:
        """Where the model has no ONNX file, or OpenVINO is not installed."""
        try:
            library()
        except SecateurError as error:
            return error
        return conversion_refusal(request, EXPORTERS[FORMAT].title)

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Convert the model's ONNX file; see `convert_file`."""
        require(self.refusal(request))
        return convert_file(request, FORMAT, "convert_onnx:save_openvino", "compare:check_openvino", token)

    def predictor(self, path: str) -> Predictor:
        """The files as a function with the inputs and outputs of the model, tensors [N, ...]."""
        from .convert_onnx import OUTPUTS  # brings onnx

        model, run = load_file(path)
        paths: list[str] = json.loads(model.get_rt_info(OUTPUTS).value)

        def predict(*inputs: Any, **named: Any) -> Any:
            found = [torch.from_numpy(one.copy()) for one in run(*inputs, **named)]
            return output_from_paths(list(zip(paths, found, strict=True)))

        return predict
