"""Writes several models as ONNX files to be measured: in one process, without comparing them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job, Progress
from ..model_inputs import Inputs, at_batch, read, write
from ..sources.open import unpack
from ..sources.protocol import ModelSpec
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_killable
from ..surgery.cut.edits import Edits
from ..tracing.tree import as_tensors
from .exporter_options import TRACED_BATCH
from .model_package import pack


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
        yield from run_killable(f"{__name__}:main", job, token, what, error=ExportError)
    return [Path(path) for path in paths]


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """What the exporting process does: write `job["parcels"]` to `job["paths"]`."""
    from .name_fused_blocks import name_blocks  # not at the top: sessions start without onnx and the exporter
    from .write_onnx import export_onnx_here

    inputs = as_tensors(read(job["inputs"]))
    for number, (parcel, path) in enumerate(zip(job["parcels"], job["paths"], strict=True)):
        yield Progress("Exporting to ONNX", number, len(job["paths"]))
        export_onnx_here(unpack(parcel), inputs, path, homes=True)
        name_blocks(Path(path))
    return {}
