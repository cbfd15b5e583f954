"""Whether the original exports to a format where a cut model does not: the same export is tried on it.

This tells whether the cut is at fault or the exporter never took this network. The trial takes the same
inputs and settings, in further processes of the same kind, and writes into a temporary folder.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..errors import ExportError, Message, SecateurError
from ..jobs import Cancelled, CancelToken, Job, Progress, part_of
from ..machine.operating_system import free_memory
from ..storage.temporary_folders import temporary_folder
from ..surgery.cut.edits import Edits
from .model_package import bytes_of
from .protocol import Exported, Exporter, ExportRequest

MINUTES = 5
"""How long the trial may take."""
COPIES = 8
"""About how many copies of the weights are in memory while a model is rebuilt, written, loaded and compared."""
OF_THE_MODEL = (
    "export.convert",
    "export.differs",
    "export.executorch",
    "export.forward",
    "export.gguf_write",
    "export.not_finite",
    "export.onnx",
    "export.onnx_load",
    "export.onnx_run",
    "export.openvino",
    "export.program",
    "export.program_load",
    "export.program_run",
    "process.died",
    "process.silent",
)
"""Codes of errors that come from the model, not from a path, a disk or a missing package."""


@dataclass(frozen=True, slots=True)
class _Deadline:
    """A token that is set when another one is, or the time is over."""

    token: CancelToken
    until: float

    def is_set(self) -> bool:
        return self.token.is_set() or time.monotonic() > self.until


def export_or_compare(
    exporter: Exporter, request: ExportRequest, original: Callable[[], nn.Module] | None, token: CancelToken
) -> Job[Exported]:
    """Export a model; where it is what stops the export, the error says whether the original exports.

    Args:
        exporter: Writes the format.
        request: What to write, and where.
        original: Gives the network that the model was cut from, on the CPU and in eval mode; None where the model is
            that network.
        token: Cancels; a trial that has begun ends then, and the first error is raised.

    Raises:
        ExportError: Nothing is left behind, an older file of that name is still there.
    """
    try:
        return (yield from exporter.export(request, token))
    except ExportError as error:
        # A module without a source is exported in this process, where nothing could end the trial. Errors of a path, a
        # disk or a missing package would be the same for the original.
        if original is None or request.spec is None or error.message.code not in OF_THE_MODEL:
            raise
        try:
            message = yield from _try_original(error, exporter, request, original(), token)
        except SecateurError as failed:
            message = _original_unknown(error.message, failed.message)
        except OSError as failed:
            words = {"error": failed.strerror or str(failed)}
            why = Message("export.trial_files", "files of the trial cannot be written: {error}", words)
            message = _original_unknown(error.message, why)
        raise ExportError(message.code, message.template, error.details, **message.arguments) from error


def _try_original(
    error: ExportError, exporter: Exporter, request: ExportRequest, original: nn.Module, token: CancelToken
) -> Job[Message]:
    """Why an export failed, and whether that of the original does; raises what has another cause than the models."""
    reason, need = error.message, COPIES * bytes_of(original)
    if free_memory() < need:
        return _original_unknown(reason, Message("export.trial_memory", "too little memory is free to try it"))
    shown = Progress(Message("progress.original_export", "Trying the same export on the original"), 0, 1)
    deadline = _Deadline(token, time.monotonic() + 60 * MINUTES)
    with temporary_folder() as place:
        path = str(place / Path(request.path).name)
        same = replace(request, model=original, edits=Edits(), path=path, onnx="")
        try:
            yield from part_of(shown, exporter.export(same, deadline))
        except Cancelled:
            template = "the trial was stopped after {minutes} minutes"
            late = Message("export.trial_time", template, {"minutes": MINUTES})
            return _original_unknown(
                reason, Message("export.trial_stopped", "the trial was stopped") if token.is_set() else late
            )
        except ExportError as second:
            if second.message.code not in OF_THE_MODEL:
                raise
            if str(second) == str(error):
                return Message("export.neither", "The original does not export either: {reason}", {"reason": reason})
            template = "The original does not export either: {original} (of the cut model: {reason})"
            return Message("export.neither_reasons", template, {"original": second.message, "reason": reason})
    return Message("export.cut_alone", "The original exports, the cut model does not: {reason}", {"reason": reason})


def _original_unknown(reason: Message, why: Message) -> Message:
    template = "{reason} (Whether the original exports is unknown: {why})"
    return Message("export.original_unknown", template, {"reason": reason, "why": why})
