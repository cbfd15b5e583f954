"""A recovery that is given minutes fills them, whatever a step takes, and no more, over a break too."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import TaskError
from secateur.engine.jobs import CancelToken, Job, finish
from secateur.engine.recovery import budget, training
from secateur.engine.recovery.checkpoint import Checkpoint, KeptTeacher
from secateur.engine.recovery.optimizers import one_cycle
from secateur.engine.recovery.protocol import RecoverySettings, Repair, Teacher
from secateur.engine.recovery.recover import recover
from secateur.engine.tasks.protocol import Metric, Split
from tests.engine.toy_task import ToyTask

STEP, EVALUATION = 0.7, 2.5
"""Seconds that each takes on the test's clock."""


class Clock:
    """A clock that only goes on where work is done."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Slow(ToyTask):
    """A task whose losses, evaluations and batches take time on a clock."""

    def __init__(self, clock: Clock, loading: float = 0.0, evaluating: float = EVALUATION) -> None:
        super().__init__()
        self.clock, self.loading, self.evaluating = clock, loading, evaluating

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        for batch in super().batches(split, seed):
            self.clock.now += self.loading if split is Split.TRAIN else 0.0
            yield batch

    def loss(self, model: Any, batch: Any) -> Any:
        self.clock.now += STEP if torch.is_grad_enabled() else 0.0
        return super().loss(model, batch)

    def evaluate(self, predict: Any, split: Split, token: CancelToken) -> Job[Metric]:
        self.clock.now += self.evaluating
        return super().evaluate(predict, split, token)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What recoveries read the time of."""
    found = Clock()
    monkeypatch.setattr(budget, "time", found)
    return found


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


def _settings(**changes: Any) -> RecoverySettings:
    given: dict[str, Any] = {"minutes": 1.0, "learning_rate": 2e-3, "threads": 1, "repair": Repair.NONE}
    given |= {"teacher": Teacher.ORIGINAL, "mirror": False, **changes}
    return RecoverySettings(**given)


@pytest.mark.parametrize("minutes", [0.2, 1.0, 3.0])
def test_steps_fill_the_time_and_the_schedule_ends_with_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    positions = list[float]()

    def told(position: float, warm_up: float) -> float:
        positions.append(position)
        return one_cycle(position, warm_up)

    monkeypatch.setattr(training, "one_cycle", told)
    begun = clock.now
    done = finish(recover(_net(), _net(), Slow(clock), _settings(minutes=minutes)))
    assert 60 * minutes - EVALUATION - STEP <= clock.now - begun <= 60 * minutes + STEP
    left = (1 - positions[-1]) * (60 * minutes - 2 * EVALUATION)
    assert positions == sorted(positions) and positions[0] == 0 and left < EVALUATION + 2 * STEP
    assert done.epochs == -(-done.steps // 8) and done.stopped is None  # the last one begun, 8 batches each


def test_progress_is_told_in_seconds(clock: Clock) -> None:
    told = list[Any]()
    finish(recover(_net(), _net(), Slow(clock), _settings()), told.append)
    trained = [one for one in told if one.message.code == "progress.fine_tuning_timed"]
    assert {one.total for one in trained} == {55} and trained[-1].done >= 0.9 * trained[-1].total
    assert str(trained[-1].message).startswith("Fine-tuning, 0.9 of 0.9 minutes, epoch ")


def test_a_run_that_is_gone_on_with_takes_what_is_left(clock: Clock, tmp_path: Path) -> None:
    begun, path = clock.now, tmp_path / "s1.pt"
    job = recover(_net(), _net(), Slow(clock), _settings(), checkpoint=Checkpoint(path, "k"))
    for progress in job:
        if progress.values.get("step", 0) >= 30 and "loss" in progress.values:
            job.close()
            break
    first, clock.now = clock.now - begun, clock.now + 5000
    again = clock.now
    done = finish(recover(_net(), _net(), Slow(clock), _settings(), checkpoint=Checkpoint(path, "k")))
    assert 0.9 * 60 <= first + clock.now - again <= 60 + STEP
    assert done.steps > 30


def test_a_run_whose_time_was_up_when_it_broke_off_is_evaluated(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "s1.pt"
    job = recover(_net(), _net(), Slow(clock), _settings(), checkpoint=Checkpoint(path, "k"))
    for progress in job:
        if progress.values.get("step", 0) >= 3 and "loss" in progress.values:
            clock.now += 100
            job.close()
            break
    done = finish(recover(_net(), _net(), Slow(clock), _settings(), checkpoint=Checkpoint(path, "k")))
    assert done.best_epoch == done.epochs == 1 and 3 <= done.steps <= 5


def test_tuning_the_teacher_takes_a_part_of_the_time(clock: Clock, tmp_path: Path) -> None:
    begun = clock.now
    task = Slow(clock)
    settings = _settings(minutes=0.5, teacher=Teacher.AUTO)
    training, key = Checkpoint(tmp_path / "t.pt", "t"), "t"
    checkpoint = Checkpoint(None, teacher=KeptTeacher(None, key, training))
    ended = SimpleNamespace(at=0.0)

    def look(progress: Any) -> None:
        if progress.message.code == "progress.tuning_teacher":
            ended.at = clock.now

    done = finish(recover(_net(), _net(), task, settings, checkpoint=checkpoint), look)
    assert 0 < ended.at - begun <= 10 + STEP and clock.now - begun <= 30 + STEP
    assert done.steps > 5


def test_where_no_time_is_left_the_repaired_model_is_given_back_and_it_says_so(clock: Clock) -> None:
    done = finish(recover(_net(), _net(), Slow(clock), _settings(minutes=0.05)))
    assert done.stopped is not None and done.stopped.code == "recovery.no_time"
    assert (done.steps, done.epochs) == (0, 0)


def test_where_the_first_batch_takes_the_time_the_repaired_model_is_given_back_too(clock: Clock) -> None:
    begun = clock.now
    done = finish(recover(_net(), _net(), Slow(clock, 4.0, 1.0), _settings(minutes=0.1)))
    assert done.stopped is not None and done.stopped.code == "recovery.no_time"
    assert (done.steps, done.epochs) == (0, 0) and clock.now - begun < 10


def test_a_teacher_without_time_to_be_tuned_teaches_as_it_is(clock: Clock) -> None:
    done = finish(recover(_net(), _net(), Slow(clock, 4.0, 1.0), _settings(minutes=0.5, teacher=Teacher.AUTO)))
    assert done.teacher is not None and done.teacher.code == "recovery.teacher_no_time"
    assert done.steps > 0 and done.stopped is None


def test_a_split_without_batches_is_said_to_be_empty_whatever_the_time(clock: Clock) -> None:
    class Empty(Slow):
        def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
            return iter(()) if split is Split.TRAIN else super().batches(split, seed)

    with pytest.raises(TaskError, match="no batches to train on"):
        finish(recover(_net(), _net(), Empty(clock), _settings(mirror=True, distillation=1.0)))


def test_a_token_cancels_it(clock: Clock) -> None:
    token = threading.Event()
    job = recover(_net(), _net(), Slow(clock), _settings(), token=token)
    next(job)
    token.set()
    with pytest.raises(Exception, match="Cancelled"):
        finish(job)


def test_what_is_recorded_is_what_was_asked_for_whatever_fitted_in() -> None:
    asked = _settings(minutes=2)
    assert asked.trains and asked.passes is None
    assert _settings(minutes=0).passes == 5 and not _settings(minutes=0, epochs=0).trains
    made = RecoverySettings(epochs=17, minutes=2)
    assert made.as_asked == RecoverySettings(minutes=2).as_asked != RecoverySettings(minutes=3).as_asked
    assert RecoverySettings(epochs=17).as_asked != RecoverySettings().as_asked
