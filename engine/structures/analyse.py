"""From a live model to its `Analysis`: record once, walk, solve, build. Loads torch."""

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from ..errors import Message
from ..jobs import CancelToken, NeverCancelled, check
from ..tracing.reading import Inputs
from ..tracing.record import Record
from ..tracing.recorder import record
from .analysis import Analysis
from .build import build
from .solve import solve
from .walk import walk


def analyse(
    model: nn.Module,
    inputs: Inputs,
    name: str = "model",
    token: CancelToken | None = None,
    outputs: Sequence[str] = (),
) -> Analysis:
    """What can be removed from a model, what goes along, what is fixed and why, and what everything costs.

    Args:
        model: Any module; it is run once in eval mode and left as it was found.
        inputs: Example inputs, positional as a tuple or by name as a mapping; first dimension the batch (2 or more
            tells batch from structure).
        name: The model's name for a person.
        token: Stops the analysis.
        outputs: Paths of the outputs that must stay ("logits", "0"); by default all that are not intermediate results.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
        Cancelled: The token was set.
    """
    token = NeverCancelled() if token is None else token
    return understand(record(model, inputs, outputs), name, token)({})


def understand(seen: Record, name: str, token: CancelToken) -> Callable[[Mapping[str, Message]], Analysis]:
    """Solve a record; the result makes the analysis without the sets that are refused (set key to reason)."""
    check(token)
    context = walk(seen, token)
    solution = solve(context.labels)
    check(token)
    return lambda refused: build(context, solution, name, refused)
