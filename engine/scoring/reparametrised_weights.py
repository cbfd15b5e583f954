"""Finds weights that layers compute from parameters: weight norm, spectral norm, standardised convolutions.

One factor of a weight says nothing by itself: a row of weight norm's direction times 100 leaves the model as it is.
What is made of parameters alone and has the shape of one of them is the weight that runs in its place. It is looked at
in the functions that modules call, above autograd, so that a gradient can be taken for it. Loads torch.
"""

from typing import Any, cast

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..tracing.isolated_forward import quiet_forward
from ..tracing.tree import tensors_of

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class WeightRecorder(TorchFunctionMode):
    """Context manager that finds the weights that layers compute.

    Attributes:
        running: Name of a parameter -> what was made of it and met data, each time that it was made.
    """

    def __init__(self, model: nn.Module, weights: dict[str, Any]) -> None:
        """Follow some of a model's parameters, by name."""
        super().__init__()
        self.running: dict[str, list[Any]] = {}
        self._weights = weights
        self._known: dict[int, tuple[Any, str, Any]] = {
            id(one): (one, "", None) for one in (*model.parameters(), *model.buffers())
        }
        self._known |= {id(weight): (weight, name, None) for name, weight in weights.items()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function; follow what is made of parameters, and note what of it meets data."""
        result = func(*args, **(kwargs or {}))
        given = [one for one in tensors_of((args, kwargs or {})) if one.ndim]
        sources = [self._known[id(one)] for one in given if id(one) in self._known]
        if sources and len(sources) == len(given):
            for one in tensors_of(result):
                if id(one) in self._known:
                    continue
                # What was made, name of the parameter that it stands for, the last of that parameter's shape.
                named = [source for source in sources if source[1]]
                self._known[id(one)] = (one, *named[0][1:]) if named else (one, "", None)
                for _, name, _ in named:
                    weight = self._weights[name]
                    storage = one.untyped_storage().data_ptr()
                    if one.shape == weight.shape and storage != weight.untyped_storage().data_ptr():
                        self._known[id(one)] = one, name, one
                        break
        elif tensors_of(result):
            for _, name, made in sources:
                if made is not None and all(made is not one for one in self.running.setdefault(name, [])):
                    self.running[name].append(made)
        return result


def running_weights(model: nn.Module, parameters: dict[str, Any]) -> dict[str, Any]:
    """Name of a parameter -> the weight that convolutions, linear layers and embeddings make of it, where they do.

    A layer that may do so is run once on zeros. Layers that are torch's own, without a hook, run their parameter.
    """
    layers = (one for one in model.modules() if isinstance(one, (*CONVOLUTIONS, nn.Linear, nn.Embedding)))
    candidates = [
        one
        for one in layers
        if not type(one).__module__.startswith("torch.nn.modules.") or vars(one)["_forward_pre_hooks"]
    ]
    found: dict[str, Any] = {}
    if not candidates:
        return found
    with quiet_forward(model):
        for one in candidates:
            held = {id(parameter) for parameter in one.parameters()}
            own = {n: p for n, p in parameters.items() if id(p) in held and p.ndim > 1}
            try:
                # The smallest input, by the shape of the weight: a cut layer may remember an older size.
                largest = max(one.parameters(), key=torch.numel)
                if isinstance(one, nn.Embedding):
                    given = torch.zeros(1, dtype=torch.int64, device=largest.device)
                elif isinstance(one, nn.Linear):
                    given = largest.new_zeros(1, largest.shape[1])
                else:
                    layer = cast("nn.Conv2d", one)
                    channels = largest.shape[0] if layer.transposed else largest.shape[1] * layer.groups
                    sizes = (d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
                    given = largest.new_zeros(1, channels, *sizes)
                with WeightRecorder(one, own) as result:
                    one(given)
            # It takes something else than torch's own layer does.
            except Exception:
                continue
            found |= {name: made[-1] for name, made in result.running.items() if made}
    return found
