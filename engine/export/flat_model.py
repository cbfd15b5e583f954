"""A model as exporters of graphs take it: tensors in, tensors out, one after the other."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..errors import ExportError
from ..model_inputs import Inputs, call
from ..tracing.model_state import model_state_restored
from ..tracing.tree import copied_inputs, exported_outputs
from .exporter_options import first_line


class FlatModel(nn.Module):
    """A model that takes its tensors one by one and gives them so; what else it is given is as it is now."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        """Wrap a model that is called with `inputs`."""
        super().__init__()
        self.model = model
        leaves, self.layout = tree_flatten(inputs)
        self.others = [None if isinstance(leaf, Tensor) else (leaf,) for leaf in leaves]

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        """The model's outputs in the order of `output_paths`."""
        given = iter(tensors)
        leaves: list[Any] = [next(given) if other is None else other[0] for other in self.others]
        return [one.tensor for one in exported_outputs(call(self.model, tree_unflatten(leaves, self.layout)))]


def output_paths(model: nn.Module, inputs: Inputs) -> list[str]:
    """Paths of the tensors that the model answers with; sizes that it remembers of this run are forgotten."""
    try:
        with torch.no_grad(), model_state_restored(model):
            return [one.path for one in exported_outputs(call(model, copied_inputs(inputs)))]
    except Exception as error:
        raise ExportError(
            "export.example", "The model does not run on its example inputs: {error}", error=first_line(error)
        ) from error
