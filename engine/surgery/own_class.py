"""Plans that leave the model's code as it is: what its sizes have to do with one another, learnt from cuts on trial.

Any plan can be cut, if need be with other numbers in a forward. Where the code computes a size from another one
(`reshape(batch, tokens, width)` after the heads are put together), only plans that keep the two equal need none. A
trial cut with replaced numbers runs to its end and shows at every place what the code gives by itself; what that equals
in every trial is the other size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..errors import Message, SecateurError, VerificationError
from ..jobs import CancelToken, Job, Progress, check
from ..planning.balance import all_bundles, balanced
from ..structures import reasons
from ..structures.analysis import NOTHING_KNOWN, Analysis, Constraint, Counting, Kind, Known, Literal, Mask
from ..structures.costs import kept_sizes
from ..structures.counting import constrained
from ..tracing.reading import Inputs
from ..tracing.recorder import attempt
from . import runtime
from .candidates import ancestors
from .cut import rehearse
from .protocol import Edits

ROUNDS = 12
"""How often constraints are added before everything that the code still insists on stays."""
TRIALS = 3
"""Random plans of a round; the first loses half of everything."""


def own_class(model: nn.Module, analysis: Analysis, inputs: Inputs, token: CancelToken) -> Job[Analysis]:
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
        yield Progress("Cutting on trial for what the code needs", turn, ROUNDS)
        shown: list[_Shown] = []
        for number in range(TRIALS):
            one = _shown(model, found, inputs, number)
            if one is not None:
                shown.append(one)
                found = replace(found, known=_of_attributes(one.known))
        added = [*_attention(found, shown), *_equal(found, shown)] if shown else []
        if shown and not any(one.foreign for one in shown):
            return found if turn else analysis
        before, found = found, constrained(found, added)
        if found.constraints == before.constraints:
            found = constrained(found, _whole(found, shown))
        if found.constraints == before.constraints:
            break
    raise VerificationError(
        "own_class.none",
        "No plan was found that this model's code survives as it is. Let numbers in it be replaced.",
    )


def _of_attributes(known: Known) -> Known:
    """Without the numbers that were replaced, so that attributes are tried again."""
    return Known(known.attributes)


def require_own_class(edits: Edits) -> None:
    """Raise VerificationError for repairs that go beyond what modules remember."""
    foreign = {one[0] for one in (*edits.literals, *edits.attention)}
    if foreign:
        raise VerificationError(
            "own_class.foreign",
            "This cut needs other numbers in the code of {modules}, which is to stay as it is. Nothing was changed. "
            "Leave structures of these layers out of the plan.",
            modules=", ".join(sorted(foreign)[:3]) or "the model",
        )


@dataclass(slots=True)
class _Shown:
    """What a trial cut showed.

    Attributes:
        kept: Sizes of axes in it.
        given: By literal: what the code gave by itself, where that is not what was needed.
        attention: Modules whose forward was replaced.
        known: What it and those before it showed about attributes.
    """

    kept: NDArray[np.int64]
    given: dict[Literal, int | float] = field(default_factory=dict[Literal, int | float])
    attention: tuple[str, ...] = ()
    known: Known = NOTHING_KNOWN

    @property
    def foreign(self) -> bool:
        """It needs more than the model's own code."""
        return bool(self.given or self.attention)


def _shown(model: nn.Module, analysis: Analysis, inputs: Inputs, number: int) -> _Shown | None:
    """Cut a random plan on trial; None where it does not run whatever is replaced, or removes nothing."""
    mask = _plan(analysis, number)
    if not mask.any():
        return _Shown(kept_sizes(analysis, mask), known=analysis.known)
    try:
        smaller, edits, known = rehearse(model, analysis, analysis.empty(), mask, Edits(), inputs)
    except SecateurError:
        return None
    shown = _Shown(kept_sizes(analysis, mask), attention=tuple(one[0] for one in edits.attention), known=known)
    if edits.literals:
        shown.given = _given(smaller, analysis, inputs, shown.kept)
    return shown


def _plan(analysis: Analysis, number: int) -> Mask:
    """Half of everything; then random counts, alike where layers are alike, then each as it comes."""
    random = np.random.default_rng(number)
    mask, shares = analysis.empty(), dict[tuple[object, ...], float]()
    for bundle in all_bundles(analysis):
        sets = [analysis.sets[n] for n in bundle.sets]
        if sets[0].kind is Kind.BLOCK:
            continue
        alike = (sets[0].kind, sets[0].count, sets[0].part, _without_numbers(sets[0].name))
        share = shares.setdefault(alike, float(random.uniform(0.1, 0.6)))
        share = {0: 0.5, 1: share}.get(number, float(random.uniform(0.1, 0.6)))
        steps = int(bundle.most * share) if number == 0 else min(max(round(bundle.most * share), 1), bundle.most)
        for one, size in zip(sets, bundle.sizes, strict=True):
            mask[one.first : one.first + size * steps] = True
    return balanced(analysis, mask)


def _without_numbers(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split(".") if not part.isdigit())


def _given(model: nn.Module, analysis: Analysis, inputs: Inputs, kept: NDArray[np.int64]) -> dict[Literal, int | float]:
    """What the code gives by itself where other numbers are put in."""
    places = {(one.module, one.site, one.number, one.where): one for one in analysis.literals}
    found: dict[Literal, int | float] = {}

    def note(
        mode: runtime.OwnCalls, site: str, number: int, changes: dict[str, object], given: dict[str, float]
    ) -> None:
        for where in changes:
            one = places.get((mode.path, site, number, where))
            if one is not None and where in given:
                needed = one.value if one.axis < 0 else int(kept[one.axis])
                if one.free or (given[where] != needed and given[where] >= 0):
                    found[one] = given[where]

    runtime.watch = note
    try:
        attempt(model, inputs, analysis.weightless, watched=False)
    finally:
        runtime.watch = None
    return found


def _equal(analysis: Analysis, shown: Sequence[_Shown]) -> list[Constraint]:
    """Sizes that are one to the code: where a trial told it, and in every other module of the same code."""
    places = _Places(analysis)
    found: list[Constraint] = []
    for one in dict.fromkeys(chain.from_iterable(each.given for each in shown)):
        other = places.same(one, [each for each in shown if one in each.given]) if one.axis >= 0 else None
        for module, axis, twin in () if other is None else places.alike(one, other):
            if axis != twin:
                pair = (min(axis, twin), max(axis, twin))
                found.append(Constraint(Counting.EQUAL, pair, int(one.value), (), _why(analysis, one), module))
    return found


class _Places:
    """Where the axes of an analysis occur: in the numbers of forwards and in parameters."""

    def __init__(self, analysis: Analysis) -> None:
        """Note them all."""
        self._length = np.diff(analysis.axis_start)
        self._kinds = {m.path: m.type_name for m in analysis.modules}
        self._roles: dict[str, dict[tuple[str, ...], int]] = {path: {} for path in self._kinds}
        for one in analysis.literals:
            if one.axis >= 0:
                self._roles[one.module][one.site, str(one.number), one.where] = one.axis
        for tensor in analysis.tensors:
            for path in ancestors(tensor.module):
                roles = self._roles[path]
                for dim, axis in enumerate(tensor.axes):
                    if axis >= 0:
                        roles[tensor.name[len(path) and len(path) + 1 :], str(dim)] = axis

    def same(self, one: Literal, seen: Sequence[_Shown]) -> int | None:
        """The axis that had the given size in every trial: of the module itself, else of one around it."""
        for path in ancestors(one.module):
            for axis in dict.fromkeys(self._roles[path].values()):
                if self._length[axis] == one.value and all(each.kept[axis] == each.given[one] for each in seen):
                    return axis
        return None

    def alike(self, one: Literal, other: int) -> Iterator[tuple[str, int, int]]:
        """(module, its axis of the number, its other axis) for the module itself and those of its class."""
        yield one.module, one.axis, other
        own = self._roles[one.module]
        roles = [role for role, axis in own.items() if axis == other]
        for path, kind in self._kinds.items():
            theirs = self._roles[path]
            axis = theirs.get((one.site, str(one.number), one.where))
            if path != one.module and kind == self._kinds[one.module] and axis is not None:
                twins = {theirs[role] for role in roles if role in theirs}
                if len(twins) == 1:
                    yield path, axis, twins.pop()


def _attention(analysis: Analysis, shown: Sequence[_Shown]) -> list[Constraint]:
    """Torch's own attention takes heads times their dimensions for the width of its queries."""
    axes = {f"{t.name}.{dim}": axis for t in analysis.tensors for dim, axis in enumerate(t.axes)}
    found: list[Constraint] = []
    for path in dict.fromkeys(chain.from_iterable(one.attention for one in shown)):
        prefix = f"{path}." if path else ""
        packed = f"{prefix}in_proj_weight.1" in axes
        reads = axes[f"{prefix}in_proj_weight.1" if packed else f"{prefix}q_proj_weight.1"]
        inner = axes[f"{prefix}out_proj.weight.1"]
        makes = [f"{prefix}in_proj_weight.0"] if packed else [f"{prefix}{p}_proj_weight.0" for p in "qkv"]
        why = reasons.own_attention()
        rows = [axes[name] for name in makes]
        dims = [n for n, s in enumerate(analysis.sets) if s.kind is Kind.HEAD_DIM and _touches(analysis, n, rows)]
        if dims:
            found.append(Constraint(Counting.WHOLE, (), 0, tuple(dims), why, path))
        if reads != inner and reads >= 0 and inner >= 0:
            size = int(analysis.axis_start[inner + 1] - analysis.axis_start[inner])
            found.append(Constraint(Counting.EQUAL, (min(reads, inner), max(reads, inner)), size, (), why, path))
    return found


def _touches(analysis: Analysis, number: int, axes: Iterable[int]) -> bool:
    one = analysis.sets[number]
    held = analysis.member_position[analysis.member_start[one.first] : analysis.member_start[one.first + 1]]
    return any(a >= 0 and ((held >= analysis.axis_start[a]) & (held < analysis.axis_start[a + 1])).any() for a in axes)


def _whole(analysis: Analysis, shown: Sequence[_Shown]) -> list[Constraint]:
    """What stays where nothing is known to be equal: head dimensions first; all on an axis; all of a module."""
    still = {n for one in analysis.constraints if one.kind is Counting.WHOLE for n in one.sets}
    free = [n for n, one in enumerate(analysis.sets) if n not in still and one.kind is not Kind.BLOCK]
    places = list(dict.fromkeys(chain.from_iterable(each.given for each in shown)))
    on = {one: [n for n in free if one.axis >= 0 and _touches(analysis, n, [one.axis])] for one in places}
    dims = {one: [n for n in sets if analysis.sets[n].kind is Kind.HEAD_DIM] for one, sets in on.items()}
    beside = {one: [n for n in free if _inside(analysis, n, one.module)] for one in places}
    found = next((each for each in (dims, on, beside) if any(each.values())), dims)
    return [
        Constraint(Counting.WHOLE, (), 0, tuple(sets), _why(analysis, one), one.module)
        for one, sets in found.items()
        if sets
    ]


def _inside(analysis: Analysis, number: int, module: str) -> bool:
    """A set has slices in a module's parameters."""
    names = [analysis.tensors[t].module for t, _ in analysis.sets[number].touches]
    return any(name == module or name.startswith(f"{module}.") for name in names)


def _why(analysis: Analysis, one: Literal) -> Message:
    kind = next((m.type_name for m in analysis.modules if m.path == one.module), "")
    return reasons.own_code(kind or "the model")
