"""Exporter to ExecuTorch (.pte), for phones: XNNPACK computes what it can, portable kernels the rest."""

from typing import Any

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError, Message, SecateurError
from ..jobs import CancelToken, Job
from ..model_inputs import with_arrays
from .executorch_runtime import library, loaded
from .export_single_file import export_file
from .loaded_program import in_turn
from .output_tree import output_from_paths
from .protocol import Exported, ExportRequest, Predictor
from .table import require

FORMAT = "executorch"


class ExecuTorchExporter:
    """Writes one file in float32 with its weights inside, for one sample at a time, as devices run it."""

    def refusal(self, request: ExportRequest) -> SecateurError | None:
        """A detector in two stages, or ExecuTorch is not installed."""
        if in_two_stages(request.model):
            template = (
                "ExecuTorch cannot hold this detector, because it selects boxes between its two stages. Export it to "
                "ONNX, or to a PyTorch folder."
            )
            return ExportError("export.executorch_stages", template)
        try:
            library()
        except SecateurError as error:
            return error
        return None

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write `request.path`, load it in a fresh process and compare; see `export_file`."""
        require(self.refusal(request))
        exported = yield from export_file(request, token, FORMAT, one_by_one=True)
        _, about = loaded(exported.files[0])
        template = "The file takes one sample at a time."
        notes = [*exported.notes, Message("export.one_by_one", template)]
        if about["portable"]:
            template = "The file computes with portable kernels, which are slow: XNNPACK cannot take it ({reason})."
            notes.append(Message("export.portable", template, {"reason": about["portable"]}))
        return Exported(FORMAT, exported.files, exported.difference, None, exported.bytes, tuple(notes))

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The file as a function, in this process: one sample after the other, with the threads of the runtime."""
        run, about = loaded(path)

        def predict(*inputs: Any, **named: Any) -> Any:
            found = in_turn(run, with_arrays(named or inputs))
            return output_from_paths(list(zip(about["outputs"], found, strict=True)))

        return predict
