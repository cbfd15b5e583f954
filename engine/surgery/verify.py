"""Show that a cut did exactly what was planned, by comparisons that share no code with the cut.

Removal (the cut model against the masked original), on the weights as they are and with everything randomised, at two
batch sizes and two input sizes; permutation of the coupled sets; in float64 where it fits, and in float32. It says
nothing about accuracy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from ..errors import Message, VerificationError
from ..jobs import CancelToken, Job, Progress, check
from ..phrases import Phrase, title
from ..structures.analysis import Analysis, Kind, Mask
from ..tracing.reading import Inputs
from .compare import TOLERANCE, Beside, Run, Seen, Trail, worst_difference
from .drawing import draws
from .masking import masked
from .operators import first_difference, operators_of
from .permuting import permute
from .protocol import (
    ANOTHER_BATCH,
    ANOTHER_SIZE,
    COARSE,
    PERMUTATION,
    REMOVAL,
    THIS_BATCH,
    TRAINING,
    Check,
    Verification,
)
from .randomise import LEVELS, randomise
from .rounding import chaotic, rounds_off
from .scaling import Factors, scale, unrounded
from .slicing import give, relative_keeps
from .variants import another_batch, another_size, cast_inputs, converted

Plan: TypeAlias = tuple[Analysis, Mask, Mask]
"""Analysis, what was gone before, what is gone after."""
FITS = 400_000_000
"""Parameters up to which four copies in float64 are made."""


@dataclass(slots=True)
class _Pair:
    """Private copies of the model before and after the cut, in one dtype, holding matching weights."""

    before: nn.Module
    after: nn.Module
    dtype: torch.dtype


def verify(
    original: nn.Module,
    cut_model: nn.Module,
    analysis: Analysis,
    before: Mask,
    after: Mask,
    inputs: Inputs,
    token: CancelToken,
    factors: Factors = (),
) -> Job[Verification]:
    """All comparisons of a cut.

    Args:
        original: The model that was cut, at state `before`; not touched.
        cut_model: What the cut gave; not touched.
        analysis: Of the original.
        before: What was gone already.
        after: What is gone now.
        inputs: Example inputs.
        token: Stops the job.
        factors: What the cut multiplied (`Cut.factors`); the masked original knows nothing of it.

    Returns:
        Numbers for each comparison; look at `passed`.
    """
    if any(p.is_meta for p in original.parameters()):
        raise VerificationError(
            "verify.weightless",
            "The model is on the meta device, where weights have no values, so a cut of it cannot be verified. "
            "Nothing was changed. Give it weights first: move it with to_empty and load them.",
        )
    checks: list[Check] = []
    skipped: list[Phrase] = []
    total = 5
    plan = (analysis, before, after)

    yield Progress("Verifying: removal on the weights as they are", 0, total)
    pair = _pair(original, cut_model, plan, inputs, skipped)
    unrounded(pair.before, pair.after, cut_model, plan, factors)
    given = cast_inputs(inputs, pair.dtype)
    for training in (False, True)[: 1 + bool(analysis.trained)]:
        name = TRAINING if training else REMOVAL
        plain = _finite(name, _run(pair.before, given, plan, training), skipped)
        if plain is not None:
            checks.append(_removal(name, pair, plan, factors, given, plain, training))
    check(token)
    yield Progress("Verifying: removal with everything randomised", 1, total)
    _removal_randomised(original, pair, plan, factors, inputs, checks, skipped)
    check(token)
    yield Progress("Verifying: permutation of the coupled sets", 2, total)
    plain = _finite(PERMUTATION, _run(pair.before, given, plan), skipped)
    if plain is not None:
        checks.append(_permutation(pair, plan, given, plain))
    check(token)
    yield Progress("Verifying: another input size", 3, total)
    finest = pair.dtype
    del pair, given, plain  # permuted by now; of a large model memory holds one pair only
    yield from _other_size((original, cut_model), finest, plan, factors, inputs, checks, skipped)
    check(token)
    yield Progress("Verified", total, total)
    return Verification(tuple(checks), tuple(skipped))


def require(verification: Verification) -> None:
    """Refuse a cut that failed.

    Raises:
        VerificationError: A comparison failed, or none could have.
    """
    for one in verification.checks:
        if not one.passed:
            raise VerificationError(
                "verify.failed",
                "The cut failed its verification ({name}: difference {difference:.1e}, allowed {tolerance:.0e}). "
                "Nothing was changed. First difference: {detail}.",
                name=title(one.name),
                difference=one.difference,
                tolerance=one.tolerance,
                detail=one.detail or Message("verify.outputs", "the outputs"),
            )
    if not verification.passed:
        raise VerificationError(
            "verify.inconclusive",
            "The verification is inconclusive: removing these structures changes the outputs by less than could be "
            "measured. Nothing was changed.",
        )


def _pair(original: nn.Module, cut_model: nn.Module, plan: Plan, inputs: Inputs, skipped: list[Phrase]) -> _Pair:
    """Private copies in the finest floating type in which the original runs."""
    fits = sum(p.numel() for p in original.parameters()) <= FITS
    why = ""
    for dtype in (torch.float64, torch.float32) if fits else (torch.float32,):
        try:
            before = _private(original, dtype)
        except (TypeError, RuntimeError) as error:  # a device that lacks the type
            why = _in_words(error)
        else:
            tried = _tried(before, cast_inputs(inputs, dtype), plan)
            if isinstance(tried, Run):
                return _Pair(before, _private(cut_model, dtype), dtype)
            why = tried
        words = {"type": _name(dtype), "reason": why}
        skipped.append(Message("verify.no_type", "{type}: the original does not run in it ({reason})", words))
    raise VerificationError(
        "verify.precision",
        "The original does not run in single or double precision ({text}), so a cut of it cannot be verified. "
        "Nothing was changed.",
        text=why,
    )


def _copies(models: tuple[nn.Module, nn.Module], dtype: torch.dtype) -> _Pair:
    """Private copies of original and cut model in a type in which both run."""
    return _Pair(_private(models[0], dtype), _private(models[1], dtype), dtype)


def _private(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    return converted(model, dtype).eval()


def _run(model: nn.Module, inputs: Inputs, plan: Plan, training: bool = False, seen: Seen | None = None) -> Run:
    return Run(model, inputs, () if training else plan[0].outputs, training, seen, draws(plan[0].script))


def _tried(model: nn.Module, inputs: Inputs, plan: Plan) -> Run | str:
    """A run of the original, or why it does not run on these inputs."""
    try:
        return _run(model, inputs, plan)
    except Exception as error:
        return _in_words(error)


def _finite(name: str, plain: Run, skipped: list[Phrase]) -> Run | None:
    """The original's run if there is something to compare with, else a remark."""
    if plain.finite:
        return plain
    template = "{name}: the original itself gives numbers that are not finite"
    skipped.append(Message("verify.not_finite", template, {"name": title(name)}))
    return None


def _removal(
    name: str, pair: _Pair, plan: Plan, factors: Factors, inputs: Inputs, plain: Run, training: bool = False
) -> Check:
    trail = Trail()
    with masked(pair.before, *plan):
        reference = _run(pair.before, inputs, plan, training, trail.keep)
    effect = worst_difference(reference.outputs, plain.outputs)
    tolerance = TOLERANCE[pair.dtype]
    try:
        beside, multiplied = Beside(trail), {path for *_, results in factors for path in results}
        found = _run(pair.after, inputs, plan, training, beside.see)
        on_the_way, detail = beside.worst(multiplied)
        difference = max(worst_difference(reference.outputs, found.outputs), on_the_way)
    except Exception as error:  # the original runs on these inputs, the cut model does not
        difference = float("inf")
        detail = Message("verify.raises", "the cut model raises {error}", {"error": _in_words(error)})
    if difference >= tolerance and not factors:  # operators after multiplied weights are meant to differ
        detail = _first_operator(pair, plan, inputs, training) or detail
    made = Check(name, difference, effect, tolerance, _name(pair.dtype), detail)
    if made.passed and not made.conclusive:
        template = "inconclusive: the removal changes the outputs by {effect:.1e} only"
        return replace(made, detail=Message("verify.no_effect", template, {"effect": effect}))
    return made


def _first_operator(pair: _Pair, plan: Plan, inputs: Inputs, training: bool) -> Message | None:
    analysis, _, after = plan
    gone = [s.name for s in analysis.sets if s.kind is Kind.BLOCK and after[s.first]]
    with masked(pair.before, *plan):
        reference = operators_of(pair.before, inputs, gone, training)
    return first_difference(reference, operators_of(pair.after, inputs, gone, training), pair.dtype)


def _removal_randomised(
    original: nn.Module,
    pair: _Pair,
    plan: Plan,
    factors: Factors,
    inputs: Inputs,
    checks: list[Check],
    skipped: list[Phrase],
) -> None:
    """On other weights and another batch; on milder ones where the original gives nothing to compare."""
    name = ANOTHER_BATCH
    chosen = cast_inputs(another_batch(inputs), pair.dtype)
    plain = _tried(pair.before, chosen, plan)
    if isinstance(plain, str):
        template = "another batch size: the original runs only at the given one ({reason})"
        skipped.append(Message("verify.one_batch", template, {"reason": plain}))
        chosen, name = cast_inputs(inputs, pair.dtype), THIS_BATCH
    made: Check | None = None
    for level in LEVELS:
        if level != LEVELS[0]:
            del pair.before  # before its successor is made
            pair.before = _private(original, pair.dtype)
        randomise(pair.before, level)
        plain = _tried(pair.before, chosen, plan)
        if isinstance(plain, str) or not plain.finite:
            continue
        if level != LEVELS[-1] and _magnifies(pair.before, chosen, plan, plain):
            continue
        give(pair.before, pair.after, plan[0], relative_keeps(*plan))
        scale(pair.after, plan[0], plan[2], factors)
        made = _removal(name if level == LEVELS[0] else f"{name} ({level} its own)", pair, plan, factors, chosen, plain)
        if not made.passed and level != LEVELS[-1] and _magnifies(pair.after, chosen, plan):
            continue  # the original is calm, what is left of it is not
        if not made.passed or made.conclusive:
            break
    if made is None:
        template = "randomised weights: the original gives numbers that are not finite on all of them"
        skipped.append(Message("verify.never_finite", template))
        del pair.before
        pair.before = _private(original, pair.dtype)
    else:
        checks.append(made)


def _magnifies(model: nn.Module, inputs: Inputs, plan: Plan, plain: Run | None = None) -> bool:
    """Rounding alone would make this model differ; `plain` is its run, where it is known."""
    found = plain or _tried(model, inputs, plan)
    return isinstance(found, Run) and chaotic(model, inputs, found, lambda nudged: _run(model, nudged, plan))


def _permutation(pair: _Pair, plan: Plan, inputs: Inputs, plain: Run) -> Check:
    analysis, before, after = plan
    permute(pair.before, analysis, before, after & ~before, np.random.default_rng(1))
    difference = worst_difference(plain.outputs, _run(pair.before, inputs, plan).outputs)
    return Check(PERMUTATION, difference, None, TOLERANCE[pair.dtype], _name(pair.dtype))


def _other_size(
    models: tuple[nn.Module, nn.Module],
    finest: torch.dtype,
    plan: Plan,
    factors: Factors,
    inputs: Inputs,
    checks: list[Check],
    skipped: list[Phrase],
) -> Iterator[Progress]:
    """In float32 on the weights as they are, at another input size if the original runs at one.

    Where rounding alone would make as much of a difference, in the finest type instead.
    """
    pair = _copies(models, torch.float32)
    resized = another_size(inputs)
    name = ANOTHER_SIZE
    chosen = cast_inputs(inputs if resized is None else resized, torch.float32)
    flat = Message("verify.no_space", "its inputs have no size in space")
    plain = flat if resized is None else _tried(pair.before, chosen, plan)
    if not isinstance(plain, Run):
        template = "another input size: the original runs only at the given one ({reason})"
        skipped.append(Message("verify.one_size", template, {"reason": plain}))
        chosen, name = cast_inputs(inputs, torch.float32), COARSE
        plain = _run(pair.before, chosen, plan)
    yield Progress("Verifying: in float32" if resized is None else "Verifying: another input size", 4, 5)
    if _finite(name, plain, skipped) is None:
        return
    made = _removal(name, pair, plan, factors, chosen, plain)

    def noted(model: nn.Module, seen: Seen) -> Run:
        return _run(model, chosen, plan, seen=seen)

    off = not made.passed and isfinite(made.difference)
    if off and finest != pair.dtype and (rounds_off(pair.before, noted) or rounds_off(pair.after, noted)):
        del pair
        pair, finer = _copies(models, finest), cast_inputs(chosen, finest)
        unrounded(pair.before, pair.after, models[1], plan, factors)
        made = _removal(name, pair, plan, factors, finer, _run(pair.before, finer, plan))
    checks.append(made)


def _in_words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
