"""Training by steps and tokens, with batches that are added up, evaluated in between, and resumed after a kill."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.engine.errors import SecateurError, TaskError
from secateur.engine.jobs import Progress, finish
from secateur.engine.recovery import training as steps
from secateur.engine.recovery.budget import Budget, Unit
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.optimizers import one_cycle
from secateur.engine.recovery.protocol import Mixing, RecoverySettings, Repair, Teacher, require_possible
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.results import Recovered
from secateur.engine.tasks.data_task import DataTask
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, TaskSpec
from tests.engine.toy_task import ToyTask
from tests.warm_start import python

from .continued_training import BATCH, OPTIONS, SETTINGS, TOKENS, Llama, text_task, training, write_texts

HERE = Path(__file__).parents[3]
PLAIN = RecoverySettings(learning_rate=3e-3, distillation=0.3, threads=1, repair=Repair.NONE, teacher=Teacher.ORIGINAL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("texts")
    write_texts(made)
    return made


@pytest.fixture(scope="module")
def whole(folder: Path) -> Recovered:
    """The training that nothing breaks off."""
    return finish(training(folder))


class Reading:
    """Counts the sequences of the train split that a task reads."""

    def __init__(self, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows, read = list[list[int]](), task._data.read

        def noted(split: Split, rows: Any) -> Any:
            if split is Split.TRAIN:
                self.rows.append(rows.tolist())
            return read(split, rows)

        monkeypatch.setattr(task._data, "read", noted)


@pytest.mark.parametrize("step", [2, 7, 9, 16])
def test_a_killed_training_ends_with_the_same_weights_bit_for_bit(
    folder: Path, whole: Recovered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    file = tmp_path / "one.pt"
    command = python("-m", "tests.engine.recovery.continued_training", str(folder), str(file), str(step))
    assert subprocess.run(command, cwd=HERE, check=False, timeout=120).returncode == -signal.SIGKILL
    begun = int(torch.load(file, weights_only=True)["step"])
    assert abs(begun - step) < 5
    torch.rand(5)
    task = text_task(folder)
    seen = Reading(task, monkeypatch)
    resumed = finish(training(folder, checkpoint=Checkpoint(file, "k"), task=task))
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())
    assert (resumed.steps, resumed.epochs, resumed.metric) == (whole.steps, whole.epochs, whole.metric)
    batches = [rows for rows in seen.rows if len(rows) <= BATCH]
    assert len(batches) <= 2 * (whole.steps - begun) + 3  # a cursor: what was trained on is not read again


def test_tokens_end_it_and_it_is_evaluated_between(folder: Path, whole: Recovered) -> None:
    told = list[Progress]()
    again = finish(training(folder), told.append)
    assert again.metric == whole.metric  # the same seed, the same course
    measured = [one.values["step"] for one in told if len(one.values) == 2 and "loss" not in one.values]
    assert measured == sorted({*map(float, range(0, whole.steps, 3)), float(whole.steps)})
    epoch, tail = divmod(13, 2)
    updates = [2 * TOKENS] * epoch + [tail * TOKENS]  # of a pass: the last batch stands alone
    spent = total = 0
    while total < SETTINGS.tokens:
        total += updates[spent % len(updates)]
        spent += 1
    assert whole.steps == spent and whole.epochs == -(-spent // len(updates))
    counted = [one for one in told if one.message.code == "progress.fine_tuning_steps"]
    assert {one.total for one in counted} == {SETTINGS.tokens} and counted[-1].done == total
    shares = [one.share for one in told if one.share == one.share]
    assert shares == sorted(shares) and 0.9 < shares[-1] <= 1


def test_the_schedule_follows_the_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    positions = list[float]()

    def noted(position: float, warm_up: float) -> float:
        positions.append(position)
        return one_cycle(position, warm_up)

    monkeypatch.setattr(steps, "one_cycle", noted)
    finish(training(folder, replace(PLAIN, tokens=6 * TOKENS)))
    assert positions == pytest.approx([n / 6 for n in range(6)])
    positions.clear()
    finish(training(folder, replace(PLAIN, steps=5)))
    assert positions == pytest.approx([n / 4 for n in range(5)])


def test_batches_that_are_added_up_train_as_one_large_batch(folder: Path) -> None:
    class Halves(DataTask):
        """Each batch of eight in two unequal parts, of which masks hide other numbers of tokens."""

        def batches_from(self, split: Split, seed: int | None, start: int) -> Iterator[Any]:
            for x, y in super().batches_from(split, seed, start // 2):
                parts = [(x, y)] if split is not Split.TRAIN else [(x[:3], y[:3]), (x[3:], y[3:])]
                yield from parts

    options = (*OPTIONS[:2], ("purpose", "masked"))
    large = open_task(TaskSpec("text", str(folder), batch=8, options=options))
    assert isinstance(large, DataTask)
    small = Halves(large.spec, large._data, large.purpose)
    settings = replace(PLAIN, steps=6)

    def trained(task: Any, accumulate: int) -> dict[str, torch.Tensor]:
        student, teacher = Llama(0), Llama(1)
        for one in (student, teacher):
            one.llama.config.attention_dropout = 0.0
            layers: Any = one.llama.model.layers
            for layer in layers:
                layer.self_attn.attention_dropout = 0.0
        asked = replace(settings, accumulate=accumulate, evaluate_every=6)
        return finish(fine_tune(student, teacher, task, asked)).state_dict

    once, twice, apart = trained(large, 1), trained(small, 2), trained(small, 1)
    apart_by, between = (
        max(float((once[name] - other[name]).abs().max()) for name in once) for other in (apart, twice)
    )
    assert between < 1e-5 and apart_by > 1e-4


def test_the_teacher_is_neither_called_nor_kept_in_memory_at_weight_0(folder: Path) -> None:
    calls, rests = list[int](), list[int]()
    teacher = Llama(1)
    teacher.register_forward_hook(lambda *_: calls.append(1))

    def trained(**changes: Any) -> None:
        calls.clear()
        rests.clear()
        asked = replace(PLAIN, **{"steps": 3, "distillation": 0.0, "mirror": False, **changes})
        finish(recover(Llama(0), teacher, text_task(folder), asked, rest=lambda: rests.append(len(calls))))

    trained()
    assert calls == [] and rests == [0]
    trained(mixing=Mixing.DYNAMIC)  # its losses lead the mixture; that is before the first step
    assert rests == [len(calls)] and calls
    trained(distillation=0.2)
    assert rests == [] and len(calls) == 3


def test_the_data_of_a_task_without_a_loss_is_taught_at_any_weight() -> None:
    net, rests = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), list[int]()
    asked = replace(PLAIN, steps=2, distillation=0.0, mirror=False)
    done = finish(recover(net, net, ToyTask(loss_of=None), asked, rest=lambda: rests.append(1)))
    assert done.steps == 2 and rests == []


def test_patience_counts_evaluations(folder: Path) -> None:
    worse = replace(PLAIN, steps=40, evaluate_every=2, patience=3, learning_rate=5.0, clip=0.0)
    done = finish(training(folder, worse))
    assert done.steps == 6 and not done.improved


def test_epochs_are_evaluated_by_steps_too(folder: Path) -> None:
    told = list[Progress]()
    done = finish(training(folder, replace(PLAIN, epochs=1, evaluate_every=5)), told.append)
    measured = [one.values["step"] for one in told if "step" in one.values and "loss" not in one.values]
    assert measured[-3:] == [5.0, 10.0, 13.0] and done.steps == 13 and done.epochs == 1


def test_tokens_are_refused_where_the_data_has_none() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    with pytest.raises(TaskError, match="no tokens to count"):
        finish(recover(net, net, ToyTask(), RecoverySettings(tokens=1000)))
    with pytest.raises(SecateurError, match="one budget, but steps and tokens were given"):
        require_possible(RecoverySettings(tokens=1000, steps=3))


def test_a_step_without_tokens_ends_a_training_that_counts_them() -> None:
    net, toy = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), ToyTask()

    class Examples(ToyTask):
        """Its example is text, its batches are images."""

        def example_inputs(self) -> Any:
            return (torch.zeros(2, 64, dtype=torch.int64),)

    def at_most(progress: Progress) -> None:
        assert progress.values.get("step", 0) < 3 * toy.batch_count(Split.TRAIN)

    with pytest.raises(TaskError, match=r"^The data has no tokens to count"):
        finish(recover(net, net, Examples(), replace(PLAIN, tokens=1000, mirror=False)), at_most)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_inputs_of_a_batch_are_asked_for_once(accumulate: int) -> None:
    net, calls = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), list[int]()

    class Drawing(ToyTask):
        def inputs(self, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor]:
            calls.append(len(batch))
            return super().inputs(batch)

    counts = list[int]()
    for steps_made in (1, 4):
        calls.clear()
        finish(fine_tune(net, net, Drawing(), replace(PLAIN, steps=steps_made, accumulate=accumulate)))
        counts.append(len(calls))
    assert counts[1] - counts[0] == 3 * accumulate


def test_the_teacher_is_tuned_for_a_part_of_the_budget() -> None:
    for budget, part in (
        (Budget(Unit.TOKENS, 9_000), Budget(Unit.TOKENS, 3_000)),
        (Budget(Unit.STEPS, 100), Budget(Unit.STEPS, 34)),
        (Budget(Unit.EPOCHS, 3), Budget(Unit.EPOCHS, 1)),
        (Budget(Unit.MINUTES, 3), Budget(Unit.EPOCHS, 2)),
    ):
        tuning = RecoverySettings(accumulate=4).within(budget).tuning
        assert tuning is not None and tuning.budget == part and tuning.accumulate == 4


def test_where_nothing_is_said_tokens_are_learned_at_temperature_one_and_classes_at_two(folder: Path) -> None:
    def losses(make: Any, task: Any, **given: float) -> list[float]:
        told = list[Progress]()
        finish(fine_tune(make(2), make(1), task, replace(PLAIN, steps=3, **given)), told.append)
        return [one.values["loss"] for one in told if "loss" in one.values]

    def classifier(seed: int) -> Any:
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()

    for make, task, suits, other in ((Llama, text_task(folder), 1.0, 2.0), (classifier, ToyTask(), 2.0, 1.0)):
        found = losses(make, task)
        assert found and found == losses(make, task, temperature=suits) != losses(make, task, temperature=other)
