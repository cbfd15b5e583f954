"""Separates the uses of a tied tensor, so that head and embedding are measured apart.

The gradient of a shared tensor is the sum over its uses. What a width loses is what the head reads of it; what the
embedding writes into it is read by others again, and would count twice. So a further use gets a copy of its own, which
takes the tensor's place while a batch runs. Only the parameter in the module changes; the model computes the same.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from .protocol import RatedModel
from .weight_slices import WeightSlices


def further_uses(parameters: dict[str, Any], slices: WeightSlices, measured: bool) -> dict[str, Any]:
    """Name of each further use -> the tied parameter; where data is measured, one of its own with the same values."""
    there = {one.names[0]: parameters[one.tensor] for one in slices.tied if one.tensor in parameters}
    if not measured:  # an embedding is the largest weight of many models
        return there
    from torch import nn

    return {name: nn.Parameter(one.detach().clone(), one.is_floating_point()) for name, one in there.items()}


@contextmanager
def untied_weights(rated: RatedModel) -> Generator[None]:
    """The modules of a further use have its copy inside, and the tied parameter afterwards."""
    found = list(_further_uses(rated)) if rated.slices.tied else []
    try:
        for module, attribute, _, copy in found:
            setattr(module, attribute, copy)
        yield
    finally:
        for module, attribute, parameter, _ in found:
            setattr(module, attribute, parameter)


def _further_uses(rated: RatedModel) -> Iterator[tuple[Any, str, Any, Any]]:
    """(module, attribute, tied parameter, its copy), as far as the model still has them."""
    modules = dict(rated.model.named_modules())
    for one in rated.slices.tied:
        for path, _, attribute in (name.rpartition(".") for name in one.names):
            parameter = getattr(modules.get(path), attribute, None)
            if parameter is not None and parameter is rated.parameters.get(one.tensor):
                yield modules[path], attribute, parameter, rated.parameters[one.names[0]]
