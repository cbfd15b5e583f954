"""Exporter to OpenVINO's own form: an .xml file with the graph and a .bin file with the weights, in float32."""

import json
from pathlib import Path
from typing import Any

import torch

from ..errors import ExportError, Message, SecateurError
from ..jobs import CancelToken, Job
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from ..targets.openvino_target import library, loaded
from .model_package import bytes_of
from .onnx_source import CASES, onnx_source, source_refusal
from .output_tree import output_from_paths
from .protocol import Exported, ExportRequest, Predictor
from .reference_outputs import require_agreement
from .staged_output import check_destination, staged_files
from .table import EXPORTERS, require
from .write_openvino import OUTPUTS

FORMAT = "openvino"


class OpenVinoExporter:
    """Writes two files that OpenVINO reads without a conversion, at any batch size that the ONNX file takes."""

    def refusal(self, request: ExportRequest) -> SecateurError | None:
        """Where the model has no ONNX file, or OpenVINO is not installed."""
        try:
            library()
        except SecateurError as error:
            return error
        return source_refusal(request, EXPORTERS[FORMAT].title)

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Convert the model's ONNX file, load the result in a fresh process, and compare.

        Raises:
            ExportError: Nothing is left behind, older files of that name are still there.
            SecateurError: OpenVINO is not installed.
        """
        require(self.refusal(request))
        path, kind = Path(request.path).expanduser().absolute(), EXPORTERS[FORMAT]
        places = kind.places(path)
        for place in places:
            check_destination(place, bytes_of(request.model))
        with temporary_folder() as folder, staged_files(path, kind.beside) as temporary:
            source, notes = yield from onnx_source(request, folder, token)
            job = {"source": source, "path": str(temporary), "cases": str(folder / CASES)}
            writer, checker = (f"secateur.engine.export.{verb}_openvino:main" for verb in ("write", "check"))
            yield from run_killable(writer, job, token, Message("process.export", "The export"), error=ExportError)
            what = Message("process.check", "The check of the file")
            result = yield from run_killable(checker, job, token, what, error=ExportError)
            difference = require_agreement(result["difference"])
        size = sum(one.stat().st_size for one in places)
        return Exported(FORMAT, tuple(map(str, places)), difference, None, size, notes)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The files as a function that takes tensors [N, ...] as the model does, and answers as it does."""
        model, run = loaded(path, threads)
        paths: list[str] = json.loads(model.get_rt_info(OUTPUTS).value)

        def predict(*inputs: Any, **named: Any) -> Any:
            found = [torch.from_numpy(one.copy()) for one in run(*inputs, **named)]
            return output_from_paths(list(zip(paths, found, strict=True)))

        return predict
