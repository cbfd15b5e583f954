"""A teacher that is confident on the training data is softened more, as far as entropies by hand say."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.recovery import training_trials
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.protocol import RecoverySettings, Teacher
from secateur.engine.recovery.training_trials import temperature_of
from secateur.engine.tasks.protocol import Split
from tests.engine.toy_task import ToyTask

SETTINGS = RecoverySettings(steps=8, threads=1, teacher=Teacher.ORIGINAL, learning_rate=0.001)


def _net(scale: float) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    with torch.no_grad():
        net.get_parameter("1.weight").mul_(scale)
    return net


def _entropy(logits: torch.Tensor, temperature: float) -> float:
    shares = (logits / temperature).softmax(1)
    return float(-(shares * shares.clamp_min(1e-30).log()).sum(1).mean())


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_it_is_where_the_entropy_by_hand_is_what_is_wanted(classes: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, classes)
    sure = logits * 4 * math.log(10) / float(logits.std()) if classes < 1000 else logits * 12
    found = temperature_of(sure)
    wanted = 2 / 3 * math.log(min(classes, 10))
    assert 2 < found < 8
    assert _entropy(sure, found - 0.06) < wanted < _entropy(sure, found + 0.06)
    assert temperature_of(logits) == 2.0 and temperature_of(100 * logits) == 8.0


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight steps are many."""
    monkeypatch.setattr(training_trials, "LONG", 8)


def _said(settings: RecoverySettings, scale: float, task: ToyTask | None = None) -> list[str]:
    done = finish(fine_tune(_net(1.0), _net(scale), task or ToyTask(), settings))
    return [one.code for one in done.messages]


def test_it_is_told_and_used_where_nobody_says_another() -> None:
    sure = _net(20.0)
    logits = torch.cat([sure(images) for images, _ in ToyTask().batches(Split.TRAIN, seed=0)]).detach()
    found = temperature_of(logits)
    assert found > 2
    done = finish(fine_tune(_net(1.0), sure, ToyTask(), SETTINGS))
    assert done.temperature == found
    assert f"Temperature {found:.3g}" in " ".join(map(str, done.messages))
    same = finish(fine_tune(_net(1.0), sure, ToyTask(), replace(SETTINGS, temperature=found)))
    assert same.temperature == 0
    assert all(map(torch.equal, done.state_dict.values(), same.state_dict.values()))


def test_what_is_said_counts_and_an_unsure_teacher_needs_none() -> None:
    assert "recovery.temperature_found" in _said(SETTINGS, 20.0)
    assert "recovery.temperature_found" not in _said(SETTINGS, 1.0)
    for change in ({"temperature": 2.0}, {"distillation": 0.0}, {"steps": 7}, {"steps": 0, "epochs": 0}):
        other = replace(SETTINGS, **change)
        assert "recovery.temperature_found" not in _said(other, 20.0)


def test_one_that_goes_on_keeps_its_temperature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = finish(fine_tune(_net(1.0), _net(20.0), ToyTask(), SETTINGS))
    kept = Checkpoint(tmp_path / "s1.pt", "k", pause=0.0)
    job = fine_tune(_net(1.0), _net(20.0), ToyTask(), SETTINGS, checkpoint=kept)
    assert any(progress.values.get("step") for progress in job)  # stops there
    job.close()
    assert kept.load() is not None
    monkeypatch.setattr(training_trials, "LONG", math.inf)  # what is known is not sought again
    done = finish(fine_tune(_net(1.0), _net(20.0), ToyTask(), SETTINGS, checkpoint=kept))
    assert done.temperature == whole.temperature > 2
    assert all(map(torch.equal, done.state_dict.values(), whole.state_dict.values()))
