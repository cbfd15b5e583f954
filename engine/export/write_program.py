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
from ..model_inputs import Inputs, call, holds_arrays, parts, read, with_arrays
from ..sources.open import unpack
from ..tracing.model_state import model_state_restored
from ..tracing.tree import as_tensors, copied_inputs, exported_outputs
from .expert_products import use_torch_operator
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
        inputs: Example inputs [N, ...], positional or by name, N of 2 or more unless the batch is fixed. Those without
            a tensor (numbers, flags, None) become part of the program, which is called without them.
        path: File to write.
        fixed: The batch stays N; otherwise it is free.
        properties: Stored in the file beside the program, with the paths of outputs that lost their form.
    """
    with quiet():
        try:
            with torch.no_grad(), model_state_restored(model):  # sizes that it remembers would be those of the program
                output = call(model, copied_inputs(inputs))
            plain_output, given = _is_plain(output), with_arrays(inputs)
            alone = plain_output and len(given) == len(inputs)
            shown = model if alone else _Wrapped(model, inputs, flat=not plain_output).eval()
            shapes = None if fixed else free_batch(shown, given)
            args, named = ((), dict(given)) if isinstance(given, Mapping) else (given, None)
            program = torch.export.export(shown, args, named, dynamic_shapes=shapes)
        except Exception as error:
            raise ExportError(
                "export.program", "PyTorch cannot export this model: {error}", plain(error), error=first_line(error)
            ) from error
    use_torch_operator(program)
    _forget_origins(program)
    about = dict(properties or {})
    if not plain_output:
        about["outputs"] = json.dumps([one.path for one in exported_outputs(output)])
    torch.export.save(program, path, extra_files={ABOUT: json.dumps(about)})


class _Wrapped(nn.Module):
    """A model that is called with its tensors alone; what else it takes is as in `inputs`.

    With `flat`, its output is a tuple of tensors: its own class is not there where the program is loaded.
    """

    def __init__(self, model: nn.Module, inputs: Inputs, flat: bool) -> None:
        super().__init__()
        self.model = model
        named = isinstance(inputs, Mapping)
        constants = {key: one for key, one in parts(inputs) if not holds_arrays(one)}
        free = [key for key, _ in parts(inputs) if key not in constants]

        def forward(*given: Any, **by_name: Any) -> Any:
            every = {**constants, **(by_name if named else dict(zip(free, given, strict=True)))}
            result = call(model, every if named else tuple(every[n] for n in range(len(every))))
            return tuple([one.tensor for one in exported_outputs(result)]) if flat else result

        if named:  # the exporter goes by the names that it finds in a signature
            own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in free]
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
