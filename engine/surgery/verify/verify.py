"""Verifies a cut by comparisons that share no code with the cut.

Removal (the cut model against the masked original) on the weights as they are and with everything randomised, at
batches of one and of more, at another size, on rescale inputs and in a second call; permutation of the coupled sets.
Large models are compared in float32, and in float64 where that leaves a doubt. It says nothing about accuracy.

No model is copied: each operator is handed its own weight as the comparison wants it (`weights.py`).
"""

import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import Message, VerificationError
from ...inference.model_inputs import Inputs, batch_size
from ...jobs import Cancelled, CancelToken, Job, NeverCancelled, Progress, check
from ...machine.operating_system import uncollected
from ...messages import Phrase, listed, module_named, title
from ...structures.analysis import Analysis, Kind, Mask
from ...structures.transition import Transition
from ...tracing.attribute_reads import environment_noted
from ...tracing.recorder import Attempt, attempt
from ...tracing.shadow_model import shadow_copy, weightless_copy
from ...tracing.tree import tensors_of
from ..cut.edits import (
    COARSE,
    IN_A_ROW,
    OTHER_INPUTS,
    PERMUTATION,
    REMOVAL,
    VARIATION,
    Check,
    Edits,
    Verification,
)
from ..repair.weight_folding import Factors, Rates, rates_of
from .input_variants import as_type, cast_inputs, other_sizes, perturb, rescale, with_batch
from .masked_model import AbsentIndices, Permutation, gone_slices, permute_sets, run_with_marks
from .nan_masking import Marks
from .operator_modes import RegionsInRange, draws_numbers, reads_regions
from .random_weights import ANEW, LEVELS
from .run_comparison import (
    TOLERANCE,
    ComparedRun,
    RunTrace,
    Seen,
    TraceComparison,
    common_outputs,
    dtype_name,
    error_text,
    first_difference,
    is_chaotic,
    operator_results,
    worst_difference,
)
from .tensor_slices import compare_tensors
from .training import OriginalFails, StepRefused, StepTrace, backward_pass, compare_step
from .variations import (
    OperatorSequence,
    Variation,
    list_variations,
    name_other_methods,
    operator_sequence,
    unvaried_arguments,
)
from .weights import WeightChanged, Weights

SMALL = 2_000_000
"""Elements of weights and inputs up to which all is compared in float64 at once: that takes no time."""
ACCEPTED = {**TOLERANCE, torch.float32: 1e-5}
"""Differences below this decide; single precision leaves others to double precision."""
HALF = 0.05
"""What one rounding of all numbers in half precision may change of the outputs for a comparison to show a fault."""
IN_TURN = 4
"""Calls in a row of a model that remembers what it did."""
ZEROS = (
    "the model's code refuses NaN, so zeros stood for what goes; where it takes means or norms of these, they differ"
)
"""Why a comparison is not strict, where only zeros can mark what is absent."""
RAISES = "verify.raises"
READING = frozenset({"aten._local_scalar_dense", "aten.is_nonzero", "aten.equal", "aten.nonzero"})
"""Operators by which code reads values of tensors, and may choose its way."""
LARGER = 4.0
"""What the inputs of a second call are multiplied by."""


def verify(
    original: nn.Module,
    cut_model: nn.Module,
    analysis: Analysis,
    removed: Mask,
    inputs: Inputs,
    *,
    before: Mask | None = None,
    factors: Factors = (),
    edits: Edits | None = None,
    token: CancelToken | None = None,
) -> Job[Verification]:
    """All comparisons of a cut.

    Args:
        original: The model that was cut; not touched.
        cut_model: What the cut gave; not touched.
        analysis: Of the original.
        removed: [S] everything that is gone now.
        inputs: Example inputs.
        before: [S] what was gone before the cut already; None for nothing.
        factors: What the cut multiplied (`Cut.factors`); the masked original knows nothing of it.
        edits: Repairs of the cut model (`Cut.edits`); None leaves attributes and hooks uncompared.
        token: Cancels the job.

    Returns:
        Numbers for each comparison; look at `passed`.
    """
    if any(p.is_meta for p in original.parameters()):
        raise VerificationError(
            "verify.weightless",
            "The model is on the meta device, where weights have no values, so a cut cannot be verified. Nothing was "
            "changed. Move it with to_empty and load its weights first.",
        )
    token = token or NeverCancelled()
    transition = Transition(analysis, analysis.empty() if before is None else before, removed)
    both = CutVerification(original, cut_model, transition, inputs, token, factors)
    total = 6
    yield Progress("Verifying: removal with the model's weights", 0, total)
    both.removal()
    check(token)
    yield Progress("Verifying: removal with random weights", 1, total)
    both.other_inputs()
    check(token)
    yield Progress("Verifying: permutation of coupled sets", 2, total)
    both.permutation()
    check(token)
    yield from both.variations()
    both.calls_in_a_row()
    check(token)
    yield Progress("Verifying: removal in float32", 4, total)
    both.coarse()
    check(token)
    both.checks.append(compare_tensors(original, cut_model, transition, factors, edits, token))
    yield Progress("Verifying: a step of training", 5, total)
    both.training()
    check(token)
    yield Progress("Verified", total, total)
    return Verification(tuple(both.checks), tuple(both.skipped), tuple(both.covered), tuple(both.unvaried))


def require_verified(verification: Verification) -> None:
    """Refuse a cut that failed.

    Raises:
        VerificationError: A comparison failed, or none could have.
    """
    for one in verification.checks:
        if not one.passed:
            raise VerificationError(
                "verify.failed",
                "The cut failed verification ({name}: difference {difference:.1e}, allowed {tolerance:.0e}). Nothing "
                "was changed. First difference: {detail}.",
                name=title(one.name),
                difference=one.difference,
                tolerance=one.tolerance,
                detail=one.detail or Message("verify.outputs", "the outputs"),
            )
    if not verification.passed:
        raise VerificationError(
            "verify.inconclusive",
            "The verification is inconclusive: removing these structures changes the outputs by too little to "
            "measure. Nothing was changed.",
        )


class _DoesNotRun(Exception):
    """The original raises on inputs, for this reason."""

    def __init__(self, reason: Phrase) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class _Case:
    """What both models are run on.

    Attributes:
        dtype: float64 or float32.
        calls: Inputs, call by call.
        level: Which weights: "" for their own, or one of `LEVELS`.
        training: In training mode.
        seed: Of the random numbers that the forward draws.
        gradient: While autograd records.
        varied: The forward may return more than in the example, narrower results on the way among them.
    """

    dtype: torch.dtype
    calls: list[Inputs]
    level: str = ""
    training: bool = False
    seed: int = 0
    gradient: bool = False
    varied: bool = False


@dataclass
class CutVerification:
    """One cut, and what was found of it.

    Attributes:
        original: The model before.
        cut_model: The model after.
        transition: What the cut changes.
        inputs: Example inputs.
        token: Stops it.
        factors: What the cut multiplied.
        checks: Comparisons made.
        skipped: Comparisons that could not be made, and why.
        covered: What the models agree for.
        unvaried: What was held constant, and why.
    """

    original: nn.Module
    cut_model: nn.Module
    transition: Transition
    inputs: Inputs
    token: CancelToken
    factors: Factors = ()
    checks: list[Check] = field(default_factory=list[Check])
    skipped: list[Phrase] = field(default_factory=list[Phrase])
    covered: list[Phrase] = field(default_factory=list[Phrase])
    unvaried: list[Phrase] = field(default_factory=list[Phrase])
    _operators: dict[Any, OperatorSequence | None] = field(default_factory=dict[Any, "OperatorSequence | None"])
    """Operators of runs for the shapes, by model, variation and what of them counts."""
    _shape_runs: dict[tuple[int, str], Attempt] = field(default_factory=dict[tuple[int, str], Attempt])
    """Runs for the shapes, by model and variation."""
    _copies: bool = False
    """The original's code does not run on weights that are read in another type than they are stored in."""
    _marks: Marks = Marks.NAN
    """What the original's code takes in place of what is absent."""
    _unknown: set[str] = field(default_factory=set[str])
    """Operators that met what is absent and have no rule for it."""
    _single: bool = False
    """The original does not run in double precision."""
    _given: ComparedRun | None = None
    """The original's run on the given inputs, until it was compared with."""
    _changed: Sequence[str] = ()
    """What of the original a forward changes."""
    _draws_outside_torch: bool = False
    """A forward draws from the generators of Python or NumPy."""
    _randomised: tuple[_Case, ComparedRun] | None = None
    """The original's run on other weights and inputs, shared by two checks."""
    _base: Inputs = ()
    """Inputs of the given batch, at the smallest size at which the original runs."""

    def __post_init__(self) -> None:
        """Begin with the inputs that are given."""
        self._base = self.inputs

    @cached_property
    def gone(self) -> AbsentIndices:
        """What of each tensor is absent."""
        return gone_slices(self.transition)

    @cached_property
    def rates(self) -> Rates:
        """By what the cut multiplied parameters."""
        return rates_of(self.transition.analysis, self.transition.after, self.factors)

    @cached_property
    def draws(self) -> bool:
        """The forward draws random numbers."""
        return draws_numbers(self.transition.analysis.script)

    @cached_property
    def small(self) -> bool:
        """Everything is compared in double precision: that costs nothing worth saving."""
        tensors = [*self.original.parameters(), *tensors_of(self.inputs)]
        return sum(t.numel() for t in tensors) <= SMALL or any(t.dtype is torch.float64 for t in tensors)

    # Runs of models without weights cost hardly anything: they show whether the code runs, and which operators.
    @cached_property
    def _blank(self) -> nn.Module | None:
        """The original without weights, if it runs so on the given inputs, as the analysis or a run says."""
        try:
            blank = weightless_copy(self.original)
        except Exception:  # tensors of kinds that have no stand-in
            return None
        runs = self.transition.analysis.weightless or self._shape_error(blank, self.inputs) is None
        return blank if runs else None

    @cached_property
    def _blank_cut(self) -> nn.Module | None:
        """The cut model without weights."""
        try:
            return weightless_copy(self.cut_model)
        except Exception:
            return None

    @cached_property
    def base(self) -> torch.dtype:
        """The type in which comparisons begin.

        Raises:
            VerificationError: The original runs neither in single nor in double precision.
        """
        why: Phrase = ""
        # Double precision shows what rounding hides in single; large models begin in single, which is faster.
        for dtype in (torch.float64, torch.float32) if self.small else (torch.float32, torch.float64):
            tried = self._try_run(_Case(dtype=dtype, calls=[self.inputs]), noting=True)
            if isinstance(tried, ComparedRun) and tried.drew and not self.draws:  # behind the end of the script
                self.draws = True
                tried = self._try_run(_Case(dtype=dtype, calls=[self.inputs]), noting=True)
            if isinstance(tried, ComparedRun):
                self._given = tried
                self._changed, self._draws_outside_torch = tried.changed, tried.draws_outside_torch
                self.covered.append(dtype_name(dtype))
                return dtype
            why = tried
            words = {"type": dtype_name(dtype), "reason": why}
            self.skipped.append(Message("verify.no_type", "the original does not run in {type} ({reason})", words))
        raise VerificationError(
            "verify.precision",
            "The original runs neither in single nor in double precision ({text}), so a cut cannot be verified. "
            "Nothing was changed.",
            text=why,
        )

    def removal(self) -> None:
        """The weights as they are, on the given inputs."""
        case = _Case(dtype=self.base, calls=[self.inputs])
        plain, self._given = self._run(case) if self._given is None else self._given, None
        self._add(self._compare_finely(REMOVAL, case, plain))

    def other_inputs(self) -> None:
        """Other weights, batches and sizes; milder weights where the original gives nothing to compare."""
        counts = tuple(dict.fromkeys((1, batch_size(self.inputs) + 1)))
        sizes = [*other_sizes(self.inputs), self.inputs]
        reasons: list[Phrase] = []
        # All batches at the smallest size first, the example as it is at last: the first that the original takes.
        for chosen in (counts, counts[1:], counts[:1], ()):
            for number, base in enumerate(sizes if chosen else (self.inputs,)):
                calls = [with_batch(base, count) for count in chosen] or [base]
                try:
                    # Runs for the shapes alone cost hardly anything, and show most of what the original refuses.
                    for one in calls if self._blank is not None else ():
                        assert self._blank is not None
                        if (error := self._shape_error(self._blank, one)) is not None:
                            raise _DoesNotRun(error_text(error))
                    made = self._on_other_weights(_Case(dtype=self.base, calls=calls))
                except _DoesNotRun as error:
                    reasons.append(error.reason)
                    continue
                self._base = base
                self.covered += [Message("vary.batch", "batch of {count}", {"count": n}) for n in chosen]
                for one in (self.inputs, base)[: 1 + (base is not self.inputs)]:
                    largest = max(tensors_of(one), key=torch.Tensor.numel)
                    shape = " × ".join(map(str, largest.shape[1:])) or "one number"
                    self.covered.append(Message("verify.shape", "inputs of {shape}", {"shape": shape}))
                none = Message("verify.no_space", "its inputs have no spatial size")
                if number == len(sizes) - 1 or not chosen:
                    template = "another input size: the original runs only at the given one ({reason})"
                    words = {"reason": reasons[0] if reasons else none}
                    self.skipped.append(Message("verify.one_size", template, words))
                for count in (n for n in counts if n not in chosen):
                    template = "batch of {count}: the original does not run ({reason})"
                    words = {"count": count, "reason": reasons[-1] if reasons else none}
                    self.skipped.append(Message("verify.batch", template, words))
                if made is None:
                    template = "random weights: the original outputs NaN or infinity on all of them"
                    self.skipped.append(Message("verify.never_finite", template))
                self._add(made)
                return

    def _on_other_weights(self, given: _Case) -> Check | None:
        """The comparison on weights that the original survives; None where it gives no numbers on any of them.

        Raises:
            _DoesNotRun: The original raises on these inputs.
        """
        made: Check | None = None
        for level in LEVELS:
            found = self._compare_at_level(given, level)
            if found is None:
                continue
            made, case, plain = found
            if made.passed and made.effect == 0 and level == ANEW and self._outputs_depend(case, plain):
                made = replace(made, dead=True, detail=Message("verify.dead", "no output depends on what is removed"))
            # Random weights can make a network chaotic that is none on its own: milder ones decide then.
            milder = not made.passed and level != LEVELS[-1]
            if milder and (self._magnifies(case, cut=False) or self._magnifies(case, cut=True)):
                continue
            self._randomised = (case, plain)
            if not made.passed:
                return replace(made, detail=self._which_call(made, case))
            if made.conclusive:
                return made
        return made

    def _compare_at_level(self, given: _Case, level: str) -> tuple[Check, _Case, ComparedRun] | None:
        """The comparison on weights of a level; None where the original outputs NaN or infinity on them.

        Raises:
            _DoesNotRun: The original raises on these inputs.
        """
        name = OTHER_INPUTS if level == ANEW else f"{OTHER_INPUTS} ({level} the model's weights)"
        for factor in (LARGER, 1.0):
            calls = [*given.calls[:-1], rescale(given.calls[-1], factor)]
            case = replace(given, calls=calls, level=level)
            # What a removal changes shows in the first call; the masked run is of all of them.
            plain = self._try_run(replace(case, calls=case.calls[:1]))
            try:
                if not isinstance(plain, ComparedRun):
                    raise _DoesNotRun(plain)
                found = self._compare_finely(name, case, plain) if plain.finite else None
            except _DoesNotRun:
                if factor == 1.0:
                    raise
                continue  # a model of numbers from 0 to 1 refuses larger ones
            if found is not None:
                return found, case, plain
        return None

    def _which_call(self, made: Check, case: _Case) -> Message:
        """Which of several calls differs by itself."""
        words: dict[str, Any] = {"detail": made.detail or Message("verify.outputs", "the outputs")}
        for number, one in enumerate(case.calls):
            alone = replace(case, calls=[one], dtype=getattr(torch, made.dtype))
            plain = self._try_run(alone)
            single = self._compare(made.name, alone, plain, made.tolerance) if isinstance(plain, ComparedRun) else None
            if single is not None and not single.passed:
                words["count"] = batch_size(one)
                if number == 0:
                    return Message("verify.in_batch", "batch of {count}: {detail}", words)
                template = "batch of {count} on larger inputs: {detail}"
                return Message("verify.in_larger_batch", template, words)
        return Message("verify.in_second_call", "in the second call in a row only: {detail}", words)

    def permutation(self) -> None:
        """Structures of a coupled set change places, on the weights on which most shows and rounding does not grow."""
        one = self.transition
        moved = permute_sets(one.analysis, one.before, one.removed, np.random.default_rng(1))
        if self._randomised is None:
            case = _Case(dtype=self.base, calls=[self.inputs])
            plain = self._run(case)
        else:
            case, plain = self._randomised
            case = replace(case, calls=case.calls[:1])
        if not plain.finite:
            self._skip_not_finite(PERMUTATION)
            return

        def difference(case: _Case, plain: ComparedRun, moved: Permutation = moved) -> float:
            found = self._run(case, moved=moved).outputs
            return worst_difference(plain.outputs[: len(found)], found)

        # With every second tensor left as it was the outputs must differ, or the comparison shows nothing.
        broken = moved._replace(orders=dict(itertools.islice(moved.orders.items(), 0, None, 2)))
        milder = [*LEVELS[LEVELS.index(case.level) + 1 :], ""] if case.level else []
        while True:
            found = difference(case, plain)
            if found >= ACCEPTED[case.dtype] and (finer := self._in_double(case)) is not None:
                case, plain = finer
                found = difference(case, plain)
            if found < TOLERANCE[case.dtype] or not self._magnifies(case, cut=False):
                break
            # The removal may have passed on these weights, as less is left to make rounding grow.
            for level in milder:
                other = replace(case, level=level, dtype=self.base)
                tried = self._run(other)
                if tried.finite and difference(other, tried, broken) >= 100 * TOLERANCE[other.dtype]:
                    case, plain, milder = other, tried, milder[milder.index(level) + 1 :]
                    break
            else:
                break
        self._add(Check(PERMUTATION, found, None, TOLERANCE[case.dtype], dtype_name(case.dtype)))

    def variations(self) -> Iterator[Progress]:
        """Other ways in which people run a model (`variations.py`): on each that the original takes, the cut model too.

        Where both run the same operators as on the example, there is nothing that the other comparisons did not see,
        and a run for the shapes shows it at hardly any cost; where one takes other operators, results are compared.
        """
        # Of a large model its own weights do: other ones take as long to draw as to multiply with.
        other = self.small and self._blank is not None and self._randomised is not None
        level = self._randomised[0].level if other and self._randomised is not None else ""
        listed_variations = list_variations(
            self._base,
            self.inputs,
            self.original.forward,
            self.transition.analysis.compared_sizes,
            seeds=self._draws_outside_torch,
        )
        made: list[Check] = []
        for one in listed_variations:
            check(self.token)
            if one.name in self.covered:
                continue
            yield Progress(Message("progress.variation", "Verifying: {name}", {"name": one.name}), 3, 5)
            # A number that a repair wrote may be right at one size alone: small models are compared at each.
            if not (one.resized and self.small) and self._same_operators(one):
                self.covered.append(one.name)
                continue
            found, reason = self._on_variation(one, level)
            if reason:
                self.unvaried.append(reason)
            elif found is not None:
                made.append(found)
                if not found.passed:
                    words = {"name": one.name, "detail": found.detail or Message("verify.outputs", "the outputs")}
                    self._add(replace(found, detail=Message("verify.on_path", "{name}: {detail}", words)))
                    return
                self.covered.append(one.name)
        self._add(max(made, key=lambda one: one.difference, default=None))
        self._note_unvaried()

    def _on_variation(self, one: Variation, level: str) -> tuple[Check | None, Phrase]:
        """The comparison on a variation; or why there is none.

        Args:
            one: The variation.
            level: Which weights.
        """
        case = _Case(
            dtype=one.dtype or self.base, calls=[one.inputs], level="" if one.dtype else level, seed=one.seed,
            gradient=one.gradient, varied=True,
        )  # fmt: skip
        # On its own weights first: what raises on others is tried again on copies of them, which takes memory.
        # A large model that ran for the shapes runs; what the removal changes there is not asked.
        large = None if self.small or one.dtype is not None else self._blank
        ran = large is not None and self._operators_on(large, one, one) is not None
        plain = None if ran else self._try_run(replace(case, level=""))
        plain = self._try_run(case) if level and isinstance(plain, ComparedRun) else plain
        if plain is not None and not isinstance(plain, ComparedRun):
            words = {"name": one.name, "reason": plain}
            return None, Message("verify.not_taken", "{name} (the original does not run: {reason})", words)
        marks, skipped = self._marks, len(self.skipped)
        found: Check | None = None
        reason: Phrase = ""
        try:
            if plain is not None and one.dtype is not None:
                found = self._compare_in_half(case, plain)
            else:
                found = self._compare_finely(VARIATION, case, plain)
            if self._marks is Marks.ZERO is not marks and found is not None and not found.passed:
                reason = Message("verify.zeros", ZEROS)
        except Cancelled:
            raise
        except Exception as error:  # of the masked original: the cut model's own is a failed comparison
            reason = error_text(error)
        if self._marks is not marks:  # what one variation does not take, the others may
            self._marks = marks
            del self.skipped[skipped:]
        if reason:
            template = "{name} (the original does not run with what is removed masked: {reason})"
            return None, Message("verify.not_masked", template, {"name": one.name, "reason": reason})
        if found is None:
            template = "{name} (the original itself outputs NaN or infinity, or other numbers by rounding)"
            return None, Message("verify.no_numbers", template, {"name": one.name})
        return found, "" if found.passed else self._excuse(one, case, found)

    def _excuse(self, one: Variation, case: _Case, found: Check) -> Phrase:
        """Why a comparison that failed is no reason to refuse the cut, "" where it is one."""
        # The example does not give this argument. Where the cut model raises with it, its user sees that at once.
        if one.argument and isinstance(found.detail, Message) and found.detail.code == RAISES:
            words = {"name": one.name, "detail": found.detail}
            return Message("verify.not_so", "{name} (not to be used after the cut: {detail})", words)
        # A loss over all layers has no value once one is masked, so there is nothing to compare.
        wanted = self._run(case, masked=True).outputs if one.argument else []
        if any(tensor.numel() and not tensor.isfinite().any() for tensor in wanted):
            template = "{name} (its outputs are undefined without what is removed)"
            return Message("verify.undefined", template, {"name": one.name})
        # Modules that no recorded run used, and that the user chose to ignore.
        seen = set[str]()
        if self.transition.analysis.unused:
            self._run(case, seen=lambda path, _: seen.add(path))
        if ignored := [name for name in self.transition.analysis.unused if name in seen]:
            words = {"name": one.name, "names": listed(ignored)}
            return Message("verify.ignored", "{name} (runs {names}, which was ignored)", words)
        return ""

    def _same_operators(self, variation: Variation) -> bool:
        """Both models run the same operators as on the example, with the same numbers where sizes are the same.

        The cut model has the original's code, and other sizes alone can lead it elsewhere where the original goes on.
        """
        example = Variation("", self._base)
        for blank in (self._blank, self._blank_cut) if variation.resized else (self._blank,):
            first = None if blank is None else self._operators_on(blank, example, variation)
            if blank is None or first is None or first != self._operators_on(blank, variation, variation):
                return False
        return True

    def _operators_on(self, blank: nn.Module, run_on: Variation, variation: Variation) -> OperatorSequence | None:
        """The operators of a model without weights, as far as they count for a variation; None where it does not run.

        Args:
            blank: The model.
            run_on: The inputs, and whether autograd records.
            variation: What may be another number is not looked at: sizes, types.
        """
        key = id(blank), str(run_on.name), variation.resized, variation.dtype
        if key not in self._operators:
            dtype, run = run_on.dtype, self._shape_runs.get(key[:2])
            if run is None:
                model = blank if dtype is None else shadow_copy(blank, lambda t, dtype=dtype: as_type(t, dtype))
                run = attempt(model, run_on.inputs, weightless=True, watched=False, gradient=run_on.gradient)
                self._shape_runs[key[:2]] = run
            self._operators[key] = operator_sequence(run, variation.resized, variation.dtype is not None)
        return self._operators[key]

    def _compare_in_half(self, case: _Case, plain: ComparedRun) -> Check | None:
        """Compare in half precision with the masked original; None where rounding alone would make them differ.

        Rounding is measured by changing all weights and inputs by as much as one rounding does.
        """
        nudged = self._run(case, nudge=torch.finfo(case.dtype).eps)
        if not worst_difference(plain.outputs, nudged.outputs) < HALF:
            return None
        reference = self._run(case, masked=True)
        try:
            found = self._run(case, cut=True)
            difference, detail = worst_difference(*common_outputs(reference.outputs, found.outputs)), ""
        except Cancelled:
            raise
        except Exception as error:
            difference = float("inf")
            detail = Message(RAISES, "the cut model raises {error}", {"error": error_text(error)})
        return Check(VARIATION, difference, None, TOLERANCE[case.dtype], dtype_name(case.dtype), detail)

    def _note_unvaried(self) -> None:
        """Note what cannot be varied from outside, but what the code may have chosen its way by."""
        names = unvaried_arguments(self._base, self.original.forward)
        if names:
            self.unvaried.append(Message("verify.arguments", "arguments {names}", {"names": listed(names)}))
        environment = set[str]()
        with environment_noted(environment):
            run = attempt(
                self.original if self._blank is None else self._blank,
                self._base,
                weightless=self._blank is not None,
                reading=True,
            )
        choices = [] if run.reads is None else run.reads.choices()
        if choices:
            words = {"names": listed(choices)}
            self.unvaried.append(Message("verify.attributes", "attributes {names}", words))
        if environment:
            words = {"names": listed(sorted(environment))}
            self.unvaried.append(Message("verify.environment", "environment variables {names}", words))
        readers = {one.module for one in run.calls if one.op in READING}
        if readers:
            words = {"names": listed([module_named(path) for path in sorted(readers)])}
            self.unvaried.append(Message("verify.values", "tensor values that the code of {names} reads", words))
        self.unvaried += name_other_methods(self.cut_model, self.transition, run.reads)

    def calls_in_a_row(self) -> None:
        """Several calls of a forward that leaves something behind, or draws from what the next call draws from too."""
        changed = self._changed
        if not changed and not self._draws_outside_torch:
            return
        level = self._randomised[0].level if self._randomised is not None and self._blank is not None else ""
        case = _Case(dtype=self.base, calls=[self._base] * IN_TURN, level=level)
        made: Check | None = None
        # What a removal changes mostly shows in the first call; the others are there for what they remember.
        for calls in (case.calls[:1], case.calls):
            plain = self._try_run(replace(case, calls=calls))
            try:
                made = self._compare_finely(IN_A_ROW, case, plain) if isinstance(plain, ComparedRun) else None
            except _DoesNotRun:  # in one of the later calls
                made = None
                break
            if made is None or made.conclusive or not made.passed:
                break
        self._add(made)
        if changed:
            words = {"names": listed(changed), "count": IN_TURN}
            template = "the forward changes {names}: its first {count} calls were compared, later ones were not"
            self.skipped.append(Message("verify.stateful", template, words))

    def coarse(self) -> None:
        """A small model in single precision too, in which it is used, at another size if the original runs at one."""
        if not self.small or self.base is torch.float32:
            return
        for inputs in (self._base, self.inputs):
            case = _Case(dtype=torch.float32, calls=[inputs])
            plain = self._try_run(case)
            if isinstance(plain, ComparedRun):
                self._add(self._compare_finely(COARSE, case, plain))
                self.covered.append(dtype_name(torch.float32))
                return

    def training(self) -> None:
        """A step of training at the smallest size at which the original runs."""
        analysis = self.transition.analysis
        statistics = self.small or analysis.trained or any("batch_norm" in one.op for one in analysis.script)
        count = 2 if statistics else 1  # of a large model a second sample costs as much as the first
        why: Phrase = ""
        # A gradient has the type of its parameter: copies have that of the comparison, and nothing is rounded.
        copies, self._copies = self._copies, self._copies or self.small
        for inputs in (self._base, self.inputs)[: 1 + (self._base is not self.inputs)]:
            given = inputs if batch_size(inputs) == count else with_batch(inputs, count)
            try:
                made = self._step(_Case(dtype=self.base, calls=[given], training=True))
                self.checks += made
                if all(one.passed for one in made):
                    self.covered.append(Message("vary.training", "a step of training"))
            except OriginalFails as error:
                template = "training mode: the original does not run ({reason})"
                why = Message("verify.no_training", template, {"reason": error.reason})
                continue
            except StepRefused as error:
                template = "training mode was not compared ({reason})"
                why = Message("verify.untrained", template, {"reason": error.reason})
                break
            why = ""
            break
        self.skipped += [why] if why else []
        self._copies = copies

    def _step(self, case: _Case) -> list[Check]:
        """Both models in a step of training, in double precision where single leaves a doubt.

        Raises:
            OriginalFails: The original raises.
            StepRefused: It says nothing of the cut.
        """
        self._unknown.clear()
        # Results, buffers and gradients behind multiplied weights are meant to differ.
        multiplied = {path for *_, results in self.factors for path in results}
        left_out = {*self.transition.vanishing, *self.rates}
        run = partial(self._run, case)
        made = compare_step(run, case.dtype, left_out, multiplied, closely=self.small, unknown=self._unknown)
        if all(one.passed for one in made):
            return made
        if case.dtype is torch.float32 and not self._single:
            with suppress(OriginalFails):
                return self._step(replace(case, dtype=torch.float64))
        if self._marks is not Marks.NAN:
            raise StepRefused(Message("verify.zeros", ZEROS))
        if self._unknown and made[0].passed:
            template = "gradients were not compared ({names}: no rule for what is absent)"
            self.skipped.append(Message("verify.no_gradients", template, {"names": listed(sorted(self._unknown))}))
            return made[:1]
        return made

    def _add(self, made: Check | None) -> None:
        if made is not None:
            self.checks.append(made)

    def _shape_error(self, blank: nn.Module, inputs: Inputs) -> Exception | None:
        """What a run for the shapes only raised; None where it came to its end."""
        check(self.token)
        return attempt(blank, inputs, weightless=True, watched=False).error

    def _compare_finely(self, name: str, case: _Case, plain: ComparedRun | None) -> Check | None:
        """A comparison, in double precision where single leaves a doubt; None where the original gives no numbers."""
        if plain is not None and not plain.finite:
            self._skip_not_finite(name)
            return None
        made = self._compare(name, case, plain, ACCEPTED[case.dtype])
        if made is None:
            return None
        # An effect that is all rounding is none in double precision either.
        small = made.effect is not None and not made.conclusive and made.effect > torch.finfo(torch.float32).eps
        doubtful = not made.passed or (small and name != COARSE)
        if case.dtype is torch.float32 and doubtful:
            finer = self._in_double(case)
            is_finite = finer is not None and finer[1].finite
            again = self._compare(name, *finer, TOLERANCE[torch.float64]) if finer is not None and is_finite else None
            if finer is None or again is None:  # single precision has to do, and gets the tolerance of its rounding
                made = replace(made, tolerance=TOLERANCE[torch.float32])
            else:
                made, (case, plain) = again, finer
        if not made.passed and self._marks is Marks.NAN:
            # The code may branch on a comparison in which NaN took part, and raise nothing.
            self._marks = Marks.UNSEEN
            unseen = self._compare(name, case, plain, made.tolerance)
            if unseen is not None and unseen.passed:
                made = unseen
            else:
                self._marks = Marks.NAN
        if not made.passed and self._marks is Marks.ZERO:
            return replace(made, detail=Message("verify.zeros", ZEROS))
        if not made.passed and not self.factors:  # operators after multiplied weights are meant to differ
            analysis, after = self.transition.analysis, self.transition.after
            gone = [s.name for s in analysis.sets if s.kind is Kind.BLOCK and after[s.first]]
            calls = [cast_inputs(one, case.dtype) for one in case.calls]
            whole, smaller = self._weights(case, masked=True), self._weights(case, cut=True)
            reference = operator_results(whole, calls, gone, case.training, self.draws, self.transition.stand_ins)
            other = operator_results(smaller, calls, gone, case.training, self.draws)
            return replace(made, detail=first_difference(reference, other, case.dtype) or made.detail)
        if made.passed and not made.conclusive:
            template = "inconclusive: the removal changes the outputs by only {effect:.1e}"
            return replace(made, detail=Message("verify.no_effect", template, {"effect": made.effect}))
        return made

    def _outputs_depend(self, case: _Case, plain: ComparedRun) -> bool:
        """The outputs depend on what stays, so that they would show it if something else had been removed."""
        analysis, before, after = self.transition.analysis, self.transition.before, self.transition.after
        other = before.copy()
        for one in analysis.sets:
            if one.kind is not Kind.BLOCK:
                other[one.first + np.flatnonzero(~after[one.structures])[::2]] = True
        case = replace(case, calls=case.calls[:1])
        found = self._run(case, masked=True, gone=gone_slices(Transition(analysis, before, other)))
        return worst_difference(found.outputs, plain.outputs) >= 100 * TOLERANCE[case.dtype]

    def _in_double(self, case: _Case) -> tuple[_Case, ComparedRun] | None:
        """The same in double precision with the original's run; None where it is already, or that does not run."""
        if case.dtype is torch.float64 or self._single:
            return None
        finer = replace(case, dtype=torch.float64)
        tried = self._try_run(finer)
        if isinstance(tried, ComparedRun):
            return finer, tried
        self._single = True
        words = {"type": "float64", "reason": tried}
        self.skipped.append(Message("verify.no_type", "the original does not run in {type} ({reason})", words))
        return None

    def _compare(self, name: str, case: _Case, plain: ComparedRun | None, tolerance: float) -> Check | None:
        """Both models on a case; None where the original gives numbers that are not finite in one of its calls.

        Args:
            name: Of the comparison.
            case: What they are run on.
            plain: The original on the first of its calls; None asks for no effect.
            tolerance: What the difference must stay below.

        Raises:
            _DoesNotRun: The original raises in one of the others.
        """
        trail = RunTrace()
        try:
            reference = self._run(case, masked=True, seen=trail.keep)
        except Cancelled:
            raise
        except Exception as error:
            tried = self._try_run(case)
            if not isinstance(tried, ComparedRun):
                raise _DoesNotRun(tried) from None
            raise VerificationError(
                "verify.marks",
                "The model's code refuses what stands for the removed structures ({text}), so the cut cannot be "
                "verified. Nothing was changed. Lock the layers whose values the code checks.",
                text=error_text(error),
            ) from error
        if not reference.finite and not self._run(case).finite:
            return None
        wanted = reference.outputs
        effect = None if plain is None else worst_difference(wanted[: len(plain.outputs)], plain.outputs)
        try:
            comparison = TraceComparison(trail)
            found = self._run(case, cut=True, seen=comparison.see)
            on_the_way, detail = comparison.worst({path for *_, results in self.factors for path in results})
            outputs = common_outputs(wanted, found.outputs) if case.varied else (wanted, found.outputs)
            difference = max(worst_difference(*outputs), on_the_way)
        except Cancelled:
            raise
        except Exception as error:  # the original runs on these inputs, the cut model does not
            difference = float("inf")
            detail = Message(RAISES, "the cut model raises {error}", {"error": error_text(error)})
        return Check(name, difference, effect, tolerance, dtype_name(case.dtype), detail)

    def _magnifies(self, case: _Case, cut: bool) -> bool:
        """Rounding alone would make the original, or the cut model, differ."""
        finer = self._in_double(case)
        case = case if finer is None else finer[0]
        try:
            plain = self._run(case, cut=cut)
            return is_chaotic(case.dtype, plain, lambda share: self._run(case, cut=cut, nudge=share))
        except Cancelled:
            raise
        except Exception:
            return False

    def _weights(
        self,
        case: _Case,
        cut: bool = False,
        masked: bool = False,
        gone: AbsentIndices | None = None,
        moved: Permutation | None = None,
        nudge: float = 0.0,
        marks: Marks | None = None,
    ) -> Weights:
        whole = Weights(
            self.original,
            case.dtype,
            case.level,
            orders={} if moved is None else moved.orders,
            gone={} if not masked else self.gone if gone is None else gone,
            vanished=self.transition.vanishing if masked and gone is None else (),
            nudge=nudge,
            copies=self._copies,
            marks=self._marks if marks is None else marks,
            unknown=self._unknown,
        )
        if not cut:
            return whole
        return Weights(
            self.cut_model, case.dtype, case.level, whole=whole, keeps=self.transition.kept_of_before,
            rates=self.rates, nudge=nudge, copies=self._copies,
        )  # fmt: skip

    @uncollected()
    def _run(
        self,
        case: _Case,
        cut: bool = False,
        masked: bool = False,
        gone: AbsentIndices | None = None,
        moved: Permutation | None = None,
        nudge: float = 0.0,
        seen: Seen | None = None,
        step: StepTrace | None = None,
        noting: bool = False,
    ) -> ComparedRun:
        """Run the original or the cut model.

        Args:
            case: On what.
            cut: The cut model.
            masked: The original without what goes, or without `gone`.
            gone: What else is to be absent.
            moved: The original with structures in other places.
            nudge: Weights and inputs are larger by up to this share of themselves.
            seen: Called with results on the way.
            step: Gets what a backward pass gives.
            noting: Note what the run changes.
        """
        analysis = self.transition.analysis
        chosen = () if case.training and analysis.trained else analysis.outputs

        @contextmanager
        def within(own: nn.Module) -> Generator[None]:
            with ExitStack() as stack:
                if reads_regions(analysis.script):
                    stack.enter_context(RegionsInRange())
                if step is not None:
                    absent: AbsentIndices = self.gone if masked else {}
                    stack.enter_context(backward_pass(own, step, absent, chosen))
                yield

        calls = [cast_inputs(one, case.dtype) for one in case.calls]
        calls = [perturb(one, nudge) for one in calls] if nudge else calls

        def run_marked(marks: Marks) -> ComparedRun:
            """Run it once."""
            return ComparedRun(
                self._weights(case, cut=cut, masked=masked, gone=gone, moved=moved, nudge=nudge, marks=marks),
                calls,
                chosen=chosen,
                training=case.training,
                seen=seen,
                draws=self.draws or case.training,
                skips=self.transition.stand_ins if masked and gone is None else (),
                within=within,
                token=self.token,
                seed=case.seed,
                gradient=case.gradient,
                noting=noting,
                edits=None if moved is None else {"constants": moved.constants},
            )

        def run() -> ComparedRun:
            """Run it with the strictest marks that the code takes."""
            if not masked:
                return run_marked(self._marks)
            made, marks = run_with_marks(run_marked, self._marks)
            if marks is Marks.ZERO and self._marks is not marks:
                self.skipped.append(Message("verify.zeros", ZEROS))
            self._marks = marks
            return made

        try:
            return run()
        except Cancelled:
            raise
        except Exception as error:
            plain = self._weights(case, cut=cut, masked=masked, gone=gone, moved=moved, nudge=nudge).is_plain
            if self._copies or (plain and not isinstance(error, WeightChanged)):
                raise
        # Code that asks its weights for their type, or that changes them, gets weights of its own.
        self._copies = True
        try:
            return run()
        except Exception:
            self._copies = False
            raise

    def _try_run(self, case: _Case, noting: bool = False) -> ComparedRun | Phrase:
        """A run of the original, or why it does not run on these inputs."""
        try:
            return self._run(case, noting=noting)
        except Cancelled:
            raise
        except Exception as error:
            return error_text(error)

    def _skip_not_finite(self, name: str) -> None:
        template = "{name}: the original itself outputs NaN or infinity"
        self.skipped.append(Message("verify.not_finite", template, {"name": title(name)}))
