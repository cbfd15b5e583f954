"""What the user's `evaluate(model) -> dict` gets and gives: a module that can be stopped, and a metric."""

from collections.abc import Mapping
from numbers import Real
from typing import Any, cast

import torch
from torch import nn

from ..errors import TaskError
from ..jobs import CancelToken, check
from .protocol import Metric, Split

SMALLER_IS_BETTER = ("loss", "error", "perplexity", "mae", "mse", "rmse", "wer", "distance")
PERCENT = ("acc", "right", "correct", "top", "f1", "dice", "precision", "recall", "agreement", "iou", "auc", "map")
BESIDE = ("n", "count", "standard_error", "higher_is_better", "percent")
"""Entries that say more about the first one instead of being a metric."""


class Answering(nn.Module):
    """A module around whatever answers, also a session of an exported file, that stops when the token is set.

    Attributes:
        anchor: Says on which device and in which type inputs are expected, as users ask `next(model.parameters())`.
    """

    def __init__(self, predict: Any, token: CancelToken) -> None:
        """Answer by `predict`, and look at `token` before every call."""
        super().__init__()
        if isinstance(predict, nn.Module):
            self.model = predict
        else:
            self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)
        self._answer = predict
        self._token = token
        self.eval()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Whatever `predict` answers."""
        check(self._token)
        return self._answer(*inputs, **named)


def to_metric(given: Any, split: Split, file: str) -> Metric:
    """The first number of the dict as a metric.

    "n", "standard_error", "higher_is_better" and "percent" beside it say more about it; where they are absent, the last
    two are read off its name.
    """
    if isinstance(given, Real | torch.Tensor):
        given = {"metric": given}
    if not isinstance(given, Mapping):
        template = "evaluate in {file} returned {kind}; a dict such as {{'accuracy': 0.91, 'n': 1000}} is needed."
        raise TaskError("task.file.evaluate", template, file=file, kind=type(given).__name__)
    entries = {str(name): value for name, value in cast("Mapping[Any, Any]", given).items()}
    numbers = {name: float(value) for name, value in entries.items() if _is_number(value)}
    name = next((name for name in numbers if name not in BESIDE), None)
    if name is None:
        raise TaskError("task.file.evaluate", "The dict that evaluate in {file} returned holds no number.", file=file)
    value, lower = numbers[name], name.lower()
    if value != value:
        raise TaskError("task.not_finite", "evaluate in {file}: {name} is not a number.", file=file, name=name)
    is_share = 0 <= value <= 1 and any(part in lower for part in PERCENT)
    return Metric(
        name=name,
        value=value,
        count=int(numbers.get("n", numbers.get("count", 0))),
        error=numbers.get("standard_error", 0.0),
        split=split,
        percent=bool(entries.get("percent", is_share)),
        higher_is_better=bool(entries.get("higher_is_better", not any(part in lower for part in SMALLER_IS_BETTER))),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
