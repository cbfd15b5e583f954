"""Exporters to ONNX in fp16 and int8: smaller files that compute almost the same, so that the metric evaluates them."""

import math
from pathlib import Path

from ..bfloat16 import widened
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job
from ..model_inputs import write
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from .model_package import bytes_of
from .onnx import predictor
from .onnx_source import CASES, onnx_source, source_refusal
from .protocol import Exported, ExportRequest, Predictor
from .staged_output import check_destination, staged_file
from .table import EXPORTERS, require, samples_refusal


class Fp16Exporter:
    """Writes one .onnx file whose weights are fp16 and which computes in it; its inputs and outputs stay float32."""

    format = "onnx-fp16"

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """Where the model has no ONNX file, or no samples where they are needed."""
        kind = EXPORTERS[self.format]
        return source_refusal(request, kind.title) or samples_refusal(self.format, bool(request.samples))

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Convert the model's ONNX file, run the result in a fresh process, and put it in place.

        Raises:
            ExportError: Nothing is left behind, an older file of that name is still there.
        """
        require(self.refusal(request))
        return _export(request, self.format, token)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The file as a function; see `onnx.predictor`."""
        return predictor(path, threads)


class Int8Exporter(Fp16Exporter):
    """Writes one .onnx file with int8 weights, one scale a channel, and int8 activations calibrated on samples (QDQ).

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """

    format = "onnx-int8"


def _export(request: ExportRequest, form: str, token: CancelToken) -> Job[Exported]:
    path, kind = Path(request.path).expanduser().absolute(), EXPORTERS[form]
    check_destination(path, bytes_of(request.model))
    with temporary_folder() as place, staged_file(path) as temporary:
        source, notes = yield from onnx_source(request, place, token)
        write(place / "samples.npz", [widened(one) for one in request.samples])
        job = {"source": source, "path": str(temporary), "place": str(place), "precision": kind.precision}
        job |= {"samples": str(place / "samples.npz"), "cases": str(place / CASES)}
        converter = "secateur.engine.export.write_lower_precision:main"
        yield from run_killable(converter, job, token, Message("process.export", "The export"), error=ExportError)
        checker = "secateur.engine.export.check_onnx:main"
        what = Message("process.check", "The check of the file")
        result = yield from run_killable(checker, job, token, what, error=ExportError)
        if not math.isfinite(result["difference"]):
            template = (
                "In {precision} the file's outputs are NaN or infinity, or have other shapes. Nothing was written. "
                "Export to ONNX instead."
            )
            raise ExportError("export.not_finite", template, precision=kind.precision)
    return Exported(form, (str(path),), result["difference"], None, path.stat().st_size, notes)
