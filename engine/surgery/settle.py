"""The analysis that holds: half of everything is cut on trial; what no repair brings to run is fixed, with the reason.

So that what the window offers can be cut. An analysis alone knows the operators; only a trial knows the model's code.
"""

from collections.abc import Sequence

import numpy as np
from torch import nn

from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress, check
from ..structures import reasons
from ..structures.analyse import look, understand
from ..structures.analysis import Analysis, CoupledSet, Kind, Mask
from ..tracing.reading import Inputs
from .cut import rehearse
from .protocol import Edits


def settle(
    model: nn.Module, inputs: Inputs, name: str, token: CancelToken, outputs: Sequence[str] = ()
) -> Job[Analysis]:
    """Analyse a model and make sure that what it offers can be cut.

    Args:
        model: Any module; left as it was found.
        inputs: Example inputs, positional or by name, batch first.
        name: The model's name for a person.
        token: Stops the job.
        outputs: Paths of the outputs that must stay; see `analyse`.

    Returns:
        The analysis; sets whose removal the model's code does not survive are fixed in it.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
    """
    yield Progress("Recording one run", 0, 3)
    seen = look(model, inputs, outputs)
    yield Progress("Working out what belongs together", 1, 3)
    make = understand(seen, name, token)
    analysis = make({})
    yield Progress("Cutting half on trial", 2, 3)
    refused: dict[str, Message] = {}
    if _fails_together(model, analysis, inputs) is not None:
        yield from _one_by_one(model, analysis, inputs, refused, token)
        analysis = make(refused)
        detail = _fails_together(model, analysis, inputs)
        if detail is not None:  # each alone runs, together they do not: nothing is promised
            analysis = make({s.key: reasons.unrepaired(detail) for s in analysis.sets} | refused)
    yield Progress("Analysed", 3, 3)
    return analysis


def _one_by_one(
    model: nn.Module, analysis: Analysis, inputs: Inputs, refused: dict[str, Message], token: CancelToken
) -> Job[None]:
    """Try every set alone and note those that fail."""
    for number, one in enumerate(analysis.sets):
        check(token)
        yield Progress(f"Trying {one.kind} {one.module}", number, len(analysis.sets))
        detail = _fails(model, analysis, trial_mask(analysis, (one,)), inputs)
        if detail is not None:
            refused[one.key] = reasons.unrepaired(detail)


def _fails_together(model: nn.Module, analysis: Analysis, inputs: Inputs) -> str | None:
    """What `_fails` says of half of everything; blocks apart, for a removed one hides what is wrong inside it."""
    mask = trial_mask(analysis)
    for blocks in (False, True):
        chosen = [s for s in analysis.sets if (s.kind is Kind.BLOCK) == blocks]
        some = analysis.empty()
        for one in chosen:
            some[one.structures] = mask[one.structures]
        detail = _fails(model, analysis, some, inputs)
        if detail is not None:
            return detail
    return None


def trial_mask(analysis: Analysis, sets: tuple[CoupledSet, ...] | None = None) -> Mask:
    """Half of every set (of these sets, if given), every second block."""
    mask = analysis.empty()
    chosen = analysis.sets if sets is None else sets
    for one in chosen:
        if one.kind is not Kind.BLOCK:
            mask[one.first : one.first + one.count // 2] = True
    blocks = [one.first for one in chosen if one.kind is Kind.BLOCK]
    mask[blocks[:: 2 if len(blocks) > 1 else 1]] = True
    return mask


def _fails(model: nn.Module, analysis: Analysis, mask: Mask, inputs: Inputs) -> str | None:
    """None when the cut runs as predicted, else where it does not."""
    if not np.any(mask):
        return None
    try:
        rehearse(model, analysis, analysis.empty(), mask, Edits(), inputs)
    except SecateurError as error:
        return str(error.message.arguments.get("text", error))
    except Exception as error:  # the model's own code may refuse an attribute, or to be copied
        return f"{type(error).__name__}: {error}"
    return None
