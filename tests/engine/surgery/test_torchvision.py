"""The networks of torchvision that people prune: half of every set goes, each kind is verified, costs are exact."""

import numpy as np
import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.jobs import finish
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.tracing.isolated_forward import quiet_forward

KINDS = {
    "resnet18": {Kind.FILTER, Kind.WIDTH, Kind.BLOCK},
    "resnet50": {Kind.FILTER, Kind.WIDTH, Kind.BLOCK},
    "vgg16": {Kind.FILTER, Kind.NEURON},
    "mobilenet_v3_small": {Kind.FILTER, Kind.WIDTH, Kind.NEURON, Kind.BLOCK},
    "densenet121": {Kind.FILTER},
    "vit_b_16": {Kind.HEAD, Kind.HEAD_DIM, Kind.NEURON, Kind.WIDTH, Kind.BLOCK},
}
FAST = ("resnet18", "mobilenet_v3_small")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else (pytest.mark.slow, pytest.mark.timeout(1800))) for n in KINDS]
)
def test_every_kind_of_structure_is_cut_and_verified(name: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    inputs = (torch.randn(2, 3, *([224] * 2 if name == "vit_b_16" else [64] * 2)),)
    analysis = finish(settle(model, inputs, name=name))
    assert {s.kind for s in analysis.sets} == KINDS[name]
    for kind in KINDS[name]:
        mask = half(analysis, kind)
        made = cut(model, analysis, mask, inputs)
        result = finish(verify(model, made.model, analysis, mask, inputs, edits=made.edits))
        assert result.passed, (name, kind, result)
    everything = trial_mask(analysis)
    smaller = cut(model, analysis, everything, inputs).model
    with quiet_forward(smaller), FlopCounterMode(display=False) as counter:
        smaller(inputs[0][:1])
    counted = costs(analysis, everything)
    assert counted.macs * 2 == counter.get_total_flops()
    assert counted.parameters == sum(p.numel() for p in smaller.parameters())


def half(analysis: Analysis, kind: Kind) -> Mask:
    """A random half of each set of this kind; of blocks every second."""
    mask, rng = analysis.empty(), np.random.default_rng(0)
    for one in analysis.sets:
        if one.kind is kind and kind is not Kind.BLOCK:
            mask[one.first + rng.permutation(one.count)[: one.count // 2]] = True
    blocks = [s.first for s in analysis.sets if s.kind is Kind.BLOCK]
    if kind is Kind.BLOCK:
        mask[blocks[::2]] = True
    return mask
