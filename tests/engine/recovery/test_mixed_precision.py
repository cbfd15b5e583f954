"""Students in half precision learn as others do, and are judged and given back in their own types."""

import threading
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.engine.errors import TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.results import Recovered
from secateur.engine.recovery.training import Training
from secateur.engine.tasks.protocol import Split
from tests.engine.toy_task import ToyTask

from .close_at import close_at

SETTINGS = RecoverySettings(epochs=2, learning_rate=1e-4, threads=1)


class Halves(ToyTask):
    """Images in half precision; notes the types that it judges weights in."""

    def __init__(self) -> None:
        super().__init__()
        self.judged = set[torch.dtype]()

    def batches(self, split: Any, seed: int | None = None) -> Any:
        for images, labels in super().batches(split, seed):
            yield images.bfloat16(), labels

    def evaluate(self, predict: Any, split: Split, token: Any) -> Any:
        self.judged.add(predict[1].weight.dtype)
        return super().evaluate(predict, split, token)


class Even(Halves):
    """Finds all weights alike, so that the last ones are given back."""

    def __init__(self, kind: torch.dtype) -> None:
        super().__init__()
        self.kind = kind

    def batches(self, split: Any, seed: int | None = None) -> Any:
        for images, labels in super().batches(split, seed):
            yield images.to(self.kind), labels

    def evaluate(self, predict: Any, split: Split, token: Any) -> Any:
        return replace((yield from super().evaluate(predict, split, token)), value=0.5)


def _mixed() -> nn.Sequential:
    """A network in bfloat16 whose norm, buffers included, is not."""
    torch.manual_seed(0)
    layers = nn.Linear(64, 16).bfloat16(), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3).bfloat16()
    return nn.Sequential(nn.Flatten(), *layers).eval()


def _recover(checkpoint: Checkpoint, stop_at: int = 99) -> Recovered | None:
    token = threading.Event()
    job = recover(_mixed(), _mixed(), Halves(), SETTINGS, token=token, checkpoint=checkpoint)
    if stop_at == 99:
        return finish(job)
    close_at(job, stop_at)
    return None


@pytest.mark.parametrize(
    ("changes", "alike"), [({"distillation": 0.0}, 0.999), ({"features": 1.0}, 0.6), ({"half": True}, 0.6)]
)
def test_small_steps_add_up_as_in_single_precision(changes: dict[str, Any], alike: float) -> None:
    """The teacher is rounded too, so that what it teaches differs a little; without one nothing does."""
    settings = replace(SETTINGS, **changes)
    found = finish(recover(_mixed(), _mixed(), Even(torch.bfloat16), settings)).state_dict
    wide = finish(recover(_mixed().float(), _mixed().float(), Even(torch.float32), settings)).state_dict
    before = _mixed().state_dict()
    assert {name: one.dtype for name, one in found.items()} == {name: one.dtype for name, one in before.items()}
    for name in ("1.weight", "4.weight"):
        assert (found[name] != before[name]).double().mean() > 0.5, name
        assert (found[name] == wide[name].bfloat16()).double().mean() > alike, name


def test_weights_are_judged_as_they_are_given_back() -> None:
    task, student = Halves(), _mixed()
    result = finish(recover(student, _mixed(), task, SETTINGS))
    assert task.judged == {torch.bfloat16}
    student.load_state_dict(result.state_dict)
    again = finish(task.evaluate(student, Split.VAL, threading.Event()))
    assert again == result.metric


class Weighed(Halves):
    """A loss that calls parts of the model, and may have weights in half precision."""

    def __init__(self, weight: Tensor | None) -> None:
        super().__init__()
        self.weight = weight

    def loss(self, model: Any, batch: Any) -> Any:
        within = model[1](batch[0].flatten(1)).bfloat16()
        return functional.cross_entropy(model[4](model[3](model[2](within))), batch[1], self.weight)


def test_a_loss_may_call_parts_of_the_model() -> None:
    student = _mixed()
    student[3] = torch.jit.script(nn.ReLU())
    result = finish(recover(student, _mixed(), Weighed(None), replace(SETTINGS, distillation=0.0)))
    assert not torch.equal(result.state_dict["1.weight"], _mixed().state_dict()["1.weight"])


def test_a_loss_that_mixes_types_is_told_which_one_is_trained_in() -> None:
    student = _mixed()
    with pytest.raises(TaskError, match=r"BFloat16.*\. A half-precision model is trained in float32"):
        finish(recover(student, _mixed(), Weighed(torch.ones(3).bfloat16()), replace(SETTINGS, distillation=0.0)))
    assert not any(one._forward_pre_hooks for one in student.modules())


@pytest.mark.usefixtures("saved_every_step")
def test_a_resumed_training_goes_on_with_what_rounding_would_lose(tmp_path: Path) -> None:
    whole, path = _recover(Checkpoint(None)), tmp_path / "s1.pt"
    _recover(Checkpoint(path, "k", pause=0.0), stop_at=13)
    assert torch.load(path, weights_only=True)["student"]["1.weight"].dtype is torch.float32
    resumed = _recover(Checkpoint(path, "k"))
    assert whole is not None and resumed is not None and whole.metric == resumed.metric
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())


def test_a_model_that_cannot_be_copied_gets_its_types_and_values_back() -> None:
    class Alone(nn.Sequential):
        def __deepcopy__(self, _memo: Any) -> Any:
            raise TypeError("there is one of it")

        def forward(self, given: Tensor) -> Tensor:
            return super().forward(given)

    student = Alone(*deepcopy(_mixed()))
    result = finish(recover(student, _mixed(), Halves(), SETTINGS))
    before = _mixed().state_dict()
    assert not torch.equal(result.state_dict["1.weight"], before["1.weight"])
    assert all(torch.equal(v, before[n]) and v.dtype is before[n].dtype for n, v in student.state_dict().items())
    assert not any(one._forward_pre_hooks for one in student.modules())


class _Exact(nn.Module):
    """Computes outside of autocast, as models do what mixed precision would spoil."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.layer(x.flatten(1)).tanh()


def test_gradients_of_what_leaves_autocast_are_in_single_precision() -> None:
    torch.manual_seed(0)
    model, task = _Exact(), ToyTask(16, 16)
    batch = next(iter(task.batches(Split.TRAIN)))
    task.loss(model, batch).backward()
    wanted = [one.grad for one in model.parameters()]
    model.zero_grad()
    settings = RecoverySettings(epochs=1, half=True, distillation=0.0)
    optimizer = torch.optim.SGD(model.parameters())
    Training(model, model, task, settings, optimizer, NeverCancelled()).gradients([batch])
    torch.testing.assert_close([one.grad for one in model.parameters()], wanted, rtol=0, atol=0)
