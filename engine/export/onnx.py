"""Exporter to ONNX: one file that onnxruntime runs at any batch size. `convert_file` makes other formats from it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError, Message
from ..inference.bfloat16 import widened
from ..inference.model_inputs import write
from ..jobs import CancelToken, Job, NeverCancelled
from ..recovery.mixed_precision import in_single
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from ..targets.onnxruntime_target import feeder, open_session
from .export_process import export_file
from .model_package import bytes_of
from .protocol import Exported, ExportRequest, Predictor
from .reference_outputs import cases, require_agreement
from .staged_output import check_destination, staged_file
from .table import EXPORTERS
from .torch_exporters import LARGEST_ONNX, bytes_in_float32, output_from_paths, too_large


class OnnxExporter:
    """Writes one .onnx file with its weights inside and a free batch size."""

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """Where one file cannot hold the weights."""
        return too_large() if bytes_in_float32(request.model) > LARGEST_ONNX else None

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write `request.path`; see `export_onnx`."""
        return export_onnx(request, token=token)

    def predictor(self, path: str) -> Predictor:
        """The file as a function with the inputs and outputs of the model, tensors [N, ...]."""
        session = open_session(path)
        feed = feeder(session)
        paths: list[str] = json.loads(session.get_modelmeta().custom_metadata_map["outputs"])

        def predict(*inputs: Any, **named: Any) -> Any:
            found = session.run(None, feed(*inputs, **named))
            return output_from_paths(list(zip(paths, map(torch.as_tensor, found), strict=True)))

        return predict


def export_onnx(request: ExportRequest, *, token: CancelToken | None = None) -> Job[Exported]:
    """Write an ONNX file that computes what the model computes, at any batch size; see `export_file`.

    The file of a detector in two stages takes one image at a time, of any size, and gives its boxes. A model that came
    from an ONNX file is written as that file's graph, with its names and at its batch; only what was cut or trained
    differs.
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


def conversion_refusal(request: ExportRequest, title: str) -> ExportError | None:
    """Why no format can be made from a model's ONNX file; `title` is that of the format.

    The boxes of a detector in two stages would need another comparison.
    """
    if in_two_stages(request.model):
        template = "{title} cannot hold a detector in two stages. Export it to ONNX."
        return ExportError("export.two_stages_onnx", template, title=title)
    return OnnxExporter().refusal(request)


def convert_file(request: ExportRequest, form: str, converter: str, check: str, token: CancelToken) -> Job[Exported]:
    """Write a format that is made from the model's ONNX file, load the result in a fresh process and compare.

    A file that computes in the model's own precision has to agree with it. Of any other only NaN, infinity and other
    shapes are refused: what it costs is measured by the metric.

    Args:
        request: What to write; its ONNX file is written first where it has none.
        form: A key of `EXPORTERS`.
        converter: "module:function" of this folder that writes `job["source"]` as `job["path"]`.
        check: The same of what compares `job["path"]` on `job["cases"]`.
        token: Cancels.

    Raises:
        ExportError: Nothing is left behind, older files of that name are still there.
    """
    path, kind = Path(request.path).expanduser().absolute(), EXPORTERS[form]
    places = kind.places(path)
    for place in places:
        check_destination(place, bytes_of(request.model))
    with temporary_folder() as folder, staged_file(path, kind.beside) as temporary:
        source, notes = request.onnx, tuple[Message | str, ...]()
        if not source:  # the state was not exported to ONNX before
            source = str(folder / "full.onnx")
            notes = (yield from export_onnx(replace(request, path=source), token=token)).notes
        with in_single(request.model):
            write(folder / "cases.npz", cases(request.model, widened(request.inputs), fixed_batch(source)))
        write(folder / "samples.npz", [widened(one) for one in request.samples])
        job = {"source": source, "path": str(temporary), "place": str(folder), "precision": kind.precision}
        job |= {"samples": str(folder / "samples.npz"), "cases": str(folder / "cases.npz")}
        writing, checking = Message("process.export", "The export"), Message("process.check", "The check of the file")
        yield from run_killable(f"secateur.engine.export.{converter}", job, token, writing, error=ExportError)
        result = yield from run_killable(f"secateur.engine.export.{check}", job, token, checking, error=ExportError)
        difference = result["difference"]
        if not kind.precision:
            require_agreement(difference)
        elif not math.isfinite(difference):
            template = (
                "In {precision} the file's outputs are NaN or infinity, or have other shapes. Nothing was written. "
                "Export to ONNX instead."
            )
            raise ExportError("export.not_finite", template, precision=kind.precision)
    size = sum(one.stat().st_size for one in places)
    return Exported(form, tuple(map(str, places)), difference, None, size, notes)
