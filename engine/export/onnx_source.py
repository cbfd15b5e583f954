"""What the formats that are made from an ONNX file share: that file, and the outputs to compare with."""

from dataclasses import replace
from pathlib import Path

from ..adapters.torchvision_detection import in_two_stages
from ..bfloat16 import widened
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job
from ..model_inputs import write
from ..recovery.mixed_precision import in_single
from .onnx import export_onnx, fixed_batch
from .protocol import ExportRequest
from .reference_outputs import cases

CASES = "cases.npz"
"""The file of inputs and of the model's outputs in the temporary folder."""


def onnx_source(
    request: ExportRequest, place: Path, title: str, token: CancelToken
) -> Job[tuple[str, tuple[Message | str, ...]]]:
    """The model's ONNX file, written where the request has none, and remarks on it; writes `place / CASES` too.

    Args:
        request: What is to be written.
        place: A temporary folder.
        title: Of the format, for a person.
        token: Cancels.

    Raises:
        ExportError: The model has no ONNX file, or is a detector in two stages, whose boxes need another comparison.
    """
    if in_two_stages(request.model):
        template = "{title} cannot hold a detector in two stages. Export it to ONNX."
        raise ExportError("export.two_stages_onnx", template, title=title)
    source, notes = request.onnx, tuple[Message | str, ...]()
    if not source:
        source = str(place / "full.onnx")
        notes = (yield from export_onnx(replace(request, path=source), token=token)).notes
    with in_single(request.model):
        write(place / CASES, cases(request.model, widened(request.inputs), fixed_batch(source)))
    return source, notes
