"""From a live model to its `Analysis`: record once, walk, solve, build. Loads torch."""

from typing import Any

from torch import nn

from ..jobs import CancelToken, NeverCancelled, check
from ..tracing.recorder import record
from .analysis import Analysis
from .build import build
from .solve import solve
from .walk import walk


def analyse(
    model: nn.Module, inputs: tuple[Any, ...], name: str = "model", token: CancelToken | None = None
) -> Analysis:
    """What can be removed from a model, what goes along, what is fixed and why, and what everything costs.

    Args:
        model: Any module; it is run once in eval mode and left as it was found.
        inputs: Positional example inputs, first dimension the batch (2 or more tells batch from structure).
        name: The model's name for a person.
        token: Stops the analysis.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
        Cancelled: The token was set.
    """
    token = NeverCancelled() if token is None else token
    seen = record(model, inputs)
    check(token)
    context = walk(seen, token)
    solution = solve(context.labels)
    check(token)
    return build(context, solution, name)
