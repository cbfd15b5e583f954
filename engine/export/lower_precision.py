"""Exporters to ONNX in fp16 and int8: smaller files that compute almost the same, so that the metric evaluates them."""

from ..errors import ExportError
from ..jobs import CancelToken, Job
from .onnx import OnnxExporter, conversion_refusal, convert_file
from .protocol import Exported, ExportRequest
from .table import EXPORTERS, require, samples_refusal


class Fp16Exporter(OnnxExporter):
    """Writes one .onnx file whose weights are fp16 and which computes in it; its inputs and outputs stay float32."""

    format = "onnx-fp16"

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """Where the model has no ONNX file, or no samples where they are needed."""
        kind = EXPORTERS[self.format]
        return conversion_refusal(request, kind.title) or samples_refusal(self.format, bool(request.samples))

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Convert the model's ONNX file; see `convert_file`."""
        require(self.refusal(request))
        return convert_file(request, self.format, "convert_onnx:lower_precision", "compare:check_onnx", token)


class Int8Exporter(Fp16Exporter):
    """Writes one .onnx file with int8 weights, one scale a channel, and int8 activations calibrated on samples (QDQ).

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """

    format = "onnx-int8"
