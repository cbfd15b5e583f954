"""Exporter of the model card alone: what was pruned how, with which result, for people and for the Hugging Face Hub."""

from pathlib import Path

from ..jobs import CancelToken, Job, Progress
from .protocol import Exported, ExportRequest
from .staged_output import check_destination, staged_file

MARK = "secateur"
"""The tag of a card that Secateur wrote."""


class ModelCardExporter:
    """Writes one .md file."""

    def refusal(self, request: ExportRequest) -> None:
        """Any state has a card."""
        return

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write the request's card; raises ExportError where it cannot be written."""
        path = Path(request.path).expanduser().absolute()
        check_destination(path, len(request.card.encode()))
        yield Progress("Writing the model card")
        with staged_file(path) as temporary:
            temporary.write_text(request.card, encoding="utf-8")
        return Exported("model-card", (str(path),), None, None, path.stat().st_size)

    def predictor(self, path: str) -> None:
        """None: a card holds no model."""
        return
