"""Costs of a plan, compared with FlopCounterMode and the parameters of the model that was really cut."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs, marginal
from secateur.engine.surgery.cut import cut
from secateur.engine.surgery.protocol import Edits
from secateur.engine.tracing.recorder import quiet_forward
from tests.engine.nets import Concat, Residual, TorchAttention, Transformer, image, tokens


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("net", "inputs"), [(Residual, image()), (Concat, image()), (Transformer, image()), (TorchAttention, tokens())]
)
def test_costs_of_a_random_plan_are_those_of_the_cut_model(
    net: type[nn.Module], inputs: tuple[torch.Tensor], seed: int
) -> None:
    model, rng = net().eval(), np.random.default_rng(seed)
    analysis = analyse(model, inputs)
    mask = analysis.empty()
    for one in analysis.sets:
        gone = rng.integers(0, one.count) if one.kind is not Kind.BLOCK else rng.integers(0, 2)
        mask[one.first + rng.permutation(one.count)[:gone]] = True
    smaller = cut(model, analysis, analysis.empty(), mask, Edits(), inputs).model
    counted = costs(analysis, mask)
    with quiet_forward(smaller), FlopCounterMode(display=False) as counter:
        smaller(*(i[:1] for i in inputs))
    assert counted.macs * 2 == counter.get_total_flops()
    assert counted.parameters == sum(p.numel() for p in smaller.parameters())


def test_what_one_more_structure_costs_depends_on_what_is_gone() -> None:
    analysis = analyse(Residual(), image())
    one = next(s for s in analysis.sets if s.key == "filter|blocks.0.conv1.weight|0")
    width = next(s for s in analysis.sets if s.kind is Kind.WIDTH)
    gone = analysis.empty()
    gone[width.first : width.first + 6] = True  # half of the width that the filter reads and writes
    # 3x3 kernels over 12 channels read and 12 written, plus scale and shift; then over 6 and 6.
    assert marginal(analysis, analysis.empty(), [one.first])[0] == 12 * 9 + 12 * 9 + 2
    assert marginal(analysis, gone, [one.first])[0] == 6 * 9 + 6 * 9 + 2
