"""Baseline: the same shape trained from scratch with fresh weights (Liu et al. 2019). Loads torch.

Fresh weights come from the original's own factory, so that its author's way to initialise holds, and every tensor draws
its entries anew from those by the seed: a factory of trained weights gives nothing away that was learned. Layers of
normalisation begin as torch begins them.
"""

from typing import Any

import torch
from torch import nn

from ..errors import Message
from ..jobs import CancelToken, Job, Progress
from ..surgery.cut.cut import copy_model
from .protocol import BaselineKind, BaselineModel, BaselineRule, BaselineSpec, ComparedState
from .training import train


def make(compared: ComparedState, asked: BaselineSpec, token: CancelToken) -> Job[BaselineModel]:
    """Train the state's own shape from fresh weights with its recovery."""
    yield Progress("Initialising new weights")
    model = copy_model(compared.model)
    refresh(model, compared.factory(), asked.seed)
    settings = compared.recovery(asked)
    messages = yield from train(model, compared, settings, token, compared.analysis.kept_indices(compared.removed))
    template = "Epochs of training: {epochs}. The original's own training is not counted."
    note = Message("baselines.scratch_budget", template, {"epochs": settings.epochs})
    return BaselineModel(
        model,
        RULE.title,
        parameters=compared.parameters,
        macs=compared.macs,
        epochs=settings.epochs,
        removed=compared.removed,
        edits=compared.edits,
        notes=(note, *messages),
    )


@torch.no_grad()
def refresh(model: nn.Module, fresh: nn.Module, seed: int) -> None:
    """Give a cut model fresh weights, in place: where it is trained, everywhere if all is frozen (`optimizer_of`).

    Args:
        model: The cut one.
        fresh: One of the original's shape, as its factory makes it.
        seed: Of the draws.
    """
    random = torch.Generator().manual_seed(seed)
    given = dict(fresh.named_parameters(remove_duplicate=False))
    floating = {name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    trained = {name: parameter for name, parameter in floating.items() if parameter.requires_grad} or floating
    for name, parameter in trained.items():
        if name in given:
            pool = given[name].detach().flatten()
            drawn = pool[torch.randperm(len(pool), generator=random)[: parameter.numel()]]
            parameter.copy_(drawn.view_as(parameter))
    for module in model.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if callable(reset) and "norm" in type(module).__name__.lower():
            reset()


RULE = BaselineRule(
    BaselineKind.SCRATCH,
    "same shape, from scratch",
    "Do the kept weights help, or does the shape alone explain the result?",
    make,
)
