"""Degrees of homogeneity against numbers: a parameter is doubled, and results are multiplied as predicted, or not."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.surgery.repair.weight_folding import DegreePropagation, ProducerSearch, ScaledParameter
from secateur.engine.tracing.record import Record
from secateur.engine.tracing.recorder import record

X = (torch.rand(2, 6, generator=torch.Generator().manual_seed(0)) + 0.5,)
Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Net(nn.Module):
    """A function of a parameter [4, 6] and the input [2, 6]."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) + 0.5)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.weight, x)


def flow_of(net: Net, rows: list[int]) -> tuple[DegreePropagation, Record, bool]:
    run = record(net, X)
    scaled = ScaledParameter(run.sources[0], 0, torch.tensor(rows).numpy())
    propagation = DegreePropagation(replace(run, outputs=()), ProducerSearch(run).readers, {})
    propagation.solve({scaled.source.value: scaled.degree}, ())
    return propagation, run, propagation.solution is None


HOMOGENEOUS: dict[str, Function] = {
    "linear": lambda w, x: F.linear(x, w),
    "split": lambda w, x: torch.cat([part * 3 for part in F.linear(x, w).split(2, -1)][::-1], -1),
    "heads": lambda w, x: F.linear(x, w).view(2, 2, 2).permute(1, 0, 2)[:, :, 1:],
    "chosen": lambda w, x: F.linear(x, w)[:, [-1, 0]],
    "square": lambda w, x: F.linear(x, w).square().sqrt() * F.linear(x, w),
    "quotient": lambda w, x: x[:, :4] / F.linear(x, w).pow(2),
    "convolution": lambda w, x: F.conv1d(x[:, :, None], w[:, :, None]).relu(),
    "embedding": lambda w, x: F.embedding(torch.tensor([[2, 3], [3, 2]]), w[:, :4].t().contiguous()),
    "norm": lambda w, x: F.layer_norm(x[:, :4], (4,), w[:, 0], w[:, 1]),
    "product": lambda w, x: F.linear(x, w).view(2, 2, 2) @ x.view(2, 2, 3),
    "masked": lambda w, x: F.linear(x, w).masked_fill(torch.tensor([True, False, False, False]), 0.0),
    "rotated": lambda w, x: torch.view_as_real(torch.view_as_complex(F.linear(x, w).view(2, 2, 2))),
    "added": lambda w, x: F.linear(x, w) + F.linear(x, w).abs(),
}
"""Functions of which every result is multiplied by a power of what the first two rows (or all) are multiplied by."""
OTHERS: dict[str, Function] = {
    "softmax": lambda w, x: F.linear(x, w).softmax(-1),
    "bias": lambda w, x: F.linear(x, w, x[0, :4]),
    "curve": lambda w, x: F.gelu(F.linear(x, w)),
    "added to another": lambda w, x: F.linear(x, w) + x[:, :4],
    "summed with others": lambda w, x: F.linear(x, w).exp().sum(-1),
    "normalised": lambda w, x: F.layer_norm(F.linear(x, w), (4,)),
    "filled": lambda w, x: F.linear(x, w).masked_fill(x[:, :4] > 1, -1e4),
    "in place": lambda w, x: F.linear(x, w).mul_(F.linear(x, w)),
    "rounded": lambda w, x: torch.div(F.linear(x, w), 2.0, rounding_mode="floor"),
}


@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 2, 3]], ids=["some", "all"])
@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_results_are_multiplied_as_predicted(name: str, rows: list[int]) -> None:
    net = Net(HOMOGENEOUS[name])
    propagation, run, free = flow_of(net, rows)
    if len(rows) < 4 and not free:  # a sum over rows that are multiplied and others
        assert name in ("product", "rotated")
        return
    before = net(*X)
    with torch.no_grad():
        net.weight[rows] *= 2
    ratio = net(*X) / before
    predicted = torch.from_numpy(2.0 ** propagation.degree(run.outputs[0])[0]).float().expand_as(ratio)
    same = before == 0
    torch.testing.assert_close(torch.where(same, predicted, ratio), predicted)
    assert free and not bool((predicted == 1).all())


@pytest.mark.parametrize("name", ["linear", *OTHERS])
def test_only_what_is_homogeneous_lets_a_weight_make_good_a_number_behind_it(name: str) -> None:
    function = OTHERS.get(name) or HOMOGENEOUS[name]
    run = record(Net(lambda w, x: (function(w, x) / 7.0).softmax(-1)), X)
    (wrong,) = (number for number, call in enumerate(run.calls) if call.arguments.get("other") == 7.0)
    propagation = DegreePropagation(run, ProducerSearch(run).readers, {wrong: (5.0, 7.0)})
    solved = propagation.solve({run.sources[0].value: ScaledParameter(run.sources[0], 0, None).degree}, (wrong,))
    assert solved == (name == "linear")
    assert not solved or propagation.solution == pytest.approx(math.log(5 / 7))
