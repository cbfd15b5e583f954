"""What a forward changes, and whose random numbers it draws, is noted."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.tracing.model_state import ForwardState


class Inner:
    """A plain object of a model, as a cache is."""

    def __init__(self) -> None:
        self.steps = 0


class Changing(nn.Module):
    """A network whose forward does what it is given."""

    def __init__(self, change: Callable[["Changing"], object]) -> None:
        super().__init__()
        self.change, self.calls, self.cache = change, 0, Inner()
        self.seen: list[int] = []
        self.norm = nn.BatchNorm1d(3)
        self.table = nn.Buffer(torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.change(self)
        return x + self.table


def count(net: Changing) -> None:
    net.calls += 1


def remember(net: Changing) -> None:
    net.seen.append(1)


def step(net: Changing) -> None:
    net.cache.steps += 1


def write(net: Changing) -> None:
    net.table.add_(1)


def replace(net: Changing) -> None:
    net.table = nn.Buffer(torch.ones(3))


def train(net: Changing) -> None:
    net.norm.train()(torch.randn(4, 3))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (count, ("calls",)),
        (remember, ("seen",)),
        (step, ("cache.steps",)),
        (write, ("table",)),
        (replace, ("table",)),
        (train, ("norm.num_batches_tracked",)),  # torch counts no versions of the statistics themselves
        (lambda _: None, ()),
    ],
)
def test_what_a_forward_changes_is_named(change: Callable[[Changing], object], names: tuple[str, ...]) -> None:
    net = Changing(change)
    state = ForwardState(net)
    net(torch.zeros(3))
    assert state.changed_names() == names


@pytest.mark.parametrize(
    ("draw", "outside"), [(random.random, True), (np.random.rand, True), (lambda: torch.rand(1), False)]
)
def test_draws_outside_torch_are_noticed(draw: Callable[[], object], outside: bool) -> None:
    net = Changing(lambda _: draw())
    state = ForwardState(net)
    net(torch.zeros(3))
    assert state.draws_outside_torch() is outside
