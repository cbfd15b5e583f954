"""Prove a rule: half of every set of a small real model goes, verification passes; with one wrong index it fails."""

import numpy as np
import torch
from torch import nn

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.transition import Transition
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import Verification
from secateur.engine.surgery.repair.weight_folding import Factors
from secateur.engine.surgery.verify.verify import CutVerification, verify
from secateur.engine.tracing.tree import Inputs


def prove(model: nn.Module, inputs: Inputs, *expected: str) -> Analysis:
    """Cut half of each set by itself and of all together, verify each; every set's negative control must fail.

    Args:
        model: A small real model.
        inputs: Its example inputs.
        expected: Names of the parameters whose first dimensions must be free, "name" or "name:dimension".

    Returns:
        The analysis, for what else there is to see.
    """
    model.eval()
    analysis = analyse(model, inputs)
    free = {f"{analysis.tensors[t].name}:{d}" for s in analysis.sets for t, d in s.touches}
    missing = {e if ":" in e else f"{e}:0" for e in expected} - free
    assert not missing, (missing, [f"{analysis.tensors[f.tensor].name}:{f.dim} {f.reason}" for f in analysis.fixed])
    sets = [n for n, s in enumerate(analysis.sets) if s.kind is not Kind.BLOCK and s.count > 1]
    assert sets
    together = [sets] if len(sets) > 1 else []
    for numbers in (*([number] for number in sets), *together):
        mask = half(analysis, *numbers)
        made = cut(model, analysis, mask, inputs)
        result = finish(verify(model, made.model, analysis, mask, inputs, factors=made.factors, edits=made.edits))
        assert result.passed, (analysis.sets[int(analysis.set_numbers()[np.flatnonzero(mask)[0]])].key, result)
        _exchange(model, made.model, analysis, mask)
        wrong = verify_removal(model, made.model, analysis, mask, inputs, made.factors)
        assert not all(one.passed for one in wrong.checks), "a wrong index was not found"
    return analysis


def verify_removal(
    model: nn.Module,
    smaller: nn.Module,
    analysis: Analysis,
    mask: Mask,
    inputs: Inputs,
    factors: Factors = (),
) -> Verification:
    """What a verification compares first: the weights as they are, and where no fault shows, others.

    A control with a fault needs no more, and the rest of a verification takes four fifths of its time.
    """
    transition = Transition(analysis, analysis.empty(), mask)
    verification = CutVerification(model, smaller, transition, inputs, NeverCancelled(), factors)
    verification.removal()
    if verification.checks[0].passed:
        verification.other_inputs()
    return Verification(tuple(verification.checks), tuple(verification.skipped))


def half(analysis: Analysis, *numbers: int) -> Mask:
    """A random half of sets, their sizes rounded down, and of what goes along."""
    mask = analysis.empty()
    for number in numbers:
        one = analysis.sets[number]
        mask[one.first + np.random.default_rng(number).permutation(one.count)[: one.count // 2]] = True
    return balanced(analysis, mask)


def _exchange(model: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask) -> None:
    """Put what a removed index held where a kept one stands, in one dimension of one parameter."""
    kept = analysis.kept_indices(mask)
    set_ = analysis.set_of(int(np.flatnonzero(mask)[0]))
    number, dim = next((t, d) for t, d in set_.touches if analysis.tensors[t].parameter)
    name = analysis.tensors[number].name
    dims = kept[name]
    assert dims is not None
    whole = dict(model.named_parameters())[name].data
    for other, index in enumerate(dims):
        if other != dim and index is not None:
            whole = whole.index_select(other, torch.from_numpy(index))
    stays = dims[dim]
    assert stays is not None
    gone = np.setdiff1d(np.arange(analysis.tensors[number].shape[dim]), stays)
    dict(smaller.named_parameters())[name].data.select(dim, 0).copy_(whole.select(dim, int(gone[0])))
