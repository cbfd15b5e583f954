"""Baseline: unstructured magnitude pruning to as many non-zero weights. Loads torch.

The smallest weights of the whole model go (global L1, Han et al. 2015), chosen by torch's own pruning; the zeros stay
zeros through the same recovery. The tensors keep their shapes: what a runtime makes of zeros is measured.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress
from ..structures.costs import costs
from ..surgery.cut.cut import copy_model
from .protocol import BaselineKind, BaselineModel, BaselineRule, BaselineSpec, ComparedState
from .training import train

LEAST_DIMENSIONS = 2
"""Biases and normalisation, with fewer, stay whole."""
WeightHolder = tuple[nn.Module, str]
"""A module and the name of its parameter."""


class ZeroMask(nn.Module):
    """A weight with some of its entries held at zero."""

    def __init__(self, kept: Tensor) -> None:
        """Take what is kept, 1 or 0 for each entry."""
        super().__init__()
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with zeros."""
        return weight * self.get_buffer("kept")


def make(compared: ComparedState, asked: BaselineSpec, token: CancelToken) -> Job[BaselineModel]:
    """Set as many weights of the original to zero as the state has fewer parameters."""
    yield Progress("Setting the smallest weights to zero")
    model, whole = copy_model(compared.original), costs(compared.analysis)
    set_zeros(model, whole.parameters - compared.parameters)
    settings, empty, messages = compared.recovery_of_trained(asked), compared.analysis.empty(), tuple[Message, ...]()
    if settings is not None:
        messages = yield from train(model, compared, settings, token, compared.analysis.kept_indices(empty))
    bake(model)
    template = "{share:.0%} of the weights are zero, but their MACs are still computed."
    note = Message("baselines.zeros", template, {"share": 1 - compared.parameters / max(whole.parameters, 1)})
    left, epochs = sum(int(p.count_nonzero()) for p in model.parameters()), 0 if settings is None else settings.epochs
    return BaselineModel(model, RULE.title, left, whole.macs, epochs, empty, notes=(note, *messages))


def set_zeros(model: nn.Module, count: int) -> None:
    """Hold the smallest `count` weights of a model at zero from now on; `bake` ends that.

    Raises:
        SecateurError: There are fewer weights.
    """
    places = _weight_holders(model)
    sizes = sum(getattr(*tied[0]).numel() for tied in places)
    if not 0 <= count < sizes:
        template = (
            "Cannot set {count} weights to zero: only {sizes} can be, because biases, normalisation and recurrent "
            "layers stay. Choose another baseline."
        )
        raise SecateurError("baselines.too_few_weights", template, count=count, sizes=sizes)
    first = [tied[0] for tied in places]
    if count == 0:
        return
    prune.global_unstructured(first, pruning_method=prune.L1Unstructured, amount=count)
    for tied in places:
        module, name = tied[0]
        kept = module.get_buffer(f"{name}_mask").clone()
        prune.remove(module, name)
        for other, its_name in tied:
            setattr(other, its_name, getattr(module, name))
        for other, its_name in tied:
            parametrize.register_parametrization(other, its_name, ZeroMask(kept), unsafe=True)


def bake(model: nn.Module) -> None:
    """Write the zeros into the weights; modules are again of their own classes, and what the user set on them stays."""
    for module in list(model.modules()):
        held: Any = getattr(module, "parametrizations", None)
        for name in list(held) if parametrize.is_parametrized(module) else ():
            if any(isinstance(one, ZeroMask) for one in held[name]):
                parametrize.remove_parametrizations(module, name)


def _weight_holders(model: nn.Module) -> list[list[WeightHolder]]:
    """Where each weight is held; tied ones have several places.

    Recurrent layers stay whole: they keep further references to their weights, past which no zero could be held. So do
    the norms of a weight norm, which are factors of whole filters.
    """
    found: dict[int, list[WeightHolder]] = {}
    for module in (one for one in model.modules() if not isinstance(one, nn.RNNBase)):
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            own = parameter.ndim >= LEAST_DIMENSIONS and parameter.is_floating_point()
            # Names of the direction that belongs to a norm, as torch keeps a weight norm now and in older versions.
            direction = "original1" if name == "original0" else f"{name[:-2]}_v" if name.endswith("_g") else ""
            if own and not isinstance(getattr(module, direction, None), nn.Parameter):
                found.setdefault(id(parameter), []).append((module, name))
    return list(found.values())


RULE = BaselineRule(
    BaselineKind.MAGNITUDE,
    "unstructured magnitude",
    "How good is unstructured pruning at the same number of parameters, and does it run faster?",
    make,
)
