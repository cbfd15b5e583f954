"""Show that a cut did exactly what was planned, by comparisons that share no code with the cut.

Removal (the cut model against the masked original), on the weights as they are and with everything randomised, at two
batch sizes and two input sizes; permutation of the coupled sets; in float64 where it fits, and in float32. It says
nothing about accuracy.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ..errors import VerificationError
from ..jobs import CancelToken, Job, Progress, check
from ..structures.analysis import Analysis, Mask
from ..tracing.reading import Inputs, tensors_of
from .compare import TOLERANCE, Run, worst_difference
from .cut import copy_model
from .masking import masked
from .permuting import permute
from .protocol import Check, Verification
from .slicing import give, relative_keeps

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

    Returns:
        Numbers for each comparison; look at `passed`.
    """
    size = sum(p.numel() for p in original.parameters())
    dtype = torch.float64 if size <= FITS else torch.float32
    checks: list[Check] = []
    skipped: list[str] = []
    total = 5
    refusal = _refuses(copy_model(original).to(dtype), _cast(inputs, dtype))
    if refusal:
        skipped.append(f"float64: the original runs only in float32 ({refusal})")
        dtype = torch.float32
    pair = _Pair(copy_model(original).to(dtype).eval(), copy_model(cut_model).to(dtype).eval(), dtype)
    plan = (analysis, before, after)

    yield Progress("Verifying: removal on the weights as they are", 0, total)
    checks.append(_removal("removal", pair, plan, _cast(inputs, dtype)))
    if analysis.trained:
        checks.append(_removal("removal in training mode", pair, plan, _cast(inputs, dtype), training=True))
    check(token)
    yield Progress("Verifying: removal with everything randomised", 1, total)
    _randomise(pair, analysis, before, after)
    chosen = _cast(_resized(inputs, batch=_batch(inputs) + 1) or inputs, dtype)
    name = "removal, randomised weights, another batch size"
    refusal = _refuses(pair.before, chosen)
    if refusal:
        skipped.append(f"another batch size: the original runs only at the given one ({refusal})")
        chosen, name = _cast(inputs, dtype), "removal, randomised weights"
    checks.append(_removal(name, pair, plan, chosen))
    check(token)
    yield Progress("Verifying: permutation of the coupled sets", 2, total)
    checks.append(_permutation(pair, plan, _cast(inputs, dtype)))
    check(token)
    yield Progress("Verifying: another input size", 3, total)
    # Fresh copies: the first ones are permuted by now.
    pair = _Pair(copy_model(original).float().eval(), copy_model(cut_model).float().eval(), torch.float32)
    yield from _other_size(pair, plan, inputs, checks, skipped)
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
                name=one.name,
                difference=one.difference,
                tolerance=one.tolerance,
                detail=one.detail or "the outputs",
            )
    if not verification.passed:
        raise VerificationError(
            "verify.inconclusive",
            "The verification is inconclusive: removing these structures changes the outputs by less than could be "
            "measured. Nothing was changed.",
        )


def _removal(
    name: str, pair: _Pair, plan: tuple[Analysis, Mask, Mask], inputs: Inputs, training: bool = False
) -> Check:
    chosen = () if training else plan[0].outputs
    with masked(pair.before, *plan):
        reference = Run(pair.before, inputs, chosen, training)
    plain = Run(pair.before, inputs, chosen, training)
    effect = worst_difference(reference.outputs, plain.outputs)
    try:
        difference, detail = reference.compare(Run(pair.after, inputs, chosen, training))
    except Exception as error:  # the original runs on these inputs, the cut model does not
        difference, detail = float("inf"), f"the cut model raises {_in_words(error)}"
    return Check(name, difference, effect, TOLERANCE[pair.dtype], _name(pair.dtype), detail)


def _permutation(pair: _Pair, plan: tuple[Analysis, Mask, Mask], inputs: Inputs) -> Check:
    analysis, before, after = plan
    plain = Run(pair.before, inputs, analysis.outputs)
    permute(pair.before, analysis, before, after & ~before, np.random.default_rng(1))
    permuted = Run(pair.before, inputs, analysis.outputs)
    difference = worst_difference(plain.outputs, permuted.outputs)
    return Check("permutation, randomised weights", difference, None, TOLERANCE[pair.dtype], _name(pair.dtype))


def _other_size(
    pair: _Pair,
    plan: tuple[Analysis, Mask, Mask],
    inputs: Inputs,
    checks: list[Check],
    skipped: list[str],
) -> Iterator[Progress]:
    """In float32 on the weights as they are, at another input size if the original runs at one."""
    resized = _resized(inputs, scale=0.75)
    chosen, name = _cast(inputs if resized is None else resized, torch.float32), "removal, another input size"
    refusal = "its inputs have no size in space" if resized is None else _refuses(pair.before, chosen)
    if refusal:
        skipped.append(f"another input size: the original runs only at the given one ({refusal})")
        chosen, name = _cast(inputs, torch.float32), "removal in float32"
    yield Progress("Verifying: " + name, 4, 5)
    checks.append(_removal(name, pair, plan, chosen))


def _refuses(model: nn.Module, inputs: Inputs) -> str:
    """Why the original itself does not run on these inputs, "" when it does."""
    try:
        Run(model, inputs)
    except Exception as error:
        return _in_words(error)
    return ""


def _in_words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _randomise(pair: _Pair, analysis: Analysis, before: Mask, after: Mask) -> None:
    """Every parameter and floating buffer anew in both models: the cut one gets the other's, sliced."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in pair.before.named_parameters():
        tensor.data = _random_like(name, tensor, generator)
    for name, tensor in pair.before.named_buffers():
        if tensor.is_floating_point():
            # What a buffer holds (a variance, a frequency) keeps its sign; a mean of zeros becomes one that counts.
            factor = 0.5 + torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
            mean = torch.zeros_like(tensor) if not name.endswith("running_mean") else factor - 1.0
            tensor.data = tensor.data * factor + mean
    give(pair.before, pair.after, analysis, relative_keeps(analysis, before, after))


def _random_like(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)

    if tensor.dim() == 1 and name.endswith("weight"):
        return uniform(0.5, 1.5)
    if tensor.dim() <= 1:
        return uniform(-0.3, 0.3)
    spread = (6.0 / max(1, tensor[0].numel())) ** 0.5  # variance 2 / fan-in (He et al. 2015)
    return uniform(-spread, spread)


def _cast(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    return tree_map_only(torch.Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t, inputs)


def _batch(inputs: Inputs) -> int:
    return next((t.shape[0] for t in tensors_of(inputs) if t.dim()), 1)


def _resized(inputs: Inputs, batch: int | None = None, scale: float = 1.0) -> Inputs | None:
    """Inputs of another batch (fresh noise; whole numbers are repeated) or size in space; None if they have none."""
    generator = torch.Generator().manual_seed(2)
    given = _batch(inputs)
    spatial = False

    def resize(one: torch.Tensor) -> torch.Tensor:
        nonlocal spatial
        if not one.dim():
            return one
        shape = list(one.shape)
        if batch is not None and shape[0] == given:
            shape[0] = batch
        if scale != 1.0 and one.is_floating_point() and one.dim() >= 4:
            shape[2:] = [max(1, round(s * scale / 8) * 8 if s >= 16 else s) for s in shape[2:]]
            spatial = True
        if one.is_floating_point():
            return torch.randn(shape, generator=generator, dtype=one.dtype)
        return one[torch.arange(shape[0]) % one.shape[0]]

    made = tree_map_only(torch.Tensor, resize, inputs)
    return made if scale == 1.0 or spatial else None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
