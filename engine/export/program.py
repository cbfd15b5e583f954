"""Export of the cut model's rewritten graph: a `torch.export` program that runs without the model's class.

Written by a killable process, loaded by torch alone in a fresh one, and put in place when it agrees.
"""

import tempfile
from pathlib import Path

from ..errors import ExportError
from ..inputs import at_batch, write
from ..jobs import CancelToken, Job, Progress
from ..process import run_killable
from ..session.states import Exported
from .cases import cases, require_agreement
from .destination import check_destination, staged_file
from .exporting import TRACED_BATCH
from .loaded_program import predictor
from .parcel import bytes_of, input_shape, pack
from .protocol import ExportRequest, Predictor


class ProgramExporter:
    """Writes one .pt2 file with its weights inside, and a free batch size where the model allows one."""

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write `request.path`; see `export_program`."""
        return export_program(request, token)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The file as a function, in this process (with the threads that it has)."""
        return predictor(path, threads)


def export_program(request: ExportRequest, token: CancelToken) -> Job[Exported]:
    """Write a `torch.export` program that computes what the model computes.

    Where the batch cannot be free, it is 1 and a note says why.

    Raises:
        ExportError: Nothing is left behind, an older file of that name is still there.
        OpenError: The source that the model came from is not there any more; the same holds.
    """
    path = Path(request.path).expanduser().absolute()
    check_destination(path, 2 * bytes_of(request.model))
    yield Progress("Packing the model", 0, 4)
    with tempfile.TemporaryDirectory(prefix="secateur-") as place, staged_file(path) as temporary:
        folder = Path(place)
        write(folder / "cases.npz", cases(request.model, request.inputs))
        pack(folder, request.model, request.edits, request.spec, input_shape(request.inputs))
        notes: tuple[str, ...] = ()
        try:
            difference = yield from _made(request, folder, temporary, token, fixed=False)
        except ExportError as error:
            difference = yield from _made(request, folder, temporary, token, fixed=True)
            notes = (f"The file takes one sample at a time, for its batch size could not be left free: {error}",)
    return Exported("program", (str(path),), difference, None, path.stat().st_size, notes)


def _made(request: ExportRequest, folder: Path, temporary: Path, token: CancelToken, fixed: bool) -> Job[float]:
    """Write the file and check it; returns the difference."""
    yield from _write(request, folder, temporary, token, fixed)
    job = {"path": str(temporary), "cases": str(folder / "cases.npz")}
    what = "The check of the file"
    result = yield from run_killable("secateur.engine.export.check_program:main", job, token, what, error=ExportError)
    return require_agreement(result["difference"], "file")


def _write(request: ExportRequest, folder: Path, temporary: Path, token: CancelToken, fixed: bool) -> Job[None]:
    inputs = folder / "inputs.npz"
    write(inputs, at_batch(request.inputs, 1 if fixed else TRACED_BATCH))
    parameters = sum(p.numel() for p in request.model.parameters())
    properties = {"name": request.name, "parameters": str(parameters), "macs": str(request.macs)}
    job = {
        "parcel": str(folder),
        "inputs": str(inputs),
        "path": str(temporary),
        "fixed": fixed,
        "properties": properties,
    }
    yield from run_killable("secateur.engine.export.write_program:main", job, token, "The export", error=ExportError)
