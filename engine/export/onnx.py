"""Export to ONNX: written by a killable process, run by onnxruntime in a fresh one, and put in place when it agrees."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..errors import ExportError
from ..inputs import at_batch, write
from ..jobs import CancelToken, Job, Progress
from ..process import run_killable
from ..session.states import Exported
from ..targets.onnxruntime_target import feeder, open_session
from .answers import made_of
from .cases import cases, require_agreement
from .destination import check_destination, staged_file
from .exporting import TRACED_BATCH
from .parcel import bytes_of, input_shape, pack
from .protocol import ExportRequest, Predictor


class OnnxExporter:
    """Writes one .onnx file with its weights inside and a free batch size."""

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write `request.path`; see `export_onnx`."""
        return export_onnx(request, token)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The file as a function; see `predictor`."""
        return predictor(path, threads)


def export_onnx(request: ExportRequest, token: CancelToken) -> Job[Exported]:
    """Write an ONNX file that computes what the model computes, at any batch size.

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
        yield from _write(request, folder, temporary, token)
        difference = yield from _check(temporary, folder, token)
    return Exported("onnx", (str(path),), difference, None, path.stat().st_size)


def predictor(path: str, threads: int = 1) -> Predictor:
    """An ONNX file of ours as a function that takes tensors [N, ...] as the model does, and answers as it does."""
    session = open_session(path, threads)
    feed = feeder(session)
    paths: list[str] = json.loads(session.get_modelmeta().custom_metadata_map["outputs"])

    def predict(*inputs: Any, **named: Any) -> Any:
        found = session.run(None, feed(*inputs, **named))
        return made_of(list(zip(paths, map(torch.as_tensor, found), strict=True)))

    return predict


def _write(request: ExportRequest, folder: Path, temporary: Path, token: CancelToken) -> Job[None]:
    inputs = folder / "inputs.npz"
    write(inputs, at_batch(request.inputs, TRACED_BATCH))
    parameters = sum(p.numel() for p in request.model.parameters())
    properties = {"name": request.name, "parameters": str(parameters), "macs": str(request.macs)}
    job = {"parcel": str(folder), "inputs": str(inputs), "path": str(temporary), "properties": properties}
    yield from run_killable("secateur.engine.export.write_onnx:main", job, token, "The export", error=ExportError)


def _check(temporary: Path, folder: Path, token: CancelToken) -> Job[float]:
    job = {"path": str(temporary), "cases": str(folder / "cases.npz")}
    what = "The check of the file"
    result = yield from run_killable("secateur.engine.export.check_onnx:main", job, token, what, error=ExportError)
    return require_agreement(result["difference"], "file")
