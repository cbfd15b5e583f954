"""Loads a `torch.export` program as a function."""

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.utils._pytree import tree_map

from ..model_inputs import Inputs, batch_size, call, mapped, with_arrays
from .exporter_options import quiet
from .output_tree import output_from_paths
from .protocol import Predictor

ABOUT = "about.json"
"""The extra file in a program that says what it is."""


def load(path: str) -> ExportedProgram:
    """Read a .pt2 file."""
    return read(path)[0]


def read(path: str) -> tuple[ExportedProgram, dict[str, Any]]:
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


def predictor(path: str, threads: int = 1) -> Predictor:
    """The file as a function that is called and answers as the model; one of batch 1 gets one sample after another."""
    program, about = read(path)
    run, one_by_one = program.module(), fixed_batch(program) is not None
    paths: list[str] | None = json.loads(about.get("outputs", "null"))

    def predict(*inputs: Any, **named: Any) -> Any:
        given = with_arrays(named or inputs)
        with torch.inference_mode():
            found = in_turn(run, given) if one_by_one else call(run, given)
            return found if paths is None else output_from_paths(list(zip(paths, found, strict=True)))

    return predict


def in_turn(run: Callable[..., Any], given: Inputs) -> Any:
    """What a function that takes batches of 1 gives for a larger one."""
    count, each = batch_size(given), list[Any]()
    for n in range(count):
        one = mapped(given, lambda x, n=n: x[n : n + 1] if x.ndim and len(x) == count else x)
        each.append(call(run, one))
    return tree_map(_joined, *each)


def _joined(*parts: Any) -> Any:
    """Results of single samples as that of the batch."""
    return torch.cat(parts) if isinstance(parts[0], Tensor) and parts[0].ndim else parts[0]
