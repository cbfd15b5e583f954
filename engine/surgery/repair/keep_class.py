"""Finds, by trial cuts, the constraints under which a model's code needs no change.

Any plan can be cut, if need be with other numbers in a forward. Where the code computes a size from another one
(`reshape(batch, tokens, width)` after the heads are put together), only plans that keep the two equal need none. A
trial cut with replaced numbers runs to its end and shows at every place what the code gives by itself; what that equals
in every trial is the other size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ...errors import Message, SecateurError, VerificationError
from ...jobs import CancelToken, Job, Progress, check
from ...messages import listed, module_named
from ...planning.count_balance import all_bundles
from ...runtime import load_pruned
from ...structures import reasons
from ...structures.analysis import Analysis, Constraint, CountRule, Kind, KnownRepairs, Literal, Mask, inside
from ...structures.costs import kept_sizes
from ...structures.count_constraints import constrain
from ...structures.transition import Transition
from ...tracing.recorder import attempt
from ...tracing.tree import Inputs
from ..cut.cut import try_cut
from ..cut.edits import Edits
from ..cut.trial_cuts import trial_mask
from .candidates import ancestor_paths

ROUNDS = 12
"""How often constraints are added before it is given up."""
TRIALS = 3
"""Plans of a round; the first loses half of everything."""


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What a trial cut showed.

    Attributes:
        kept: Sizes of axes in it.
        known: What it and those before it showed about attributes.
        foreign: It needed more than the model's own code.
        given: By literal: what the code gave by itself, where that is not what was needed.
        attention: Modules whose forward was replaced.
    """

    kept: NDArray[np.int64]
    known: KnownRepairs
    foreign: bool = False
    given: dict[Literal, int | float] = field(default_factory=dict[Literal, int | float])
    attention: tuple[str, ...] = ()


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
    # Without the numbers that earlier cuts replaced: attributes alone may do.
    found: Analysis = replace(analysis, known=KnownRepairs(analysis.known.attributes))
    for turn in range(ROUNDS):
        check(token)
        yield Progress("Trying cuts that keep the code unchanged", turn, ROUNDS)
        shown: list[TrialOutcome] = []
        for number in range(TRIALS):
            one = _try_plan(model, found, inputs, number)
            if one is not None:
                shown.append(one)
                found = replace(found, known=KnownRepairs(one.known.attributes))
        if shown and not any(one.foreign for one in shown):
            return found if turn else analysis
        # What is equal costs a plan less than what stays, so that is asked for only where nothing is equal.
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


def _try_plan(model: nn.Module, analysis: Analysis, inputs: Inputs, number: int) -> TrialOutcome | None:
    """Cut a plan on trial; None where it does not run whatever is replaced."""
    mask = _trial_plan(analysis, number)
    kept = kept_sizes(analysis, mask)
    if not mask.any():
        return TrialOutcome(kept, analysis.known)
    try:
        smaller, edits, known = try_cut(model, Transition(analysis, analysis.empty(), mask), Edits(), inputs)
    except SecateurError:
        return None
    places = {(one.module, one.site, one.number, one.where): one for one in analysis.literals}
    given: dict[Literal, int | float] = {}

    def note(
        mode: load_pruned.CallSiteMode, site: str, number: int, changes: dict[str, Any], numbers: dict[str, Any]
    ) -> None:
        """Keep what the code gave by itself at the places of numbers that are replaced."""
        for where in changes:
            one = places.get((mode.path, site, number, where))
            if one is not None and where in numbers:
                needed = one.value if one.axis < 0 else int(kept[one.axis])
                if one.free or (numbers[where] != needed and numbers[where] >= 0):
                    given[one] = numbers[where]

    if edits.literals:
        load_pruned.watch = note
        try:
            attempt(smaller, inputs, analysis.weightless, watched=False)
        finally:
            load_pruned.watch = None
    attention = tuple(one[0] for one in edits.attention)
    return TrialOutcome(kept, known, bool(edits.literals or edits.constants or attention), given, attention)


def _trial_plan(analysis: Analysis, number: int) -> Mask:
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


def equal_sizes(analysis: Analysis, shown: Sequence[TrialOutcome]) -> list[Constraint]:
    """Sizes that the code treats as one by what trials showed, in every module of the same class."""
    places = _Places(analysis)
    found = list(_attention_sizes(analysis, shown))
    for one in _literals(shown):
        other = places.axis_given(one, [each for each in shown if one in each.given]) if one.axis >= 0 else None
        for module, axis, twin in () if other is None else places.in_class(one, other):
            if axis != twin:
                found.append(_equal(analysis, axis, twin, places.why(one), module))
    return found


def all_stay(analysis: Analysis, shown: Sequence[TrialOutcome]) -> list[Constraint]:
    """What stays where nothing is known to be equal: head dimensions first; all on an axis; all of a module."""
    places = _Places(analysis)
    still = {n for one in analysis.constraints if one.kind is CountRule.WHOLE for n in one.sets}
    free = [n for n, one in enumerate(analysis.sets) if n not in still and one.kind is not Kind.BLOCK]
    axes = {n: analysis.axes_of(analysis.sets[n]) for n in free}

    def on_axis(one: Literal) -> list[int]:
        return [n for n in free if one.axis in axes[n]]

    def dimensions(one: Literal) -> list[int]:
        return [n for n in on_axis(one) if analysis.sets[n].kind is Kind.HEAD_DIM]

    def of_module(one: Literal) -> list[int]:
        owners = {n: [analysis.tensors[t].module for t, _ in analysis.sets[n].touches] for n in free if one.module}
        return [n for n, paths in owners.items() if any(inside(path, one.module) for path in paths)]

    # From the fewest to the most: a later choice costs more structures than an earlier one.
    choices: tuple[Callable[[Literal], list[int]], ...] = (dimensions, on_axis, of_module)
    for choose in choices:
        found = {one: tuple(choose(one)) for one in _literals(shown)}
        if any(found.values()):
            return [_stay(sets, places.why(one), one.module) for one, sets in found.items() if sets]
    return []


class _Places:
    """Where the axes of an analysis occur: in the numbers of forwards and in parameters."""

    def __init__(self, analysis: Analysis) -> None:
        """Note them all."""
        self._length = np.diff(analysis.axis_start)
        self._kinds = {m.path: m.type_name for m in analysis.modules}
        self._roles: dict[str, dict[tuple[str, ...], int]] = {path: {} for path in self._kinds}
        for one in analysis.literals:
            if one.axis >= 0:
                self._roles[one.module][_role(one)] = one.axis
        for tensor in analysis.tensors:
            for path in ancestor_paths(tensor.module):
                name = tensor.name.removeprefix(f"{path}." if path else "")
                self._roles[path] |= {(name, str(d)): axis for d, axis in enumerate(tensor.axes) if axis >= 0}

    def axis_given(self, one: Literal, seen: Sequence[TrialOutcome]) -> int | None:
        """The axis that had the given size in every trial: of the module itself, else of one around it."""
        for path in ancestor_paths(one.module):
            for axis in dict.fromkeys(self._roles[path].values()):
                if self._length[axis] == one.value and all(each.kept[axis] == each.given[one] for each in seen):
                    return axis
        return None

    def in_class(self, one: Literal, other: int) -> Iterator[tuple[str, int, int]]:
        """(module, its axis of the number, its other axis) for the module itself and those of its class."""
        yield one.module, one.axis, other
        kind, own = self._kinds[one.module], self._roles[one.module]
        roles = [role for role, axis in own.items() if axis == other]
        for path, theirs in self._roles.items():
            twins = {theirs[role] for role in roles if role in theirs}
            if path != one.module and self._kinds[path] == kind and _role(one) in theirs and len(twins) == 1:
                yield path, theirs[_role(one)], twins.pop()

    def why(self, one: Literal) -> Message:
        """Whose code works a size out from another."""
        return reasons.own_code(self._kinds[one.module] or "the model")


def _literals(shown: Sequence[TrialOutcome]) -> list[Literal]:
    return list(dict.fromkeys(chain.from_iterable(one.given for one in shown)))


def _role(one: Literal) -> tuple[str, ...]:
    return one.site, str(one.number), one.where


def _attention_sizes(analysis: Analysis, shown: Sequence[TrialOutcome]) -> Iterator[Constraint]:
    """Torch's own attention takes heads times their dimensions for the width of its queries."""
    axes = {f"{t.name}.{dim}": axis for t in analysis.tensors for dim, axis in enumerate(t.axes)}
    why = reasons.own_attention()
    for path in dict.fromkeys(chain.from_iterable(one.attention for one in shown)):
        prefix = f"{path}." if path else ""
        packed = f"{prefix}in_proj_weight.0" in axes
        projections = ["in_proj_weight"] if packed else ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
        rows = {axes[f"{prefix}{name}.0"] for name in projections}
        reads, inner = axes[f"{prefix}{projections[0]}.1"], axes[f"{prefix}out_proj.weight.1"]
        heads = [n for n, one in enumerate(analysis.sets) if one.kind is Kind.HEAD_DIM]
        dims = tuple(n for n in heads if rows & analysis.axes_of(analysis.sets[n]))
        if dims:
            yield _stay(dims, why, path)
        if reads != inner and min(reads, inner) >= 0:
            yield _equal(analysis, reads, inner, why, path)


def _equal(analysis: Analysis, axis: int, other: int, why: Message, module: str) -> Constraint:
    size = int(np.diff(analysis.axis_start)[axis])
    return Constraint(CountRule.EQUAL, (min(axis, other), max(axis, other)), size, (), why, module)


def _stay(sets: tuple[int, ...], why: Message, module: str) -> Constraint:
    return Constraint(CountRule.WHOLE, (), 0, sets, why, module)
