"""Exporter to ExecuTorch (.pte), for phones: XNNPACK computes what it can, portable kernels the rest."""

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..adapters.torchvision_detection import in_two_stages
from ..errors import ExportError, Message, SecateurError
from ..inference.bfloat16 import widened
from ..inference.model_inputs import Inputs, as_array, call, read, with_arrays
from ..jobs import CancelToken, Job, Progress
from ..recovery.mixed_precision import in_single
from ..tracing.tree import as_tensors, named_tensors, tensors_of
from .compare import largest_difference
from .export_process import export_file
from .program import in_turn
from .protocol import Exported, ExportRequest, Predictor
from .table import require
from .torch_exporters import (
    FlatModel,
    first_line,
    has_grouped_products,
    output_from_paths,
    output_paths,
    plain,
    quiet,
)

FORMAT = "executorch"
METHOD, ABOUT = "forward", "about"
"""Methods of a file: the model, and what it says of itself, as the bytes of a JSON object."""


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
        _, about = load_file(exported.files[0])
        template = "The file takes one sample at a time."
        notes = [*exported.notes, Message("export.one_by_one", template)]
        if about["portable"]:
            template = "The file computes with portable kernels, which are slow: XNNPACK cannot take it ({reason})."
            notes.append(Message("export.portable", template, {"reason": about["portable"]}))
        return Exported(FORMAT, exported.files, exported.difference, None, exported.bytes, tuple(notes))

    def predictor(self, path: str) -> Predictor:
        """The file as a function, in this process: one sample after the other, with the threads of the runtime."""
        run, about = load_file(path)

        def predict(*inputs: Any, **named: Any) -> Any:
            found = in_turn(run, with_arrays(named or inputs))
            return output_from_paths(list(zip(about["outputs"], found, strict=True)))

        return predict


def library(module: str = "runtime") -> Any:
    """A module of ExecuTorch; raises SecateurError where it is not installed."""
    try:
        if find_spec("executorch") is None:
            raise ImportError
        with quiet():  # its packages warn of what they were not built for
            return import_module(f"executorch.{module}")
    except ImportError as error:
        template = "ExecuTorch is not installed. Install it: pip install 'secateur[executorch]'"
        raise SecateurError("export.executorch_missing", template, str(error)) from error


def export_executorch_here(
    model: nn.Module, inputs: Inputs, path: str | Path, properties: Mapping[str, str] | None = None
) -> None:
    """Write `model` as a file in float32, in this process; cannot be interrupted.

    Args:
        model: In eval mode.
        inputs: Example inputs [N, ...]; the file takes their tensors one by one, at this batch size.
        path: File to write.
        properties: What the file says of itself, with the paths of its inputs and outputs.
    """
    given: Any = model
    with in_single(model), quiet():
        inputs = widened(inputs)
        outputs = output_paths(model, inputs)
        about = {**(properties or {}), "inputs": [name for name, _ in named_tensors(inputs)], "outputs": outputs}
        try:
            program = _trace(model, inputs)
            if has_grouped_products(program):  # ExecuTorch has no kernel for them
                given.set_experts_implementation("batched_mm")
                program = _trace(model, inputs)
            content = _lower(program, about)
        except Exception as error:  # of many kinds, from several compilers
            template = "ExecuTorch cannot hold this model: {error}"
            raise ExportError("export.executorch", template, plain(error), error=first_line(error)) from error
    Path(path).write_bytes(content)


def _trace(model: nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    with sdpa_kernel(SDPBackend.MATH):
        return torch.export.export(FlatModel(model, inputs).eval(), tuple(tensors_of(inputs)))


def _lower(program: torch.export.ExportedProgram, about: Mapping[str, Any]) -> bytes:
    """The file's content: parts that XNNPACK knows are for it, all others for the portable kernels."""
    lower: Any = library("exir").to_edge_transform_and_lower
    partitioner: Any = library("backends.xnnpack.partition.xnnpack_partitioner").XnnpackPartitioner
    reason = ""
    # XNNPACK refuses some models whole. Without it everything is left to the portable kernels.
    for parts in ([partitioner()], []):
        # A method gives back tensors only.
        content = json.dumps({**about, "portable": reason}).encode()
        methods = {ABOUT: torch.tensor(list(content), dtype=torch.uint8)}
        try:
            return bytes(lower(program, partitioner=parts, constant_methods=methods).to_executorch().buffer)
        except Exception as error:
            if not parts:
                raise
            reason = first_line(error)
    raise AssertionError


def load_file(path: str) -> tuple[Callable[..., tuple[Tensor, ...]], dict[str, Any]]:
    """A file as a function of one sample [1, ...], by position or name, and what it says of itself.

    The latter has "inputs" and "outputs", the paths of tensors in their order, and "portable", why XNNPACK computes
    nothing.
    """
    program = library().Runtime.get().load_program(path)
    about = json.loads(bytes(program.load_method(ABOUT).execute([])[0].tolist()))
    method = program.load_method(METHOD)

    def run(*inputs: Any, **named: Any) -> tuple[Tensor, ...]:
        given = dict(named_tensors(named or inputs))
        order = about["inputs"] if set(given) == set(about["inputs"]) else given
        found = method.execute([given[one].contiguous() for one in order])
        return tuple(one.clone() for one in cast("list[Tensor]", found))  # its memory is used again

    return run, about


def check_executorch(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """In a process without the model's code, run `job["path"]` on `job["cases"]`; returns {"difference": the worst}."""
    yield Progress("Checking the file in a fresh process", 3, 4)
    run, _ = load_file(job["path"])

    def run_case(inputs: Inputs) -> list[NDArray[Any]]:
        return [as_array(one) for one in call(run, as_tensors(with_arrays(inputs)))]

    return {"difference": largest_difference(run_case, read(job["cases"]))}
