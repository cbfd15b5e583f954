"""A program that `torch.export` wrote, as a function."""

from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.utils._pytree import tree_map

from .exporting import quiet
from .protocol import Predictor


def load(path: str) -> ExportedProgram:
    """Read a .pt2 file."""
    with quiet():
        return torch.export.load(path)


def fixed_batch(program: ExportedProgram) -> int | None:
    """The only batch size that a program takes, None where it takes any."""
    names = program.graph_signature.user_inputs
    first = next(node for node in program.graph.nodes if node.op == "placeholder" and node.name in names)
    size = first.meta["val"].shape[0]
    return size if isinstance(size, int) else None


def predictor(path: str, threads: int = 1) -> Predictor:
    """The file as a function of tensors [N, ...] in this process; one of batch 1 is given one sample after another."""
    program = load(path)
    run, one_by_one = program.module(), fixed_batch(program) is not None

    def predict(*inputs: Tensor) -> Any:
        with torch.inference_mode():
            count = len(inputs[0])
            if not one_by_one:
                return run(*inputs)
            each = [run(*(x[n : n + 1] if x.ndim and len(x) == count else x for x in inputs)) for n in range(count)]
            return tree_map(_joined, *each)

    return predict


def _joined(*parts: Any) -> Any:
    """Results of single samples as that of the batch."""
    return torch.cat(parts) if isinstance(parts[0], Tensor) and parts[0].ndim else parts[0]
