"""Convolutions lie in the order of the CPU's kernels while they are trained, where that changes nothing else."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import finish
from secateur.engine.recovery import finetune
from secateur.engine.recovery.finetune import recover
from secateur.engine.recovery.layout import channels_last
from secateur.engine.recovery.protocol import RecoverySettings
from tests.engine.tiny_net import TinyNet
from tests.engine.toy_task import ToyTask

EXAMPLES = ToyTask().example_inputs
LAST = torch.channels_last


class Net(nn.Module):
    """Two convolutions, then what `end` makes of them; `end` may insist on the usual order in memory."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3)
        self.norm, self.last, self.end = nn.BatchNorm2d(6), nn.Linear(6 * 16, 3), end

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 1, 8, 8] to [N, 3]."""
        x = self.norm(self.second(self.first(x).relu()))
        if self.end == "view" or (self.end == "view in training" and self.training):
            x = x.view(len(x), -1)
        elif self.end == "memory":
            x = x.as_strided((len(x), 96), (96, 1))
        return self.last(x.flatten(1))


def orders(model: nn.Module) -> list[bool]:
    return [m.weight.is_contiguous(memory_format=LAST) for m in model.modules() if isinstance(m, nn.Conv2d)][1:]


@pytest.mark.parametrize(
    ("end", "laid"), [("flatten", True), ("view", False), ("view in training", False), ("memory", False)]
)
def test_what_insists_on_the_usual_order_keeps_it(end: str, laid: bool) -> None:
    nets = [Net(end).eval(), Net("flatten").eval()]
    before = [{name: value.clone() for name, value in net.state_dict().items()} for net in nets]
    with channels_last(nets, EXAMPLES) as found:
        assert found is laid and all(orders(net) == [laid] for net in nets)
    for net, values in zip(nets, before, strict=True):
        assert orders(net) == [False] and not net.training
        assert all(value.equal(values[name]) for name, value in net.state_dict().items())
    assert finish(recover(nets[0], nets[0], ToyTask(64), RecoverySettings(epochs=1, threads=1))).steps == 2


def test_what_a_parametrization_makes_or_others_lie_beside_stays_as_it_lies() -> None:
    net = Net("flatten")
    nn.utils.parametrizations.weight_norm(net.second)
    memory = torch.randn(2, 4, 1, 3, 3)
    net.first.weight.data = memory[0]
    with channels_last([net], EXAMPLES) as found:
        assert not found
        assert net.first.weight.data_ptr() == memory.data_ptr()


def test_elsewhere_than_on_the_cpu_and_without_examples_nothing_is_done() -> None:
    def none() -> Any:
        raise ValueError("no examples")

    net = Net("flatten")
    with channels_last([net], EXAMPLES, "cuda:0") as on_a_gpu:
        assert not on_a_gpu
    with channels_last([net], none) as without:
        assert not without and orders(net) == [False]


def test_a_recovery_is_the_same_but_for_rounding_and_comes_back_in_the_usual_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    net = TinyNet(width=12, hidden=(8, 8), heads=2).eval()
    settings = RecoverySettings(epochs=2, threads=1, learning_rate=1e-3)
    laid, seen = finish(recover(net, net, ToyTask(128), settings)), list[bool]()

    @contextmanager
    def nothing(*_: Any) -> Generator[bool]:
        seen.append(True)
        yield False

    monkeypatch.setattr(finetune, "channels_last", nothing)
    usual = finish(recover(net, net, ToyTask(128), settings))
    assert seen and laid.best_epoch == usual.best_epoch
    for name, value in laid.state_dict.items():
        assert value.is_contiguous() and torch.allclose(value, usual.state_dict[name], rtol=1e-3, atol=1e-4), name
