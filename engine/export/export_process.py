"""Writes models by killable processes: one file that is checked in a fresh process, or several that are measured.

A model that was handed over as an object, which no other process can build, is written in this one.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError, Message
from ..inference.bfloat16 import in_bfloat16, widened
from ..inference.model_inputs import Inputs, at_batch, read, write
from ..jobs import CancelToken, Job, Progress, check, staged
from ..recovery.mixed_precision import in_single
from ..sources.open import unpack
from ..sources.protocol import ModelSpec
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from ..surgery.cut.cut import copy_model
from ..surgery.cut.edits import Edits
from ..targets.token_step import StepModel
from ..tracing.tree import as_tensors
from .model_package import bytes_of, pack
from .protocol import Exported, ExportRequest
from .reference_outputs import cases, images_and_boxes, require_agreement
from .staged_output import check_destination, staged_file
from .torch_exporters import TRACED_BATCH

WRITERS = {
    "onnx": ("write_onnx:export_onnx_here", Progress("Exporting to ONNX", 1, 4)),
    "boxes": ("write_onnx:export_boxes_here", Progress("Exporting to ONNX", 1, 4)),
    "program": ("program:export_program_here", Progress("Exporting the program", 1, 4)),
    "executorch": ("executorch_file:export_executorch_here", Progress("Exporting to ExecuTorch", 1, 4)),
}
"""By form, the function of this folder that writes a live model, and what it does."""
CHECKS = {
    "onnx": "compare:check_onnx",
    "graph": "compare:check_onnx",
    "boxes": "compare:check_boxes",
    "program": "program:check_program",
    "executorch": "executorch_file:check_executorch",
}
"""By form, the function of this folder that loads a file in a fresh process and compares."""
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
        form: A key of `CHECKS`; "graph" is written from the file that the model came from.
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
    with temporary_folder() as folder, staged_file(path) as temporary:
        model = StepModel(request.model).eval() if request.step else request.model
        # A program computes in bfloat16 where the model does. All other files compute in float32, and are compared with
        # outputs in float32.
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
            difference = yield from staged(
                _write_and_check(request, folder, temporary, token, form, fixed=one_by_one), BEGINS
            )
        except ExportError as error:
            if not may_fix_batch:
                raise
            difference = yield from _write_and_check(request, folder, temporary, token, form, fixed=True)
            template = (
                "The file accepts one sample at a time, because its batch size could not be made dynamic: {reason}"
            )
            notes = (*notes, Message("export.one_sample", template, {"reason": error.message}))
    return Exported(form, (str(path),), difference, None, path.stat().st_size, notes)


def _write_and_check(
    request: ExportRequest, folder: Path, temporary: Path, token: CancelToken, form: str, fixed: bool
) -> Job[float]:
    """Write the file and check it; returns the difference."""
    # A writer takes a batch of one for the only one, and any other for an example of a free one.
    inputs = at_batch(request.inputs, 1 if fixed else TRACED_BATCH)
    parameters = sum(p.numel() for p in request.model.parameters())
    properties = {"name": request.name, "parameters": str(parameters), "macs": str(request.macs)}
    if request.spec is None:
        yield Progress("Exporting in this process", 1, 4)
        copied = copy_model(request.model)  # exporters change what they trace
        model = StepModel(copied).eval() if request.step else copied
        writer_of(form)(model, inputs, temporary, properties)
    else:
        write(folder / "inputs.npz", inputs)
        job = {"parcel": str(folder), "inputs": str(folder / "inputs.npz"), "path": str(temporary)}
        job |= {"properties": properties, "form": form, "step": request.step}
        what = Message("process.export", "The export")
        writer = "secateur.engine.export.write_graph:main" if form == "graph" else f"{__name__}:write_model"
        yield from run_killable(writer, job, token, what, error=ExportError)
    check(token)
    job = {"path": str(temporary), "cases": str(folder / "cases.npz")}
    what = Message("process.check", "The check of the file")
    result = yield from run_killable(f"secateur.engine.export.{CHECKS[form]}", job, token, what, error=ExportError)
    return require_agreement(result["difference"], coarse=in_bfloat16(request.model) and form == "program")


def write_model(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """In the exporting process, write the parcel `job["parcel"]` as `job["form"]` to `job["path"]`."""
    yield Progress("Rebuilding the model", 0, 4)
    model = unpack(job["parcel"])
    model = StepModel(model).eval() if job["step"] else model
    inputs = as_tensors(read(job["inputs"]))
    yield WRITERS[job["form"]][1]
    writer_of(job["form"])(model, inputs, job["path"], job["properties"])
    return {}


def writer_of(form: str) -> Callable[..., None]:
    """What writes a live model; imported here, because sessions start without onnx and the exporters."""
    module, _, function = WRITERS[form][0].partition(":")
    return getattr(import_module(f".{module}", __package__), function)


def write_several(
    models: Iterable[tuple[nn.Module, Edits]], inputs: Inputs, spec: ModelSpec, folder: Path, token: CancelToken
) -> Job[list[Path]]:
    """Write each model into a folder; returns the files in the same order.

    Args:
        models: Live modules in eval mode, with the repairs of their cuts; one at a time is asked for.
        inputs: Example inputs of them.
        spec: Where the original came from.
        folder: Where "0.onnx" and so on are written.
        token: Kills the process within a tenth of a second.

    Raises:
        ExportError: One of them cannot be exported.
    """
    with temporary_folder() as place:
        parcels: list[str] = []
        for number, (model, edits) in enumerate(models):
            if in_two_stages(model):
                template = (
                    "Which boxes reach the second stage of this detector depends on the image, so its latency cannot "
                    "be predicted. Limit another cost, and measure the result."
                )
                raise ExportError("export.no_table", template)
            parcel = place / str(number)
            parcel.mkdir()
            pack(parcel, model, edits, spec, inputs)
            parcels.append(str(parcel))
        write(place / "inputs.npz", at_batch(inputs, TRACED_BATCH))
        paths = [str(folder / f"{number}.onnx") for number in range(len(parcels))]
        job = {"parcels": parcels, "inputs": str(place / "inputs.npz"), "paths": paths}
        what = Message("process.export", "The export")
        yield from run_killable(f"{__name__}:write_parcels", job, token, what, error=ExportError)
    return [Path(path) for path in paths]


def write_parcels(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """In the exporting process, write `job["parcels"]` to `job["paths"]`."""
    from .name_fused_blocks import name_blocks  # not at the top: sessions start without onnx

    inputs = as_tensors(read(job["inputs"]))
    for number, (parcel, path) in enumerate(zip(job["parcels"], job["paths"], strict=True)):
        yield Progress("Exporting to ONNX", number, len(job["paths"]))
        writer_of("onnx")(unpack(parcel), inputs, path, homes=True)
        name_blocks(Path(path))
    return {}
