"""Tests an analysis with trial cuts, and fixes what cannot be cut: half of everything, then some sets alone.

So that what the window offers can be cut. An analysis alone knows the operators; only a trial knows the model's code.
What no repair brings to run is fixed, with the reason.
"""

import itertools
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from torch import nn

from ...errors import Message, SecateurError
from ...jobs import CancelToken, Job, NeverCancelled, Progress, check
from ...messages import Phrase
from ...planning.count_balance import balanced
from ...structures import reasons
from ...structures.analyse import record_runs, solve_runs
from ...structures.analysis import Analysis, CoupledSet, Kind, Mask, inside
from ...structures.transition import Transition
from ...tracing.recorder import attempt
from ...tracing.shadow_model import weightless_copy
from ...tracing.tree import Inputs
from ..verify.variations import Variation, longer_inputs
from .cut import try_cut
from .edits import Edits

ROUNDS = 8
"""How often an analysis is made anew without what was refused, before all that is left is."""
ENOUGH = 4
"""Of how many sets that are alike none can go alone, before the others are taken to be so too."""
NUMBER = re.compile(r"\d+")
"""Of a layer, in the name of a tensor."""
Sets = tuple[CoupledSet, ...]


def settle(
    model: nn.Module,
    inputs: Inputs,
    *,
    name: str = "model",
    outputs: Sequence[str] = (),
    ignore_unused: bool = False,
    token: CancelToken | None = None,
) -> Job[Analysis]:
    """Analyse a model and make sure that what it offers can be cut.

    Args:
        model: Any module; left as it was found.
        inputs: Example inputs, positional or by name, batch first.
        name: The model's name for a person.
        outputs: Paths of the outputs that must stay; see `analyse`.
        ignore_unused: Let go what modules might read that did not run on the example inputs.
        token: Cancels the job.

    Returns:
        The analysis; sets whose removal the model's code does not survive are fixed in it.

    Raises:
        AnalysisError: The forward raised or returned no tensor.
    """
    token = token or NeverCancelled()
    yield Progress("Recording one run", 0, 3)
    seen = record_runs(model, inputs, outputs, ignore_unused)
    yield Progress("Finding coupled structures", 1, 3)
    make = solve_runs(seen, name, token)
    analysis = make({})
    # A cut slices a table (sinusoidal positions), but not the code that makes it anew for inputs longer than it is.
    longer: list[Variation] = []
    compared_sizes = seen.run.compared_sizes
    blank = weightless_copy(model) if analysis.weightless and compared_sizes else model
    for one in longer_inputs(inputs, compared_sizes) if compared_sizes else ():
        check(token)
        if attempt(blank, one.inputs, analysis.weightless, watched=False).error is None:
            longer.append(one)
    refused: dict[str, Message] = {}
    tried: set[str] = set()
    for _ in range(ROUNDS):
        yield Progress("Cutting half of the structures on trial", 2, 3)
        trials = _Trials(model, analysis, inputs, tuple(longer))
        found = yield from _find_refused(trials, token)
        if not found:
            found = yield from _find_refused_alone(trials, tried, token)
        if not found:
            analysis = trials.analysis
            break
        if not refused:
            # The first run of all may have made what later ones find: tables of a library, what it imports late.
            again = record_runs(model, inputs, outputs, ignore_unused)
            if [call.op for call in again.run.calls] != [call.op for call in seen.run.calls]:
                seen, make = again, solve_runs(again, name, token)
                analysis = make({})
                continue
        refused |= found
        analysis = replace(make(refused), known=trials.analysis.known)  # the axes are the same
    else:  # nothing is promised
        left = {
            s.key: reasons.unrepaired(
                Message("repair.together", "the model does not run when it is cut with the others")
            )
            for s in analysis.sets
        }
        analysis = make(left | refused)
    yield Progress("Analysed", 3, 3)
    return analysis


def trial_mask(analysis: Analysis, sets: Sets | None = None) -> Mask:
    """Half of every set (of these, if given, and of what goes along), every second block."""
    widths, blocks = _by_kind(analysis.sets if sets is None else sets)
    return _half(analysis, (*widths, *_every_second(blocks)))


class _Failure(NamedTuple):
    """Why a trial cut does not run: in words, the axes and the module of the first difference."""

    text: Phrase
    axes: frozenset[int] = frozenset()
    module: str = ""
    always: bool = False
    """It has nothing to do with what is cut."""


@dataclass(slots=True)
class _Trials:
    """Trial cuts of one analysis; none is made twice.

    Attributes:
        model: Left as it is.
        analysis: What is cut by; each trial that runs adds what it shows about the model's code.
        inputs: Example inputs.
        longer: Longer inputs, on which a cut model must run too.
        made: What each trial gave, by the keys of the sets.
    """

    model: nn.Module
    analysis: Analysis
    inputs: Inputs
    longer: tuple[Variation, ...] = ()
    made: dict[frozenset[str], _Failure | None] = field(default_factory=dict[frozenset[str], "_Failure | None"])

    def fails(self, chosen: Sets) -> _Failure | None:
        """None when half of these sets can go together, and all of the blocks."""
        keys = frozenset(one.key for one in chosen)
        if keys not in self.made:
            self.made[keys] = self._fails(_half(self.analysis, chosen))
        return self.made[keys]

    def fails_at_random(self, *chosen: CoupledSet) -> _Failure | None:
        """None when any half of each of these can go, as plans know no order, and all of the blocks."""
        mask, rng = self.analysis.empty(), np.random.default_rng(0)
        for one in chosen:
            places = rng.permutation(one.count)[: max(one.count // 2, one.kind is Kind.BLOCK)]
            mask[one.first + places] = True
        return self._fails(balanced(self.analysis, mask))

    def _fails(self, mask: Mask) -> _Failure | None:
        """None when the cut runs as predicted, else where it does not."""
        if not np.any(mask):
            return None
        try:
            transition = Transition(self.analysis, self.analysis.empty(), mask)
            smaller, _, known = try_cut(self.model, transition, Edits(), self.inputs)
        except SecateurError as error:
            given = error.message.arguments
            axes, module = frozenset[int](given.get("axes", ())), str(given.get("module", ""))
            return _Failure(given.get("text", error.message), axes, module, error.message.code == "cut.copy")
        except Exception as error:  # the model's own code may refuse an attribute, or to be copied
            return _Failure(f"{type(error).__name__}: {error}")
        self.analysis = replace(self.analysis, known=known)
        for one in self.longer:
            run = attempt(smaller, one.inputs, self.analysis.weightless, watched=False)
            if run.error is not None:
                error = f"{type(run.error).__name__}: {str(run.error).splitlines()[0] if str(run.error) else ''}"
                words = {"path": one.name, "error": error}
                return _Failure(Message("repair.path", "{path}: {error}", words), module=run.module)
        return None

    def parts(self, chosen: Sets, failure: _Failure) -> tuple[Sets, Sets]:
        """Those that the failure has nothing to do with, and the others; halves where it does not say."""
        near = [one for one in chosen if not failure.axes.isdisjoint(self.analysis.axes_of(one))]
        if not near and failure.module:  # all modules are inside the model itself, which says nothing
            near = [
                one
                for one in chosen
                if one.module and (inside(one.module, failure.module) or inside(failure.module, one.module))
            ]
        if not 0 < len(near) < len(chosen):
            return chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]
        keys = {one.key for one in near}
        return tuple(one for one in chosen if one.key not in keys), tuple(near)


def _find_refused(trials: _Trials, token: CancelToken) -> Job[dict[str, Message]]:
    """What has to stay, by set key; blocks apart, for a removed one hides what is wrong inside it."""
    refused: dict[str, Message] = {}
    widths, blocks = _by_kind(trials.analysis.sets)
    first = _every_second(blocks)
    yield from _cut_together(trials, (), widths, refused, token)
    known = len(refused)
    yield from _cut_together(trials, (), first, refused, token)
    if len(refused) > known:
        keys = {one.key for one in first}
        yield from _cut_together(trials, (), tuple(b for b in blocks if b.key not in keys), refused, token)
    return refused


def _cut_together(
    trials: _Trials, good: Sets, others: Sets, refused: dict[str, Message], token: CancelToken
) -> Job[Sets]:
    """Sets that run when they are cut together: the good ones, and as many others as taking them apart shows."""
    check(token)
    count = {"count": len(good) + len(others)}
    yield Progress(Message("progress.trials", "Trial cut of half of {count} sets", count), 2, 3)
    failure = trials.fails((*good, *others)) if others else None
    if failure is None:
        return (*good, *others)
    if len(others) == 1 or failure.always:
        refused.update({one.key: reasons.unrepaired(failure.text) for one in others})
        return good
    for part in trials.parts(others, failure):
        good = yield from _cut_together(trials, good, part, refused, token)
    return good


def _find_refused_alone(trials: _Trials, tried: set[str], token: CancelToken) -> Job[dict[str, Message]]:
    """What cannot go without all others.

    Of sets that are alike one is tried for all. Each is cut in half of a few trials, so that for any two there is
    a trial of the one without the other; those of a trial that fails are tried alone, and the sets that are like them.

    Args:
        trials: All together can go.
        tried: Keys of sets that could go in an earlier analysis; gets those of this one.
        token: Stops the job.
    """
    alike: dict[tuple[Kind, frozenset[tuple[str, int]]], list[CoupledSet]] = {}
    analysis = trials.analysis
    for one in analysis.sets:
        # Sets of repeated layers share their kind, and names without the numbers in them.
        touched = ((analysis.tensors[tensor].name, dim) for tensor, dim in one.touches)
        named = touched if one.touches else [(one.name, one.dim)]
        likeness = one.kind, frozenset((NUMBER.sub("#", name), dim) for name, dim in named)
        alike.setdefault(likeness, []).append(one)
    groups = [group for group in alike.values() if group[0].key not in tried]
    count = next(n for n in itertools.count(1) if math.comb(n, n // 2) >= len(groups))
    codes = itertools.combinations(range(count), max(1, count // 2))
    coded = list(zip(groups, codes, strict=False))
    refused: dict[str, Message] = {}
    for number in range(count if groups else 0):
        check(token)
        words = {"number": number + 1, "count": count}
        yield Progress(Message("progress.alone", "Trial cuts of single sets: {number} of {count}", words), 2, 3)
        chosen = [group for group, code in coded if number in code]
        if trials.fails_at_random(*(group[0] for group in chosen)) is not None:
            for group in chosen:
                check(token)
                refused |= _find_refused_alike(trials, group)
    if not refused:
        tried.update(group[0].key for group in groups)
    return refused


def _find_refused_alike(trials: _Trials, group: Sequence[CoupledSet]) -> dict[str, Message]:
    """Those of sets that are alike that cannot go alone: none if the first can, all if the first few cannot."""
    refused: dict[str, Message] = {}
    for number, one in enumerate(group):
        if number == len(refused) == ENOUGH:
            return dict.fromkeys((other.key for other in group), refused[group[0].key])
        failure = trials.fails_at_random(one)
        if failure is None and not number:
            break
        if failure is not None:
            refused[one.key] = reasons.unrepaired(failure.text)
    return refused


def _by_kind(sets: Collection[CoupledSet]) -> tuple[Sets, Sets]:
    """Widths and blocks."""
    blocks = tuple(one for one in sets if one.kind is Kind.BLOCK)
    return tuple(one for one in sets if one.kind is not Kind.BLOCK), blocks


def _every_second(blocks: Sets) -> Sets:
    return blocks[:: 2 if len(blocks) > 1 else 1]


def _half(analysis: Analysis, chosen: Sets) -> Mask:
    mask = analysis.empty()
    for one in chosen:
        mask[one.first : one.first + (one.count if one.kind is Kind.BLOCK else one.count // 2)] = True
    return balanced(analysis, mask)
