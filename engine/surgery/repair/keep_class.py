"""Finds, by trial cuts, the constraints under which a model's code needs no change.

Any plan can be cut, if need be with other numbers in a forward. Where the code computes a size from another one
(`reshape(batch, tokens, width)` after the heads are put together), only plans that keep the two equal need none. A
trial cut with replaced numbers runs to its end and shows at every place what the code gives by itself; what that equals
in every trial is the other size.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ...errors import SecateurError, VerificationError
from ...jobs import CancelToken, Job, Progress, check
from ...messages import listed, module_named
from ...planning.count_balance import all_bundles
from ...runtime import load_pruned
from ...structures.analysis import Analysis, Kind, KnownRepairs, Literal, Mask
from ...structures.costs import kept_sizes
from ...structures.count_constraints import constrain
from ...structures.transition import Transition
from ...tracing.recorder import attempt
from ...tracing.tree import Inputs
from ..cut.cut import try_cut
from ..cut.edits import Edits
from ..cut.trial_cuts import trial_mask
from .size_constraints import TrialOutcome, all_stay, equal_sizes

ROUNDS = 12
"""How often constraints are added before it is given up."""
TRIALS = 3
"""Plans of a round; the first loses half of everything."""


def keep_own_class(model: nn.Module, analysis: Analysis, inputs: Inputs, token: CancelToken) -> Job[Analysis]:
    """The analysis with the constraints under which a cut needs no replaced number and no replaced forward.

    Args:
        model: The original; left as it was found.
        analysis: Of it.
        inputs: The example inputs that the analysis was made with.
        token: Stops the job.

    Returns:
        An analysis with the same structures; the given one where its plans need no such repair anyway.

    Raises:
        VerificationError: No plan for this model does without.
    """
    found: Analysis = replace(analysis, known=_of_attributes(analysis.known))
    for turn in range(ROUNDS):
        check(token)
        yield Progress("Trying cuts that keep the code unchanged", turn, ROUNDS)
        shown: list[TrialOutcome] = []
        for number in range(TRIALS):
            one = _trial(model, found, inputs, number)
            if one is not None:
                shown.append(one)
                found = replace(found, known=_of_attributes(one.known))
        if shown and not any(one.foreign for one in shown):
            return found if turn else analysis
        before = found.constraints
        found = constrain(found, equal_sizes(found, shown))
        if found.constraints == before:
            found = constrain(found, all_stay(found, shown))
        if found.constraints == before:
            break
    raise VerificationError(
        "own_class.none",
        "No plan was found that runs with the model's unchanged class. Allow numbers in its code to be replaced.",
    )


def _of_attributes(known: KnownRepairs) -> KnownRepairs:
    """Without the numbers that were replaced, so that attributes are tried again."""
    return KnownRepairs(known.attributes)


def require_own_class(edits: Edits) -> None:
    """Raise VerificationError for repairs that go beyond what modules remember."""
    foreign = {one[0] for one in (*edits.literals, *edits.constants, *edits.attention)}
    if foreign:
        raise VerificationError(
            "own_class.foreign",
            "This cut needs other numbers in the code of {modules}, which must stay unchanged. Nothing was changed. "
            "Keep the structures of these layers.",
            modules=listed(map(module_named, sorted(foreign)[:3])),
        )


def _trial(model: nn.Module, analysis: Analysis, inputs: Inputs, number: int) -> TrialOutcome | None:
    """Cut a plan on trial; None where it does not run whatever is replaced."""
    mask = _plan(analysis, number)
    kept = kept_sizes(analysis, mask)
    if not mask.any():
        return TrialOutcome(kept, analysis.known)
    try:
        smaller, edits, known = try_cut(model, Transition(analysis, analysis.empty(), mask), Edits(), inputs)
    except SecateurError:
        return None
    given = _given(smaller, analysis, inputs, kept) if edits.literals else {}
    attention = tuple(one[0] for one in edits.attention)
    return TrialOutcome(kept, known, bool(edits.literals or edits.constants or attention), given, attention)


def _plan(analysis: Analysis, number: int) -> Mask:
    """Half of everything; then random counts, alike where layers are alike, then each as it comes."""
    if number == 0:
        return trial_mask(analysis, tuple(one for one in analysis.sets if one.kind is not Kind.BLOCK))
    random = np.random.default_rng(number)
    mask, shares = analysis.empty(), dict[tuple[object, ...], float]()
    for bundle in all_bundles(analysis):
        sets = [analysis.sets[n] for n in bundle.sets]
        if sets[0].kind is not Kind.BLOCK:
            name = tuple(part for part in sets[0].name.split(".") if not part.isdigit())
            alike = (sets[0].kind, sets[0].count, sets[0].part, *name) if number == 1 else bundle.sets
            share = shares.setdefault(alike, float(random.uniform(0.1, 0.6)))
            steps = min(max(round(bundle.most * share), 1), bundle.most)
            for one, size in zip(sets, bundle.sizes, strict=True):
                mask[one.first : one.first + size * steps] = True
    return mask


def _given(model: nn.Module, analysis: Analysis, inputs: Inputs, kept: NDArray[np.int64]) -> dict[Literal, int | float]:
    """What the code gives by itself where other numbers are put in."""
    places = {(one.module, one.site, one.number, one.where): one for one in analysis.literals}
    found: dict[Literal, int | float] = {}

    def note(
        mode: load_pruned.CallSiteMode, site: str, number: int, changes: dict[str, Any], given: dict[str, Any]
    ) -> None:
        """Keep what the code gave at the places of numbers that are replaced."""
        for where in changes:
            one = places.get((mode.path, site, number, where))
            if one is not None and where in given:
                needed = one.value if one.axis < 0 else int(kept[one.axis])
                if one.free or (given[where] != needed and given[where] >= 0):
                    found[one] = given[where]

    load_pruned.watch = note
    try:
        attempt(model, inputs, analysis.weightless, watched=False)
    finally:
        load_pruned.watch = None
    return found
