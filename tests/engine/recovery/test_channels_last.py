"""Convolutions lie in the order of the CPU's kernels while they are trained, where that changes nothing else."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import Cancelled, finish
from secateur.engine.recovery import finetune
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.training_trials import channels_last_weights
from tests.engine.tiny_net import TinyNet
from tests.engine.toy_task import ToyTask

LAST = torch.channels_last
SETTINGS = RecoverySettings(epochs=1, threads=1)


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


class Seeing(ToyTask):
    """Notes in which order the second convolution lies when it is trained and when it is judged."""

    def __init__(self, change: Any = None) -> None:
        super().__init__(64)
        self.trained, self.judged, self.change = list[bool](), list[bool](), change

    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor | None:
        """The usual one, of answers that are brought to another form before."""
        self.trained += orders(model)
        answers = model(batch[0])
        return super().loss(lambda _: answers if self.change is None else self.change(model, batch[0]), batch)

    def evaluate(self, predict: Any, split: Any, token: Any) -> Any:
        """The usual one."""
        self.judged += orders(predict)
        return (yield from super().evaluate(predict, split, token))


def features(model: Net, x: Tensor) -> Tensor:
    """A loss that looks into the model, and insists on the usual order."""
    return model.last(model.second(model.first(x)).view(len(x), -1))


@pytest.mark.parametrize(
    ("end", "change", "laid"),
    [
        ("flatten", None, True),
        ("view", None, False),
        ("view in training", None, False),
        ("memory", None, False),
        ("flatten", features, False),
    ],
)
def test_what_insists_on_the_usual_order_keeps_it(end: str, change: Any, laid: bool) -> None:
    net, teacher, task = Net(end).eval(), Net("flatten").eval(), Seeing(change)
    before = [{name: value.clone() for name, value in one.state_dict().items()} for one in (net, teacher)]
    where = teacher.second.weight.data_ptr()
    done = finish(recover(net, teacher, task, SETTINGS))
    assert done.steps == 2 and task.trained[-1] is laid and not any(task.judged)
    assert all(value.is_contiguous() for value in done.state_dict.values())
    assert teacher.second.weight.data_ptr() == where
    for one, values in zip((net, teacher), before, strict=True):
        assert orders(one) == [False] and not one.training
        assert all(value.equal(values[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("beside", ["parametrization", "memory", "shared", "frozen"])
def test_what_lies_beside_something_else_stays_where_it_is(beside: str) -> None:
    net, other = Net("flatten"), nn.Linear(1, 1)
    if beside == "parametrization":
        nn.utils.parametrizations.weight_norm(net.second)
    elif beside == "memory":
        other.weight = nn.Parameter(net.second.weight.data.view(-1))
        net.add_module("other", other)
    elif beside == "shared":
        net.share_memory()
    else:
        net.second.requires_grad_(False)
    weights = channels_last_weights((net, net), lambda: None)
    assert len(weights) == (2 if beside == "frozen" else 0)


def test_a_trial_that_is_cancelled_ends_the_recovery_and_one_that_fails_does_not() -> None:
    def cancelled() -> None:
        raise Cancelled

    def failed() -> None:
        raise ValueError("no batch")

    net = Net("flatten")
    with pytest.raises(Cancelled):
        channels_last_weights((net, net), cancelled)
    assert not channels_last_weights((net, net), failed) and orders(net) == [False]


def test_a_recovery_is_the_same_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = TinyNet(width=12, hidden=(8, 8), heads=2).eval()
    settings = RecoverySettings(epochs=2, threads=1, learning_rate=1e-3)
    laid = finish(recover(net, net, ToyTask(128), settings))
    monkeypatch.setattr(finetune, "channels_last_weights", lambda *_: [])
    usual = finish(recover(net, net, ToyTask(128), settings))
    assert laid.best_epoch == usual.best_epoch
    for name, value in laid.state_dict.items():
        assert torch.allclose(value, usual.state_dict[name], rtol=1e-3, atol=1e-4), name
