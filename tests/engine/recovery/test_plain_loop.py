"""Settings by hand mean what `torch.optim` means by them: a plain loop on the same batches ends with equal weights."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from secateur.engine.jobs import Job, finish
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings
from secateur.engine.tasks.protocol import Metric, Split
from tests.engine.toy_task import ToyTask

EPOCHS, SEED, RATE, DECAY = 2, 3, 0.2, 0.01
Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Rising(ToyTask):
    """The metric rises at each look, so that the last weights are given back."""

    looks = 0

    def evaluate(self, predict: Any, split: Split, token: Any) -> Job[Metric]:
        self.looks += 1
        return replace((yield from super().evaluate(predict, split, token)), value=self.looks / 100)


def student() -> nn.Module:
    """Without a bias before BatchNorm: it has no gradient but rounding, which Adam makes steps of."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3),
            nn.Flatten(),
            nn.Linear(144, 3),
        )


def by_hand(make: Make, clip: float) -> nn.Module:
    model, task = student().train(), ToyTask()
    optimizer = make(model.parameters())
    steps = EPOCHS * task.batch_count(Split.TRAIN)
    schedule = CosineAnnealingLR(optimizer, steps - 1, eta_min=optimizer.param_groups[0]["lr"] / 1000)
    for epoch in range(EPOCHS):
        for images, labels in task.batches(Split.TRAIN, seed=1000 * SEED + epoch + 1):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()
    return model


@pytest.mark.parametrize("clip", [None, 0.0, 0.3])
@pytest.mark.parametrize(
    ("optimizer", "make"),
    [
        (Optimizer.SGD, lambda p: torch.optim.SGD(p, RATE, momentum=0.9, nesterov=True, weight_decay=DECAY)),
        (Optimizer.ADAM, lambda p: torch.optim.Adam(p, RATE / 20)),
    ],
)
def test_a_recovery_ends_where_a_plain_loop_does(optimizer: Optimizer, make: Make, clip: float | None) -> None:
    sgd = optimizer is Optimizer.SGD
    settings = RecoverySettings(
        epochs=EPOCHS,
        learning_rate=RATE if sgd else RATE / 20,
        distillation=0.0,
        weight_decay=DECAY if sgd else 0.0,
        seed=SEED,
        threads=1,
        optimizer=optimizer,
        warm_up=0.0,
        clip=clip,
    )
    done = finish(fine_tune(student(), copy.deepcopy(student()), Rising(), settings))
    assert done.best_epoch == EPOCHS
    for name, expected in by_hand(make, (0.0 if sgd else 1.0) if clip is None else clip).named_parameters():
        torch.testing.assert_close(done.state_dict[name], expected.detach(), rtol=0, atol=1e-6)
