"""Shared by exporters of a single file: write in a killable process, check in a fresh one, move into place."""

from contextlib import nullcontext
from pathlib import Path

from ..bfloat16 import in_bfloat16, widened
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job, Progress
from ..model_inputs import at_batch, write
from ..recovery.mixed_precision import in_single
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from ..targets.token_step import StepModel
from .exporter_options import TRACED_BATCH
from .model_package import bytes_of, input_shape, pack
from .protocol import Exported, ExportRequest
from .reference_outputs import cases, images_and_boxes, require_agreement
from .staged_output import check_destination, staged_file


def export_file(request: ExportRequest, token: CancelToken, form: str, may_fix_batch: bool = False) -> Job[Exported]:
    """Write one file that computes what the model computes, at any batch size.

    Args:
        request: What to write, and where.
        token: Stops the job.
        form: "onnx", "program", "boxes": `write_<form>` and `check_<form>` of this folder do the work.
        may_fix_batch: Where the batch cannot be free, it becomes 1 and a note says why.

    Raises:
        ExportError: Nothing is left behind, an older file of that name is still there.
        OpenError: The source that the model came from is not there any more; the same holds.
    """
    path = Path(request.path).expanduser().absolute()
    check_destination(path, 2 * bytes_of(request.model))
    yield Progress("Packing the model", 0, 4)
    with temporary_folder() as place, staged_file(path) as temporary:
        folder = place
        model = StepModel(request.model).eval() if request.step else request.model
        coarse = in_bfloat16(model) and form == "program"
        with nullcontext() if coarse else in_single(request.model):
            inputs = request.inputs if coarse else widened(request.inputs)
            write(folder / "cases.npz", (images_and_boxes if form == "boxes" else cases)(model, inputs))
        pack(folder, request.model, request.edits, request.spec, input_shape(request.inputs))
        notes: tuple[Message, ...] = ()
        if in_bfloat16(model) and not coarse:
            template = "The file computes in float32 instead of bfloat16, which ONNX Runtime does not support on CPUs."
            notes = (Message("export.float32", template),)
        try:
            difference = yield from _made(request, folder, temporary, token, form, fixed=False)
        except ExportError as error:
            if not may_fix_batch:
                raise
            difference = yield from _made(request, folder, temporary, token, form, fixed=True)
            template = (
                "The file accepts one sample at a time, because its batch size could not be made dynamic: {reason}"
            )
            notes = (*notes, Message("export.one_sample", template, {"reason": error.message}))
    return Exported(form, (str(path),), difference, None, path.stat().st_size, notes)


def _made(
    request: ExportRequest, folder: Path, temporary: Path, token: CancelToken, form: str, fixed: bool
) -> Job[float]:
    """Write the file and check it; returns the difference."""
    inputs = folder / "inputs.npz"
    write(inputs, at_batch(request.inputs, 1 if fixed else TRACED_BATCH))
    parameters = sum(p.numel() for p in request.model.parameters())
    properties = {"name": request.name, "parameters": str(parameters), "macs": str(request.macs)}
    job = {"parcel": str(folder), "inputs": str(inputs), "path": str(temporary), "properties": properties}
    writer, checker = (f"secateur.engine.export.{verb}_{form}:main" for verb in ("write", "check"))
    what = Message("process.export", "The export")
    yield from run_killable(writer, job | {"fixed": fixed, "step": request.step}, token, what, error=ExportError)
    job = {"path": str(temporary), "cases": str(folder / "cases.npz")}
    what = Message("process.check", "The check of the file")
    result = yield from run_killable(checker, job, token, what, error=ExportError)
    return require_agreement(result["difference"], coarse=in_bfloat16(request.model) and form == "program")
