"""The learning rate that trials find is the largest that raises the loss by little, and nothing of them stays."""

import copy
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import TaskError
from secateur.engine.inference.batch_parts import PassLimit
from secateur.engine.jobs import Job, finish
from secateur.engine.recovery import budget, finetune, training, training_trials
from secateur.engine.recovery.budget import TimeLimit
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.optimizers import one_cycle, optimizer_of
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings
from secateur.engine.recovery.results import FoundRate, Recovered
from secateur.engine.recovery.training import Training
from secateur.engine.tasks.protocol import Split
from secateur.engine.tracing import model_state
from tests.engine.toy_task import ToyTask

SETTINGS = RecoverySettings(epochs=2, threads=1, distillation=0.5)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy task has few batches."""
    monkeypatch.setattr(training_trials, "LEAST", 5)
    monkeypatch.setattr(training_trials, "COMPARED", 3)


def _net(damage: float = 0.0) -> nn.Module:
    """A network with statistics and dropout; damaged in its last layer."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))
    net = nn.Sequential(*first, nn.Linear(16, 3)).eval()
    with torch.no_grad():
        net.get_parameter("5.weight").add_(damage * torch.randn(3, 16))
    return net


def _run(settings: RecoverySettings, checkpoint: Checkpoint | None = None, damage: float = 1.0) -> Job[Recovered]:
    token = threading.Event()
    return fine_tune(_net(damage), _net(), ToyTask(), settings, token=token, checkpoint=checkpoint)


def _same(one: Recovered, other: Recovered) -> bool:
    return all(torch.equal(value, other.state_dict[name]) for name, value in one.state_dict.items())


def _by_hand(student: nn.Module, teacher: nn.Module) -> float:
    """The rate by a plain loop."""
    order = [images for images, _ in ToyTask().batches(Split.TRAIN, seed=0)]

    def loss(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            taught = (teacher(images) / 2).softmax(1)
        return nn.functional.kl_div((net(images) / 2).log_softmax(1), taught, reduction="batchmean") * 4

    def mean(net: nn.Module) -> float:
        with torch.no_grad():
            return sum(float(loss(net, one)) for one in order[:3]) / 3

    for rate in (0.002, 0.001, 0.0005, 0.00025, 0.000125):
        net = copy.deepcopy(student)
        optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.0)
        for number, images in enumerate(order[3:8]):
            optimizer.param_groups[0]["lr"] = rate * one_cycle(number / 4)
            optimizer.zero_grad()
            loss(net, images).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        if mean(net) <= 1.1 * mean(student):
            return rate
    return 0.0000625


def test_the_rate_is_that_of_a_plain_loop_and_a_better_student_gets_a_smaller_one() -> None:
    settings, found = replace(SETTINGS, distillation=1.0, weight_decay=0.0), list[float]()
    for damage in (0.0, 0.001, 0.003, 0.3, 1.0):
        torch.manual_seed(1)
        teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
        student = copy.deepcopy(teacher)
        with torch.no_grad():
            student.get_parameter("3.weight").add_(damage * torch.randn(3, 16))
        done = finish(fine_tune(student, teacher, ToyTask(), settings))
        assert done.rate is not None and done.rate.rate == _by_hand(student, teacher)
        found.append(done.rate.rate)
    assert found == sorted(found) and len(set(found)) > 3 and found[-1] == 0.002


@pytest.mark.parametrize("changes", [{}, {"optimizer": Optimizer.ADAM}, {"accumulate": 2}])
def test_a_training_after_trials_is_that_at_the_rate_said_by_hand(changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **changes)
    torch.rand(5)  # whatever came before does not matter
    sought = finish(_run(settings, damage=0.01))
    assert sought.rate is not None and sought.rate.steps > 0
    said = finish(_run(replace(settings, learning_rate=sought.rate.rate), damage=0.01))
    assert said.rate is None and _same(sought, said)
    assert sought.metric == said.metric and sought.steps == said.steps
    assert not _same(said, finish(_run(replace(settings, learning_rate=sought.rate.rate / 2), damage=0.01)))


def test_the_result_names_rate_and_steps() -> None:
    done = finish(_run(SETTINGS))
    assert done.rate == FoundRate(0.002, 5)
    assert str(done.messages[-1]) == "Learning rate 0.002, found by 5 steps of trial."


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 0.003}, {"optimizer": Optimizer.SGD}, {"epochs": 0}, {"shard": True}]
)
def test_where_nothing_is_sought_there_is_no_trial(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    monkeypatch.setattr(finetune, "rate_trials", lambda *_: pytest.fail("tried"))
    assert finish(_run(replace(SETTINGS, **changes))).rate is None


def test_a_trial_is_a_part_of_the_training_that_follows() -> None:
    found = [training_trials.trial_steps(SETTINGS, steps) for steps in (0, 60, 90, 150, 240, 10_000)]
    assert found == [5, 5, 6, 10, 16, 16]
    assert training_trials.trial_steps(replace(SETTINGS, minutes=1.0), 0) == 16


def test_before_a_long_training_a_trial_may_raise_the_loss_more(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, minutes = RecoverySettings(), RecoverySettings(minutes=5.0)
    given = [training_trials.tolerance(steps, one) for one in (10, 300, 600, 1200, 9600)]
    assert given == pytest.approx([0.1, 0.1, 0.1 * 2**0.5, 0.2, 0.2])
    assert training_trials.tolerance(minutes, 9600) == 0.1
    torch.manual_seed(1)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        student.get_parameter("3.weight").add_(0.003 * torch.randn(3, 16))
    found = list[float]()
    for brief in (training_trials.BRIEF, 0.001):
        monkeypatch.setattr(training_trials, "BRIEF", brief)
        monkeypatch.setattr(training_trials, "LARGEST_TOLERANCE", math.inf)
        done = finish(fine_tune(student, teacher, ToyTask(), replace(SETTINGS, distillation=1.0)))
        assert done.rate is not None
        found.append(done.rate.rate)
    assert found[0] < found[1] == 0.002


def test_minutes_that_leave_no_time_for_trials_take_the_usual_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 3))  # seconds: three go by from look to look
    monkeypatch.setattr(budget, "_now", lambda: float(next(clock)))
    settings = replace(SETTINGS, minutes=10.0)
    done = finish(fine_tune(_net(1.0), _net(), ToyTask(), settings, limit=TimeLimit(100.0, begun=0.0)))
    assert done.rate is None and done.steps


def test_a_loss_that_is_no_number_any_more_ends_a_trial() -> None:
    class Bursting(ToyTask):
        losses = 0

        def loss(self, model: Any, batch: Any) -> Any:
            self.losses += 1
            loss: Any = super().loss(model, batch)
            return loss * (float("nan") if self.losses == 6 else 1.0)

    done = finish(fine_tune(_net(1.0), _net(), Bursting(), replace(SETTINGS, distillation=0.0)))
    assert done.rate is not None and done.rate.rate < 0.002 and done.steps == 16


@pytest.mark.parametrize("step", [0, 11])
@pytest.mark.usefixtures("saved_every_step")
def test_a_broken_off_training_goes_on_at_the_rate_that_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = finish(_run(SETTINGS, damage=0.01))
    job = _run(SETTINGS, Checkpoint(tmp_path / "s1.pt", "k", pause=0.0), damage=0.01)
    for progress in job:
        trying = progress.message.code == training_trials.RATE_TRIALS[0] and progress.done > 3
        if trying if step == 0 else progress.values.get("step", 0) >= step:
            job.close()
            break
    kept = Checkpoint(tmp_path / "s1.pt", "k").load()
    assert kept is not None and (kept["step"] > 0) is (kept["rate"] is not None) is (step > 0)
    if step:
        monkeypatch.setattr(finetune, "rate_trials", lambda *_: pytest.fail("tried again"))
    torch.rand(11)
    resumed = finish(_run(SETTINGS, Checkpoint(tmp_path / "s1.pt", "k"), damage=0.01))
    assert resumed.rate == whole.rate is not None and _same(resumed, whole)


def test_data_with_hardly_any_batch_are_tried_on_all_the_same() -> None:
    class Two(ToyTask):
        def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
            return islice(super().batches(split, seed), 2)

        def batch_count(self, split: Split) -> int:
            return min(super().batch_count(split), 2)

    done = finish(fine_tune(_net(1.0), _net(), Two(), SETTINGS))
    assert done.rate is not None and done.rate.steps == 5 and done.steps == 4


def test_progress_only_grows() -> None:
    for settings, limit in ((SETTINGS, TimeLimit()), (replace(SETTINGS, minutes=0.02), TimeLimit(1.2))):
        job = fine_tune(_net(1.0), _net(), ToyTask(), settings, limit=limit)
        shares = [one.share for one in job if one.share is not None]
        assert shares == sorted(shares) and shares[-1] <= 1.0


def test_a_loss_may_be_negative() -> None:
    task = ToyTask(loss_of=lambda outputs, labels: nn.functional.cross_entropy(outputs, labels) - 100)
    done = finish(fine_tune(_net(1.0), _net(), task, replace(SETTINGS, distillation=0.0)))
    assert done.rate == FoundRate(0.002, 5)


def test_a_loss_that_never_was_a_number_leaves_what_a_repair_has_gained() -> None:
    student = _net()
    student.get_buffer("2.running_mean").fill_(50.0)
    task = ToyTask(loss_of=lambda outputs, _labels: outputs.sum() * float("nan"))
    done = finish(fine_tune(student, _net(), task, replace(SETTINGS, distillation=0.0)))
    assert done.improved and done.rate is None and done.steps == 0
    assert "the loss is nan at step 0" in str(done.stopped)


def test_a_train_split_without_batches_finds_no_rate() -> None:
    class Empty(ToyTask):
        def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
            return iter(()) if split is Split.TRAIN else super().batches(split, seed)

    job, said = fine_tune(_net(), _net(), Empty(), SETTINGS), list[str]()
    with pytest.raises(TaskError, match="no batches to train on"):
        finish(job, lambda progress: said.append(progress.message.code))
    assert "recovery.rate_found" not in said


@pytest.mark.parametrize("failing", ["batches", "loss"])
def test_what_was_done_before_trials_is_kept_where_the_data_fails_in_them(tmp_path: Path, failing: str) -> None:
    class Breaking(ToyTask):
        at: str = ""
        losses = evaluations = 0

        def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
            for number, batch in enumerate(super().batches(split, seed)):
                if self.at == "batches" and split is Split.TRAIN and number == 4:
                    raise OSError("the share is gone")
                yield batch

        def loss(self, model: Any, batch: Any) -> Any:
            self.losses += 1
            if self.at == "loss" and self.losses == 5:
                raise OSError("the share is gone")
            return super().loss(model, batch)

        def evaluate(self, predict: Any, split: Split, token: Any) -> Any:
            self.evaluations += 1
            return super().evaluate(predict, split, token)

    def run(task: ToyTask, key: str) -> Job[Recovered]:
        torch.manual_seed(0)
        student = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        checkpoint = Checkpoint(tmp_path / f"{key[0]}.pt", key, "mended")
        return fine_tune(student, student, task, replace(SETTINGS, accumulate=2), checkpoint=checkpoint)

    task, whole = Breaking(), finish(run(Breaking(), "whole"))
    task.at = failing
    what = "The data, the loss or the model failed in epoch 1 after 0 batches: OSError: the share is gone. Progress is"
    with pytest.raises(TaskError, match=what):
        finish(run(task, "a"))
    before, task.at = task.evaluations, ""
    resumed = finish(run(task, "a, mended"))
    assert resumed.rate == whole.rate is not None and _same(resumed, whole)
    assert task.evaluations - before == 2  # behind each epoch: that of before is kept


def test_trials_leave_the_time_of_the_last_evaluation_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for reserve, tried in ((0.0, True), (95.0, False)):
        student = _net()
        one = Training(
            student,
            _net(),
            ToyTask(),
            replace(SETTINGS, minutes=1.0),
            optimizer_of(student, SETTINGS),
            threading.Event(),
            time=budget.TrainingTime(TimeLimit(100.0, begun=0.0), reserve=reserve),
        )
        clock = iter(range(100_000))  # a look takes 10 ms
        monkeypatch.setattr(budget, "_now", lambda clock=clock: 0.01 * next(clock))
        assert (finish(training_trials.rate_trials(one, 5)) is not None) is tried


def test_weights_that_a_step_lays_elsewhere_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Moving(nn.Linear):
        calls = 0

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            if self.calls == 3 and torch.is_grad_enabled():
                self.weight.data = self.weight.data.clone()
            return super().forward(input)

    def run(rate: float) -> Recovered:
        student = nn.Sequential(nn.Flatten(), Moving(64, 3))
        student.load_state_dict(teacher.state_dict())
        settings = replace(SETTINGS, learning_rate=rate)
        return finish(fine_tune(student, teacher, ToyTask(), settings))

    monkeypatch.setattr(model_state, "WEIGHTS", 0)  # as of a large model
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    sought = run(0.0)
    assert sought.rate is not None and _same(sought, run(sought.rate.rate))


def test_results_of_blocks_are_compared_over_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    found, plain = list[float](), Training.measure

    def measured(one: Training, batch: Any) -> float:
        found.append(plain(one, batch))
        return found[-1]

    monkeypatch.setattr(Training, "measure", measured)
    for most in (0, 8):
        finish(fine_tune(_net(1.0), _net(), ToyTask(), replace(SETTINGS, features=1.0), passes=PassLimit(most)))
    half = len(found) // 2
    assert half and found[:half] == found[half:]


def test_a_trial_is_as_precise_as_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "half_of", lambda _device: "float16")
    student, gates = _net(), object()
    settings = replace(SETTINGS, half=True)
    made = optimizer_of(student, settings), threading.Event()
    for masks in (None, gates):  # one scale of the loss does not serve the gradients of gates
        one = Training(student, student, ToyTask(), settings, *made, masks=masks)  # pyright: ignore[reportArgumentType]
        trial = training_trials.trial_training(one, 0.001, 4)
        assert trial.half == one.half == ("" if masks else "float16")
