"""Exporter to a `torch.export` program, which runs without the model's class: written, loaded and checked here."""

import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_map

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError
from ..inference.model_inputs import Inputs, batch_size, call, holds_arrays, mapped, parts, read, with_arrays
from ..jobs import CancelToken, Job, Progress
from ..tracing.model_state import model_state_restored
from ..tracing.tree import as_tensors, copied_inputs, exported_outputs
from .compare import difference
from .export_process import export_file
from .protocol import Exported, ExportRequest, Predictor
from .reference_outputs import outputs
from .table import require
from .torch_exporters import (
    first_line,
    free_batch,
    graph_nodes,
    output_from_paths,
    plain,
    quiet,
    use_torch_operator,
)

ABOUT = "about.json"
"""The extra file in a program that says what it is."""
CONTAINERS = (dict, OrderedDict, list, tuple)
"""What a process that has only torch can build an output of."""


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
        """Write `request.path`; see `export_file`. Where its batch cannot be free, it is 1."""
        require(self.refusal(request))
        return export_file(request, token, "program", may_fix_batch=True)

    def predictor(self, path: str) -> Predictor:
        """The file as a function, in this process and with its threads; one of batch 1 gets each sample alone."""
        program, about = read_program(path)
        run, one_by_one = program.module(), fixed_batch(program) is not None
        paths: list[str] | None = json.loads(about.get("outputs", "null"))

        def predict(*inputs: Any, **named: Any) -> Any:
            given = with_arrays(named or inputs)
            with torch.inference_mode():
                found = in_turn(run, given) if one_by_one else call(run, given)
                return found if paths is None else output_from_paths(list(zip(paths, found, strict=True)))

        return predict


def export_program_here(
    model: nn.Module, inputs: Inputs, path: str | Path, properties: Mapping[str, str] | None = None
) -> None:
    """Write `model` as a program of torch's own operators, in this process; cannot be interrupted.

    Args:
        model: In eval mode.
        inputs: Example inputs [N, ...], positional or by name. An N of 2 or more is free in the file, a batch of one
            stays. Inputs without a tensor (numbers, flags, None) become part of the program, which is called without
            them.
        path: File to write.
        properties: Stored in the file with the program and the paths of outputs that lost their form.
    """
    with quiet():
        try:
            # Sizes that the model remembers of this run would be taken for those of the program.
            with torch.no_grad(), model_state_restored(model):
                output = call(model, copied_inputs(inputs))
            plain_output, given = _is_plain(output), with_arrays(inputs)
            alone = plain_output and len(given) == len(inputs)
            shown = model if alone else _Wrapped(model, inputs, flat=not plain_output).eval()
            shapes = None if batch_size(inputs) == 1 else free_batch(shown, given)
            args, named = ((), dict(given)) if isinstance(given, Mapping) else (given, None)
            program = torch.export.export(shown, args, named, dynamic_shapes=shapes)
        except Exception as error:
            raise ExportError(
                "export.program", "PyTorch cannot export this model: {error}", plain(error), error=first_line(error)
            ) from error
    use_torch_operator(program)
    # The file may be passed on: paths of this machine and the example's data have no place in it.
    program.example_inputs = None
    for node in graph_nodes(program):
        node.meta.pop("stack_trace", None)
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
    if type(output) not in CONTAINERS:
        return output is None or isinstance(output, (Tensor, bool, int, float, str))
    inner = cast("Any", output.values() if isinstance(output, dict) else output)
    return all(map(_is_plain, inner))


def read_program(path: str) -> tuple[ExportedProgram, dict[str, Any]]:
    """Read a .pt2 file and what it says of itself."""
    about = {ABOUT: ""}
    with quiet():
        program = torch.export.load(path, extra_files=about)
    return program, json.loads(about[ABOUT] or "{}")


def fixed_batch(program: ExportedProgram) -> int | None:
    """The only batch size that a program takes, None where it takes any."""
    names = program.graph_signature.user_inputs
    given = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    size = next((one.shape[0] for one in given if isinstance(one, Tensor) and one.ndim), None)
    return size if isinstance(size, int) else None


def in_turn(run: Callable[..., Any], given: Inputs) -> Any:
    """What a function that takes batches of 1 gives for a larger one."""
    count, each = batch_size(given), list[Any]()
    for n in range(count):
        one = mapped(given, lambda x, n=n: x[n : n + 1] if x.ndim and len(x) == count else x)
        each.append(call(run, one))
    return tree_map(lambda *some: torch.cat(some) if isinstance(some[0], Tensor) and some[0].ndim else some[0], *each)


def check_program(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """In a process without the model's code, run `job["path"]` on those of `job["cases"]` that fit its batch.

    Returns:
        {"difference": the worst one}.
    """
    yield Progress("Checking the file in a fresh process", 3, 4)
    try:
        program, _ = read_program(job["path"])
    except Exception as error:
        raise ExportError(
            "export.program_load", "PyTorch alone cannot load the exported file: {error}", error=str(error)
        ) from error
    run, batch = program.module(), fixed_batch(program)
    worst: list[float] = []
    for inputs, expected in read(job["cases"]):
        if batch in (None, batch_size(inputs)):
            try:
                with torch.no_grad():
                    found = outputs(call(run, as_tensors(with_arrays(inputs))))
            except Exception as error:
                raise ExportError(
                    "export.program_run",
                    "The exported file does not run at batch {batch}: {error}",
                    batch=batch_size(inputs),
                    error=str(error),
                ) from error
            worst.append(difference(expected, found))
    return {"difference": max(worst, default=float("inf"))}
