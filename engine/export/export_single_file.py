"""What the exporters of a single file share: written by a killable process, checked in a fresh one, put in place.

A model that was handed over as an object, which no other process can build, is written in this one.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from ..adapters.torchvision_detection import images_of
from ..bfloat16 import in_bfloat16, widened
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job, Progress, check, staged
from ..model_inputs import Inputs, at_batch, write
from ..recovery.mixed_precision import in_single
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from ..surgery.cut.cut import copy_model
from ..targets.token_step import StepModel
from .exporter_options import TRACED_BATCH
from .model_package import bytes_of, pack
from .protocol import Exported, ExportRequest
from .reference_outputs import cases, images_and_boxes, require_agreement
from .staged_output import check_destination, staged_file

BEGINS = (0.0, 0.3, 0.9, 0.9)
"""About what share of an export is over as a process has the model again, has it traced, converted and checked."""


def export_file(
    request: ExportRequest,
    token: CancelToken,
    form: str,
    may_fix_batch: bool = False,
    batch: int = 0,
    one_by_one: bool = False,
) -> Job[Exported]:
    """Write one file that computes what the model computes, at any batch size.

    Args:
        request: What to write, and where.
        token: Stops the job.
        form: "onnx", "graph", "program", "boxes", "executorch": `write_<form>` and `check_<form>` here do the work.
        may_fix_batch: Where the batch cannot be free, it becomes 1 and a note says why.
        batch: The only batch size that the file is compared at, 0 for several.
        one_by_one: Files of this form have a batch of 1.

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
            fixed = 1 if one_by_one else batch
            known = images_and_boxes(model, inputs) if form == "boxes" else cases(model, inputs, fixed)
            write(folder / "cases.npz", known)
        if request.spec is not None:
            pack(folder, request.model, request.edits, request.spec, request.inputs)
        notes: tuple[Message, ...] = ()
        if in_bfloat16(model) and not coarse:
            template = "The file computes in float32 instead of bfloat16, which its runtime does not support on CPUs."
            notes = (Message("export.float32", template),)
        try:
            difference = yield from staged(_made(request, folder, temporary, token, form, fixed=one_by_one), BEGINS)
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
    inputs = at_batch(request.inputs, 1 if fixed else TRACED_BATCH)
    parameters = sum(p.numel() for p in request.model.parameters())
    properties = {"name": request.name, "parameters": str(parameters), "macs": str(request.macs)}
    writer, checker = (f"secateur.engine.export.{verb}_{form}:main" for verb in ("write", "check"))
    if request.spec is None:
        yield Progress("Exporting in this process", 1, 4)
        _write_here(request, inputs, temporary, properties, form, fixed)
    else:
        write(folder / "inputs.npz", inputs)
        job = {"parcel": str(folder), "inputs": str(folder / "inputs.npz"), "path": str(temporary)}
        job |= {"properties": properties, "fixed": fixed, "step": request.step}
        what = Message("process.export", "The export")
        yield from run_killable(writer, job, token, what, error=ExportError)
    check(token)
    job = {"path": str(temporary), "cases": str(folder / "cases.npz")}
    what = Message("process.check", "The check of the file")
    result = yield from run_killable(checker, job, token, what, error=ExportError)
    return require_agreement(result["difference"], coarse=in_bfloat16(request.model) and form == "program")


def _write_here(
    request: ExportRequest, inputs: Inputs, path: Path, properties: Mapping[str, str], form: str, fixed: bool
) -> None:
    """Write the file in this process, from a copy of the model: exporters change what they trace."""
    copied = copy_model(request.model)
    model = StepModel(copied).eval() if request.step else copied
    match form:  # imported here: sessions start without onnx and the exporters
        case "boxes":
            from .write_boxes import export_boxes_here

            export_boxes_here(model, images_of(inputs)[:1], str(path), properties)
        case "program":
            from .write_program import export_program_here

            export_program_here(model, inputs, path, fixed, properties)
        case "executorch":
            from .write_executorch import export_executorch_here

            export_executorch_here(model, inputs, path, properties)
        case _:
            from .write_onnx import export_onnx_here

            export_onnx_here(model, inputs, path, properties)
