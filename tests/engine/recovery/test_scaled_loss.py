"""Mixed precision in float16, as on accelerators without bfloat16: the processor computes it too, here and slowly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.machine.device_list import CpuBackend
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.results import Recovered
from secateur.engine.recovery.training import Training
from secateur.engine.tasks.protocol import Split
from tests.engine.toy_task import ToyTask

from .close_at import close_at

SETTINGS = RecoverySettings(epochs=3, learning_rate=5e-3, threads=1, half=True, distillation=0.0)
FIRST = 2.0**16
"""Scale of the loss before the first step (torch.amp.GradScaler)."""


@pytest.fixture(autouse=True)
def _float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CpuBackend, "half", lambda _self, _name: "float16")


def _net(dropout: float = 0.3) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(64, 16), nn.Dropout(dropout), nn.ReLU(), nn.Linear(16, 3)
    return nn.Sequential(nn.Flatten(), *layers).eval()


def _training(loss_of: Any = nn.functional.cross_entropy) -> Training:
    model = _net(dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters())
    return Training(model, model, ToyTask(16, 16, loss_of), SETTINGS, optimizer, NeverCancelled(), steps=10)


def _weights(training: Training) -> list[Tensor]:
    return [one.detach().clone() for one in training.student.parameters()]


def test_gradients_that_float16_rounds_to_zero_are_kept_by_the_scale() -> None:
    """float16 holds nothing below 6e-8; compared with single precision."""

    def tiny(outputs: Tensor, labels: Tensor) -> Tensor:
        return 1e-7 * nn.functional.cross_entropy(outputs, labels)

    training = _training(tiny)
    batch = next(iter(training.task.batches(Split.TRAIN)))
    tiny(training.student(batch[0]), batch[1]).backward()
    wanted = [one.grad for one in training.student.parameters()]
    training.train_on([batch])
    found = [one.grad for one in training.student.parameters()]
    assert training.overflows == 0 and training.overflow is None
    for one, other in zip(wanted, found, strict=True):
        assert one is not None and other is not None and 0 < one.abs().max() < 6e-8
        torch.testing.assert_close(other, one, rtol=0.02, atol=0.01 * float(one.abs().max()))


def test_a_step_that_overflows_is_skipped_and_told_and_the_scale_halved() -> None:
    training = _training(lambda outputs, labels: 1e3 * nn.functional.cross_entropy(outputs, labels))
    batch, before = next(iter(training.task.batches(Split.TRAIN))), _weights(training)
    training.train_on([batch])
    assert training.scaler is not None and training.scaler.get_scale() == FIRST / 2
    assert all(map(torch.equal, before, _weights(training)))
    while all(map(torch.equal, before, _weights(training))):  # until it fits
        training.train_on([batch])
    skipped = training.step - 1
    assert training.overflows == skipped > 1 and training.scaler.get_scale() == FIRST / 2**skipped
    told = f"Steps skipped, as scaled gradients overflowed float16: {skipped} of {skipped + 1}."
    assert str(training.overflow) == told


def test_a_loss_that_float16_cannot_hold_says_so() -> None:
    training = _training(lambda outputs, labels: 1e9 * outputs.half().sum())
    with pytest.raises(SecateurError, match=r"in float16, whose largest number is 65,504\. Train without mixed"):
        training.train_on([next(iter(training.task.batches(Split.TRAIN)))])


class Steep(ToyTask):
    """A loss so steep that the first steps overflow."""

    def __init__(self) -> None:
        super().__init__(loss_of=lambda outputs, labels: 300 * nn.functional.cross_entropy(outputs, labels))


def _recover(checkpoint: Checkpoint, stop_at: int = 99) -> Recovered | None:
    job = fine_tune(_net(), _net(), Steep(), SETTINGS, checkpoint=checkpoint)
    if stop_at == 99:
        return finish(job)
    close_at(job, stop_at)
    return None


@pytest.mark.parametrize("step", [2, 13])
@pytest.mark.usefixtures("saved_every_step")
def test_a_resumed_training_goes_on_with_the_scale_that_it_had(tmp_path: Path, step: int) -> None:
    whole, path = _recover(Checkpoint(None)), tmp_path / "s1.pt"
    _recover(Checkpoint(path, "k", pause=0.0), stop_at=step)
    assert torch.load(path, weights_only=True)["scaler"]["scale"] < FIRST
    torch.rand(11)
    resumed = _recover(Checkpoint(path, "k"))
    assert whole is not None and resumed is not None and whole.metric.value > 0.9
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())
    assert (resumed.metric, resumed.overflow) == (whole.metric, whole.overflow) and whole.overflow is not None
    assert whole.overflow in whole.messages
