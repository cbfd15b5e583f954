"""From a live model to its `Analysis`: record once, walk, solve, build. Loads torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from ..collecting import uncollected
from ..errors import AnalysisError, Message
from ..jobs import CancelToken, NeverCancelled, check
from ..tracing.keeping import kept
from ..tracing.reading import Inputs
from ..tracing.record import Record
from ..tracing.recorder import record
from .analysis import Analysis
from .blocks import find_blocks
from .build import build
from .compiled import compiled_notes
from .merging import merging_notes
from .packed import packed_notes
from .solve import solve
from .walk import walk


@uncollected()
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
        outputs: Paths of the outputs that must stay ("logits", "0"); by default all, except what
            transformers' own models compute on the way.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
        Cancelled: The token was set.
    """
    token = NeverCancelled() if token is None else token
    return understand(look(model, inputs, outputs), name, token)({})


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model did.

    Attributes:
        run: In evaluation mode.
        training: In training mode, where only that reaches parameters.
        notes: Remarks on the model as it was given.
    """

    run: Record
    training: Record | None = None
    notes: tuple[Message, ...] = ()


def look(model: nn.Module, inputs: Inputs, outputs: Sequence[str] = ()) -> Seen:
    """Run a model as often as it takes to see all its parameters at work.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
    """
    run, notes = record(model, inputs, outputs), (*merging_notes(model), *packed_notes(model), *compiled_notes(model))
    used = {value for call in run.calls for value in call.refs()}
    if all(source.value in used for source in run.sources if source.parameter):
        return Seen(run, notes=notes)
    try:
        return Seen(run, record(model, inputs, training=True), notes)
    except AnalysisError:  # it trains on other inputs: what is unused in evaluation stays as it is
        return Seen(run, notes=notes)


@uncollected()
def understand(seen: Seen, name: str, token: CancelToken) -> Callable[[Mapping[str, Message]], Analysis]:
    """Solve what was seen; the result makes the analysis without the sets that are refused (set key to reason)."""
    check(token)
    context = walk(seen.run, token, seen.training)
    solution = solve(context.labels)
    check(token)
    held, blocks = kept(seen.run), find_blocks(context, solution)

    @uncollected()
    def make(refused: Mapping[str, Message]) -> Analysis:
        made = build(context, solution, blocks, name, refused, held)
        return replace(made, trained=seen.training is not None, notes=(*made.notes, *seen.notes))

    return make
