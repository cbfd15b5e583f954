"""Prove a rule: half of every set of a small real model goes, verification passes; with one wrong index it fails."""

import numpy as np
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.surgery.cut.cut import CutModel, cut
from secateur.engine.surgery.cut.edits import Verification
from secateur.engine.surgery.verify.verify import verify
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
    for mask in (*(half(analysis, n) for n in sets), half(analysis, *sets)):
        made = cut(model, analysis, mask, inputs)
        result = _verified(model, made, analysis, mask, inputs)
        assert result.passed, (analysis.sets[int(analysis.set_numbers()[np.flatnonzero(mask)[0]])].key, result)
        _exchange(model, made.model, analysis, mask)
        wrong = _verified(model, made, analysis, mask, inputs)
        assert not all(c.passed for c in wrong.checks[:2]), "a wrong index was not found"
    return analysis


def half(analysis: Analysis, *numbers: int) -> Mask:
    """A random half of sets, their sizes rounded down, and of what goes along."""
    mask = analysis.empty()
    for number in numbers:
        one = analysis.sets[number]
        mask[one.first + np.random.default_rng(number).permutation(one.count)[: one.count // 2]] = True
    return balanced(analysis, mask)


def _verified(model: nn.Module, made: CutModel, analysis: Analysis, mask: Mask, inputs: Inputs) -> Verification:
    return finish(verify(model, made.model, analysis, mask, inputs, factors=made.factors, edits=made.edits))


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
