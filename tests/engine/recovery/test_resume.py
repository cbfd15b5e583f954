"""A recovery that was killed goes on where it stopped and ends with the weights of one that was not."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.jobs import Cancelled, finish
from secateur.engine.recovery import resume
from secateur.engine.recovery.finetune import Recovered, recover
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings
from secateur.engine.recovery.resume import Checkpoint
from tests.engine.toy_task import ToyTask


class Noisy(nn.Module):
    """A network with a dropout, whose steps draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Augmented(ToyTask):
    """Batches with noise of torch's own random state."""

    def batches(self, split: Any, seed: int | None = None) -> Any:
        for images, labels in super().batches(split, seed):
            yield (images + 0.1 * torch.randn_like(images) if seed is not None else images), labels


SETTINGS = RecoverySettings(epochs=3, learning_rate=5e-3, threads=1, patience=2, optimizer=Optimizer.SGD)


def _net() -> Noisy:
    torch.manual_seed(0)
    return Noisy().eval()


def _recover(checkpoint: Checkpoint, stop_at: int = 0) -> Recovered:
    token = threading.Event()
    job = recover(_net(), _net(), Augmented(), SETTINGS, token, checkpoint=checkpoint)
    if not stop_at:
        return finish(job)
    for progress in job:
        if progress.values.get("step", 0) >= stop_at and "loss" in progress.values:
            job.close()
            break
    raise Cancelled


@pytest.mark.parametrize("step", [3, 8, 13, 22])
def test_the_resumed_weights_are_those_of_an_uninterrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = _recover(Checkpoint(None))
    monkeypatch.setattr(resume, "SHARE", 0)
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    path = tmp_path / "s1.pt"
    with pytest.raises(Cancelled):
        _recover(Checkpoint(path, "k", pause=0.0), stop_at=step)
    torch.rand(11)
    resumed = _recover(Checkpoint(path, "k"))
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())
    assert (resumed.steps, resumed.metric) == (whole.steps, whole.metric)


def test_another_recovery_does_not_go_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "s1.pt"
    with pytest.raises(Cancelled):
        _recover(Checkpoint(path, "k", pause=0.0), stop_at=9)
    assert Checkpoint(path, "k").load() is not None and Checkpoint(path, "other").load() is None


def test_a_disk_that_is_full_ends_no_training(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("where a folder should be")
    assert _recover(Checkpoint(blocked / "s1.pt", "k", pause=0.0)).steps == 24


def test_a_damaged_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s1.pt"
    path.write_bytes(b"PK\x03\x04 not a checkpoint")
    assert Checkpoint(path, "k").load() is None
    assert _recover(Checkpoint(path, "k")).steps == 24


def test_patience_ends_a_training_that_gets_no_better() -> None:
    settings = RecoverySettings(epochs=9, learning_rate=1e-9, threads=1, patience=2)
    result = finish(recover(_net(), _net(), ToyTask(), settings))
    assert (result.epochs, result.best_epoch) == (2, 0)  # equal is no better
