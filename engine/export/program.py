"""Exporter to a `torch.export` program, which runs without the model's class."""

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError
from ..jobs import CancelToken, Job, NeverCancelled
from .export_single_file import export_file
from .loaded_program import predictor
from .protocol import Exported, ExportRequest, Predictor
from .table import require


class ProgramExporter:
    """Writes one .pt2 file with its weights inside, and a free batch size where the model allows one."""

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """A detector in two stages."""
        if not in_two_stages(request.model):
            return None
        return ExportError(
            "export.two_stages",
            "torch.export cannot hold this detector, because it selects boxes between its two stages. Export it to "
            "ONNX, or to a PyTorch folder.",
        )

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write `request.path`; see `export_program`."""
        return export_program(request, token=token)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The file as a function, in this process (with the threads that it has)."""
        return predictor(path, threads)


def export_program(request: ExportRequest, *, token: CancelToken | None = None) -> Job[Exported]:
    """Write a `torch.export` program; see `export_file`. Where its batch cannot be free, it is 1."""
    require(ProgramExporter().refusal(request))
    return export_file(request, token or NeverCancelled(), "program", may_fix_batch=True)
