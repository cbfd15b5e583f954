"""Analyses a model: records a run, applies the rules, solves, builds the `Analysis`. Loads torch."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from torch import nn

from ..errors import AnalysisError, Message
from ..gc_pause import uncollected
from ..jobs import CancelToken, NeverCancelled, check
from ..tracing.record import Record
from ..tracing.recorder import record
from ..tracing.saved_tensors import saved_tensors
from ..tracing.tree import Inputs
from .analysis import Analysis
from .apply_rules import apply_rules
from .blocks.blocks import find_blocks
from .build_analysis import build
from .compiled import compiled_notes
from .quantised_layers import packed_notes
from .reparameterised_blocks import merging_notes
from .solver.solve import solve
from .training_branches import branches_on_training
from .unread_parameters import UnreadParameters, names_of, unread_parameters, unused_note


@uncollected()
def analyse(
    model: nn.Module,
    inputs: Inputs,
    name: str = "model",
    *,
    outputs: Sequence[str] = (),
    ignore_unused: bool = False,
    token: CancelToken | None = None,
) -> Analysis:
    """What can be removed from a model, what goes along, what is fixed and why, and what everything costs.

    Args:
        model: Any module; it is run once in eval mode and left as it was found.
        inputs: Example inputs, positional as a tuple or by name as a mapping; first dimension the batch (2 or more
            tells batch from structure).
        name: The model's name for a person.
        outputs: Paths of the outputs that must stay ("logits", "0"); by default all, except what
            transformers' own models compute on the way.
        ignore_unused: Let go what modules might read that did not run on the example inputs.
        token: Cancels the analysis.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
        Cancelled: The token was set.
    """
    token = NeverCancelled() if token is None else token
    return solve_runs(record_runs(model, inputs, outputs, ignore_unused), name, token)({})


@dataclass(frozen=True, slots=True)
class RecordedRuns:
    """What a model did.

    Attributes:
        run: In evaluation mode.
        training: In training mode, where only that reaches parameters or takes branches of its own.
        notes: Remarks on the model as it was given.
        unused: Parameters that neither reached.
        ignore_unused: What these may read is to go all the same.
    """

    run: Record
    training: Record | None = None
    notes: tuple[Message, ...] = ()
    unused: tuple[UnreadParameters, ...] = ()
    ignore_unused: bool = False


def record_runs(
    model: nn.Module, inputs: Inputs, outputs: Sequence[str] = (), ignore_unused: bool = False
) -> RecordedRuns:
    """Run a model as often as it takes to see all its parameters at work.

    Args:
        model: Any module; left as it was found.
        inputs: Example inputs, positional or by name, batch first.
        outputs: Paths of the outputs that must stay; see `analyse`.
        ignore_unused: Whether what modules might read that did not run may go.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
    """
    run, training = record(model, inputs, outputs), None
    unused = unread_parameters(model, [run])
    if unused or branches_on_training(model):
        with suppress(AnalysisError):  # it trains on other inputs: what is unused in evaluation stays so
            training = record(model, inputs, training=True)
            unused = unread_parameters(model, [run, training])
    notes = (*merging_notes(model), *packed_notes(model), *compiled_notes(model), *unused_note(unused, ignore_unused))
    return RecordedRuns(run, training, notes, unused, ignore_unused)


@uncollected()
def solve_runs(seen: RecordedRuns, name: str, token: CancelToken) -> Callable[[Mapping[str, Message]], Analysis]:
    """Solve what was seen; the result makes the analysis without the sets that are refused (set key to reason)."""
    check(token)
    context = apply_rules(seen.run, token, seen.training, () if seen.ignore_unused else seen.unused)
    solution = solve(context.labels)
    check(token)
    held, blocks = saved_tensors(seen.run), find_blocks(context, solution)

    @uncollected()
    def make(refused: Mapping[str, Message]) -> Analysis:
        made = build(context, solution, blocks, name, refused, held)
        notes = (*made.notes, *seen.notes)
        compared = tuple(sorted(seen.run.compared_sizes))
        trained = seen.training is not None
        return replace(made, trained=trained, notes=notes, unused=names_of(seen.unused), compared_sizes=compared)

    return make
