"""Grouped convolutions, transposed or not, are rated alike where they compute the same function."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.score_options import Choices, Normalise, Slices
from secateur.engine.structures.analyse import analyse
from tests.engine.scoring.given_task import GivenTask

TASK = GivenTask(torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(3)), 2, batch=4)


def _pair(outputs: int, groups: int) -> tuple[Any, Any]:
    """The same function with a grouped 1x1 convolution and with a transposed one."""
    nets: list[Any] = []
    for kind in (nn.Conv2d, nn.ConvTranspose2d):
        torch.manual_seed(0)
        first, last = nn.Conv2d(1, 6, 3), nn.Conv2d(outputs, 2, 1)
        middle = kind(6, outputs, 1, groups=groups)
        nets.append(nn.Sequential(first, nn.ReLU(), middle, last, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval())
    plain, transposed = nets
    weight = plain[2].weight.detach().view(groups, outputs // groups, 6 // groups, 1, 1)
    transposed[2].weight = nn.Parameter(weight.transpose(1, 2).reshape(transposed[2].weight.shape))
    transposed[2].bias = plain[2].bias
    assert torch.allclose(plain(TASK.given[0][0]), transposed(TASK.given[0][0]), atol=1e-6)
    return plain, transposed


def _of_groups(net: nn.Module, groups: int, criterion: str, slices: Slices | None) -> Any:
    analysis = analyse(net, TASK.example_inputs())
    one = next(one for one in analysis.sets if one.count == groups)
    choices = Choices(slices=slices, normalise=Normalise.NONE)
    return finish(score(net, analysis, analysis.empty(), criterion, TASK, choices=choices))[one.structures]


@pytest.mark.parametrize("criterion", ["taylor", "gates", "fisher", "wanda", "fluctuation", "l1", "lamp"])
@pytest.mark.parametrize(("outputs", "groups"), [(6, 6), (12, 6), (6, 3)])
def test_groups_are_rated_as_those_of_a_plain_convolution(outputs: int, groups: int, criterion: str) -> None:
    found, expected = (_of_groups(net, groups, criterion, None) for net in _pair(outputs, groups)[::-1])
    assert np.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("slices", [Slices.PRODUCERS, Slices.ALL])
def test_a_group_counts_once_in_each_choice_of_slices(slices: Slices) -> None:
    found, expected = (_of_groups(net, 6, "taylor", slices) for net in _pair(6, 6)[::-1])
    assert np.allclose(found, expected, rtol=1e-4)


def test_taylor_of_a_depthwise_transposed_channel_is_the_gradient_of_its_gate() -> None:
    _, net = _pair(6, 6)
    squares = torch.zeros(6)
    for images, labels in TASK.given:
        gate = torch.ones(6, requires_grad=True)
        middle = net[2](net[1](net[0](images))) * gate[:, None, None]
        loss = nn.functional.cross_entropy(net[3:](middle), labels)
        squares += torch.autograd.grad(loss, gate)[0].square()
    assert np.allclose(_of_groups(net, 6, "taylor", None), (squares / len(TASK.given)).sqrt(), rtol=1e-4)
