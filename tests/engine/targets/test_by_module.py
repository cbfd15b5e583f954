"""Shares of a forward's time by module, on a net whose modules wait for a known time."""

import time

import pytest
import torch
from torch import nn

from secateur.engine.jobs import Cancelled, NeverCancelled, finish
from secateur.engine.targets.by_module import module_times


class Slow(nn.Module):
    """Waits."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return x


class Net(nn.Module):
    """A part that takes a third, one that takes two, and one that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Slow(0.004), Slow(0.008))
        self.idle = Slow(1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_every_module_has_its_share_with_all_that_is_in_it():
    shares = finish(module_times(Net(), (torch.zeros(1),), 1, NeverCancelled()))
    assert shares[""] == 1.0 and shares["body"] == pytest.approx(1.0, abs=0.1)
    assert shares["body.0"] == pytest.approx(1 / 3, abs=0.1)
    assert shares["body.1"] == pytest.approx(2 / 3, abs=0.1)
    assert "idle" not in shares


def test_no_hook_and_no_number_of_threads_stays_behind_also_when_it_is_cancelled():
    class Soon:
        def __init__(self) -> None:
            self.asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 3

    net, before = Net(), torch.get_num_threads()
    with pytest.raises(Cancelled):
        finish(module_times(net, (torch.zeros(1),), 2, Soon()))
    assert torch.get_num_threads() == before
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


def test_a_model_that_raises_leaves_nothing_behind():
    class Raises(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("no")

    net = nn.Sequential(Raises())
    with pytest.raises(ValueError, match="no"):
        finish(module_times(net, (torch.zeros(1),), 1, NeverCancelled()))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())
