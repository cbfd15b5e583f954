"""Example inputs made from their shapes and types, and which inputs of a model have to be integers."""

import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import TaskError
from ..model_inputs import Inputs, mapped, named_arrays
from ..sources.protocol import FLOATS, InputSpec
from ..tasks.model_outputs import evaluating, run_model
from ..tracing.tree import copied_inputs

MASKS = "mask"
"""In the name of an input that says which tokens are there: its values are all 1."""


def made_inputs(specs: tuple[InputSpec, ...], model: Any, batch: int) -> Inputs:
    """Inputs of these shapes and types: random floats, and integers as large as the model's tables allow.

    Args:
        specs: One for each input; by name where they have names.
        model: Is run to find how large its integers may be.
        batch: Size of the first dimension, of all inputs that have the same there as the first one.
    """
    generator = torch.Generator().manual_seed(0)
    given = specs[0].shape[0]
    shapes = [(batch, *one.shape[1:]) if one.shape[0] == given else one.shape for one in specs]
    values = [_first_values(one, shape, generator) for one, shape in zip(specs, shapes, strict=True)]

    def together() -> Inputs:
        return {one.name: v for one, v in zip(specs, values, strict=True)} if specs[0].name else tuple(values)

    integers = [n for n, one in enumerate(specs) if one.dtype not in (*FLOATS, "bool") and MASKS not in one.name]
    bounds = _table_sizes(model) if integers else []
    for number in integers:
        before = values[number]
        for bound in bounds:
            most = min(bound, torch.iinfo(before.dtype).max)
            values[number] = torch.randint(0, most, before.shape, generator=generator).to(before.dtype)
            if runs(model, together()):
                break
            values[number] = before
    return together()


def _first_values(one: InputSpec, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    dtype = cast("torch.dtype", getattr(torch, one.dtype))
    if one.dtype in FLOATS:
        return torch.randn(shape, generator=generator).to(dtype)
    if one.dtype == "bool" or MASKS in one.name:
        return torch.ones(shape, dtype=dtype)
    return torch.randint(0, 2, shape, generator=generator).to(dtype)


def _table_sizes(model: Any) -> list[int]:
    """How many rows the embeddings of a model have, the largest first."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return sorted({one.num_embeddings for one in modules if isinstance(one, nn.Embedding)}, reverse=True)


def runs(model: Any, inputs: Inputs) -> bool:
    """Whether a model takes these inputs."""
    try:
        with evaluating(model):
            run_model(model, copied_inputs(inputs))
    except TaskError:
        return False
    return True


def integer_inputs(model: nn.Module, inputs: Inputs) -> list[str]:
    """Names of floating inputs in whose place the model takes integers: one of them alone, or all; [] for none."""
    floating = [path for path, one in named_arrays(inputs) if one.is_floating_point()]
    for asked in [[path] for path in floating] + ([floating] if len(floating) > 1 else []):
        if runs(model, _with_integers(inputs, asked)):
            return [_argument(model, inputs, path) for path in asked]
    return []


def _with_integers(inputs: Inputs, paths: list[str]) -> Inputs:
    places = iter([path for path, _ in named_arrays(inputs)])
    return mapped(inputs, lambda one: torch.zeros(one.shape, dtype=torch.int64) if next(places) in paths else one)


def _argument(model: nn.Module, inputs: Inputs, path: str) -> str:
    """What the forward calls the input at a path; the path where it has no name for it."""
    if isinstance(inputs, Mapping) or not path.isdecimal():
        return path
    try:
        names = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):  # a forward that is no Python function
        return path
    return names[int(path)] if int(path) < len(names) else path
