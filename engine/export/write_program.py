"""The exporting process: rebuilds the packed model and writes it with `torch.export`."""

import inspect
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import ExportError
from ..jobs import Job, Progress
from ..model_inputs import Inputs, call, read
from ..sources.packed_model import unpack
from ..tracing.tree import as_tensors, copied_inputs, exported_outputs
from .exporter_options import first_line, free_batch, plain, quiet
from .loaded_program import ABOUT

_CONTAINERS = (dict, OrderedDict, list, tuple)
"""What a process that has only torch can build an output of."""


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Export the parcel `job["parcel"]` to `job["path"]`; its batch is free unless `job["fixed"]`."""
    yield Progress("Rebuilding the model", 0, 4)
    model = unpack(job["parcel"])
    inputs = as_tensors(read(job["inputs"]))
    yield Progress("Exporting the program", 1, 4)
    export_program_here(model, inputs, job["path"], job["fixed"], job["properties"])
    return {}


def export_program_here(
    model: nn.Module,
    inputs: Inputs,
    path: str | Path,
    fixed: bool = False,
    properties: Mapping[str, str] | None = None,
) -> None:
    """Write `model` as a program of torch's own operators, in this process; cannot be interrupted.

    Args:
        model: In eval mode.
        inputs: Example inputs [N, ...], positional or by name, N of 2 or more unless the batch is fixed.
        path: File to write.
        fixed: The batch stays N; otherwise it is free.
        properties: Stored in the file beside the program, with the paths of outputs that lost their form.
    """
    with quiet():
        try:
            with torch.no_grad():
                output = call(model, copied_inputs(inputs))
            shown = model if _is_plain(output) else _Flat(model, inputs).eval()
            shapes = None if fixed else free_batch(shown, inputs)
            args, named = ((), dict(inputs)) if isinstance(inputs, Mapping) else (inputs, None)
            program = torch.export.export(shown, args, named, dynamic_shapes=shapes)
        except Exception as error:
            raise ExportError(
                "export.program", "PyTorch cannot export this model: {error}", plain(error), error=first_line(error)
            ) from error
    _forget_origins(program)
    about = dict(properties or {})
    if shown is not model:
        about["outputs"] = json.dumps([one.path for one in exported_outputs(output)])
    torch.export.save(program, path, extra_files={ABOUT: json.dumps(about)})


class _Flat(nn.Module):
    """A model whose output is a tuple of its tensors: its own class is not there where the program is loaded."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.model = model

        def forward(*given: Any, **named: Any) -> tuple[Tensor, ...]:
            return tuple([one.tensor for one in exported_outputs(model(*given, **named))])

        if isinstance(inputs, Mapping):  # the exporter goes by the names that it finds in a signature
            own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in inputs]
            vars(forward)["__signature__"] = inspect.Signature(own)
        self.forward = forward


def _is_plain(output: Any) -> bool:
    if type(output) not in _CONTAINERS:
        return output is None or isinstance(output, (Tensor, bool, int, float, str))
    inner = cast("Any", output.values() if isinstance(output, dict) else output)
    return all(map(_is_plain, inner))


def _forget_origins(program: torch.export.ExportedProgram) -> None:
    """Take out what has no place in a file that is passed on: paths of this machine, and the example's data."""
    program.example_inputs = None
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)
