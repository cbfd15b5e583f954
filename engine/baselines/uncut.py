"""Baseline: the original itself after the same recovery; what of a gain is training, and not pruning. Loads torch.

A model that was trained for too short a time gains by any further training: its gain says nothing about the cut.
"""

from ..jobs import CancelToken, Job, Progress
from ..structures.costs import costs
from ..surgery.cut.cut import copy_model
from .protocol import BaselineKind, BaselineModel, BaselineRule, BaselineSpec, ComparedState
from .training import train


def make(compared: ComparedState, asked: BaselineSpec, token: CancelToken) -> Job[BaselineModel]:
    """Train a copy of the original as the state was recovered; where that was not trained, neither is the copy."""
    yield Progress("Copying the original")
    model, whole, empty = copy_model(compared.original), costs(compared.analysis), compared.analysis.empty()
    settings, messages = compared.recovery_of_trained(asked), ()
    if settings is not None:
        messages = yield from train(model, compared, settings, token, compared.analysis.kept_indices(empty))
    epochs = 0 if settings is None else settings.epochs
    return BaselineModel(model, RULE.title, whole.parameters, whole.macs, epochs, empty, notes=messages)


RULE = BaselineRule(
    BaselineKind.UNCUT,
    "uncut, same recovery",
    "How much of the change comes from training on, and how much from the cut?",
    make,
)
