"""What the formats that are made from an ONNX file share: that file, and the outputs to compare with."""

from dataclasses import replace
from pathlib import Path

from ..adapters.torchvision_detection import in_two_stages
from ..bfloat16 import widened
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job
from ..model_inputs import write
from ..recovery.mixed_precision import in_single
from .onnx import OnnxExporter, export_onnx, fixed_batch
from .protocol import ExportRequest
from .reference_outputs import cases

CASES = "cases.npz"
"""The file of inputs and of the model's outputs in the temporary folder."""


def source_refusal(request: ExportRequest, title: str) -> ExportError | None:
    """Why no format can be made from a model's ONNX file; `title` is that of the format.

    The boxes of a detector in two stages would need another comparison.
    """
    if in_two_stages(request.model):
        template = "{title} cannot hold a detector in two stages. Export it to ONNX."
        return ExportError("export.two_stages_onnx", template, title=title)
    return OnnxExporter().refusal(request)


def onnx_source(request: ExportRequest, place: Path, token: CancelToken) -> Job[tuple[str, tuple[Message | str, ...]]]:
    """The model's ONNX file, written where the request has none, and remarks on it; writes `place / CASES` too.

    Args:
        request: What is to be written.
        place: A temporary folder.
        token: Cancels.

    Raises:
        ExportError: The model has no ONNX file.
    """
    source, notes = request.onnx, tuple[Message | str, ...]()
    if not source:
        source = str(place / "full.onnx")
        notes = (yield from export_onnx(replace(request, path=source), token=token)).notes
    with in_single(request.model):
        write(place / CASES, cases(request.model, widened(request.inputs), fixed_batch(source)))
    return source, notes
