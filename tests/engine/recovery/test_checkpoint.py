"""A recovery that was killed goes on where it stopped and ends with the weights of one that was not."""

import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import OutOfMemory, TaskError
from secateur.engine.jobs import Cancelled, Job, finish
from secateur.engine.recovery.checkpoint import Checkpoint
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.least_squares import IndependentRepair, Repairs, reconstruct
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings, Repair
from secateur.engine.recovery.results import Recovered
from secateur.engine.recovery.training_curve import record_curve
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import Metric, Split
from tests.engine.toy_task import ToyTask

from .close_at import close_at


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


GOING_ON = "progress.going_on"


def _recover(checkpoint: Checkpoint, stop_at: int = 0) -> Recovered:
    token = threading.Event()
    job = fine_tune(_net(), _net(), Augmented(), SETTINGS, token=token, checkpoint=checkpoint)
    if not stop_at:
        return finish(job)
    close_at(job, stop_at)
    raise Cancelled


@pytest.mark.usefixtures("saved_every_step")
def test_a_resumed_run_says_which_layers_were_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    analysis = analyse(model, ToyTask().example_inputs())
    mask = analysis.empty()
    mask[:8] = True
    student = cut(model, analysis, mask, ToyTask().example_inputs()).model
    settings = replace(SETTINGS, repair=Repair.LEAST_SQUARES)

    def with_independent(repaired: Any, *rest: Any, **options: Any) -> Any:
        """The repair with an independent one beside it."""
        done = yield from reconstruct(repaired, *rest, **options)
        weights = {name: repaired.get_parameter(name).detach().clone() for name in done.sequential.repaired}
        return Repairs(done.sequential, IndependentRepair(done.sequential, weights))

    class Told(ToyTask):
        """The independent repair is best."""

        values = iter((0.1, 0.95, 0.2))

        def evaluate(self, predict: Any, split: Split, token: Any) -> Job[Metric]:
            metric = yield from super().evaluate(predict, split, token)
            return replace(metric, value=next(self.values, 0.2))

    monkeypatch.setattr("secateur.engine.recovery.finetune.reconstruct", with_independent)

    def job() -> Any:
        checkpoint = Checkpoint(tmp_path / "s1.pt", "k", pause=0.0)
        kept = analysis.kept_indices(mask)
        return fine_tune(student, model, Told(), settings, kept=kept, checkpoint=checkpoint)

    begun = job()
    for progress in begun:
        if progress.values.get("step", 0) >= 8 and "loss" in progress.values:
            begun.close()
            break
    told: list[str] = []
    resumed = finish(job(), lambda progress: told.append(str(progress.message)))
    assert "Repairing layers" not in told
    assert str(resumed.repair.messages[0]) == "1 of 1 layers that lost inputs were repaired."
    assert resumed.repair.independent


@pytest.mark.parametrize("step", [3, 8, 13, 22])
@pytest.mark.usefixtures("saved_every_step")
def test_the_resumed_weights_are_those_of_an_uninterrupted_run(tmp_path: Path, step: int) -> None:
    whole = _recover(Checkpoint(None))
    path = tmp_path / "s1.pt"
    with pytest.raises(Cancelled):
        _recover(Checkpoint(path, "k", pause=0.0), stop_at=step)
    torch.rand(11)
    resumed = _recover(Checkpoint(path, "k"))
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())
    assert (resumed.steps, resumed.metric) == (whole.steps, whole.metric)


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("step", [3, 13])
def test_a_cancelled_run_keeps_all_its_steps_however_short_it_was(tmp_path: Path, step: int, close: bool) -> None:
    whole, token = _recover(Checkpoint(None)), threading.Event()
    path = tmp_path / "s1.pt"
    job = fine_tune(_net(), _net(), Augmented(), SETTINGS, token=token, checkpoint=Checkpoint(path, "k"))
    done = 0
    with pytest.raises(Cancelled):
        for progress in job:
            done = max(done, int(progress.values.get("step", 0)))
            if done >= step:
                token.set()
                if close:
                    job.close()
                    raise Cancelled
    torch.rand(11)
    begun: list[int] = []
    job = fine_tune(_net(), _net(), Augmented(), SETTINGS, token=threading.Event(), checkpoint=Checkpoint(path, "k"))
    resumed = finish(job, lambda one: begun.append(one.done) if one.message.code == GOING_ON else None)
    assert begun[0] >= done
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())


def test_a_step_that_is_broken_off_half_way_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secateur.engine.recovery.training.SHORT", 0.0)
    token, path = threading.Event(), tmp_path / "s1.pt"

    class Halfway(Augmented):
        steps = 0

        def loss(self, model, batch):
            self.steps += 1
            if self.steps == 6:
                token.set()
            return super().loss(model, batch)

    with pytest.raises(Cancelled):
        finish(fine_tune(_net(), _net(), Halfway(), SETTINGS, token=token, checkpoint=Checkpoint(path, "k")))
    assert not path.exists()


def test_a_run_without_memory_goes_on_from_the_step_that_lacked_it(tmp_path: Path) -> None:
    whole, path = _recover(Checkpoint(None)), tmp_path / "s1.pt"

    class Scarce(Augmented):
        steps = 0

        def loss(self, model, batch):
            self.steps += 1
            if self.steps > 6:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return super().loss(model, batch)

    with pytest.raises(OutOfMemory, match="a single sample"):
        finish(fine_tune(_net(), _net(), Scarce(), SETTINGS, checkpoint=Checkpoint(path, "k")))
    begun: list[int] = []
    job = fine_tune(_net(), _net(), Augmented(), SETTINGS, checkpoint=Checkpoint(path, "k"))
    resumed = finish(job, lambda one: begun.append(one.done) if one.message.code == GOING_ON else None)
    assert begun[0] == 6
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())


def test_a_training_goes_on_for_more_epochs_or_fewer(tmp_path: Path) -> None:
    path, steps = tmp_path / "s1.pt", _recover(Checkpoint(None)).steps
    with pytest.raises(Cancelled):
        _recover(Checkpoint(path, "k"), stop_at=8)
    kept = path.read_bytes()
    for epochs in (SETTINGS.epochs + 2, 1):
        path.write_bytes(kept)
        asked, begun = replace(SETTINGS, epochs=epochs), list[int]()
        job = fine_tune(_net(), _net(), Augmented(), asked, checkpoint=Checkpoint(path, "k"))
        told = finish(job, lambda one, begun=begun: begun.append(one.done) if one.message.code == GOING_ON else None)
        assert begun[0] >= 8
        assert told.steps == max(begun[0], steps // SETTINGS.epochs * epochs)


@pytest.mark.usefixtures("saved_every_step")
def test_the_course_of_a_resumed_run_is_that_of_the_whole_training(tmp_path: Path) -> None:

    def course(checkpoint: Checkpoint, stop_at: float = float("inf")) -> list[float]:
        job = fine_tune(_net(), _net(), Augmented(), SETTINGS, token=threading.Event(), checkpoint=checkpoint)
        for progress in (watched := record_curve(job, checkpoint.points)):
            if "loss" in progress.values and progress.values["step"] >= stop_at:
                watched.close()
        return sorted({point["step"] for point in checkpoint.points})

    whole = course(Checkpoint(None))
    path = tmp_path / "s1.pt"
    stopped = course(Checkpoint(path, "k", pause=0.0), stop_at=13)
    resumed = course(Checkpoint(path, "k"))
    assert resumed[0] == whole[0] and resumed[-1] == whole[-1]
    assert set(stopped[:-1]) <= set(resumed)  # the last step was not written down before the break


class Failing(Augmented):
    """Data that fails in an epoch, until it is mended."""

    def __init__(self, epoch: int, behind: int) -> None:
        super().__init__()
        self.fails, self.epochs = (epoch, behind), 0

    def batches(self, split: Any, seed: int | None = None) -> Any:
        self.epochs += seed is not None and seed % 1000 > 0
        for number, batch in enumerate(super().batches(split, seed)):
            if seed is not None and (self.epochs, number) == self.fails:
                raise OSError("the share is gone")
            yield batch


def test_data_that_fails_in_epoch_7_loses_nothing(tmp_path: Path) -> None:
    settings = RecoverySettings(epochs=8, learning_rate=5e-3, threads=1)
    whole = finish(fine_tune(_net(), _net(), Augmented(), settings))
    path, student = tmp_path / "s1.pt", _net()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    with pytest.raises(TaskError, match=r"epoch 7 after 3 batches: OSError: the share is gone\. Progress is kept"):
        finish(fine_tune(student, _net(), Failing(7, 3), settings, checkpoint=Checkpoint(path, "broken", "same")))
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert [one.name for one in tmp_path.iterdir()] == ["s1.pt"]  # nothing half-written beside it
    job = fine_tune(_net(), _net(), Augmented(), settings, checkpoint=Checkpoint(path, "mended", "same"))
    first = next(job)
    assert str(first.message) == "Resuming at step 51"
    resumed = finish(job)
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())


def test_data_that_fails_where_nothing_is_kept_says_that_nothing_was_changed() -> None:
    with pytest.raises(TaskError, match=r"epoch 2 after 0 batches: .* The model is unchanged"):
        finish(fine_tune(_net(), _net(), Failing(2, 0), SETTINGS))


def test_another_recovery_does_not_go_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "s1.pt"
    with pytest.raises(Cancelled):
        _recover(Checkpoint(path, "k", pause=0.0), stop_at=9)
    assert Checkpoint(path, "k").load() is not None and Checkpoint(path, "other").load() is None
    assert Checkpoint(path, "other", "same").load() is None  # the data did not fail, so changed data is other data


def test_a_disk_that_is_full_ends_no_training(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("where a folder should be")
    assert _recover(Checkpoint(blocked / "s1.pt", "k", pause=0.0)).steps == 24


def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s1.pt"
    path.write_bytes(b"PK\x03\x04 not a checkpoint")
    assert Checkpoint(path, "k").load() is None
    (aside,) = tmp_path.iterdir()
    assert aside.read_bytes() == b"PK\x03\x04 not a checkpoint" and str(aside) in capsys.readouterr().err
    assert _recover(Checkpoint(path, "k")).steps == 24


def test_a_page_of_zeros_in_a_file_is_damage_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s1.pt"
    with pytest.raises(Cancelled):
        _recover(Checkpoint(path, "k", pause=0.0), stop_at=9)
    found = Checkpoint(path, "k").load()
    assert found is not None
    weight = next(one for one in found["student"].values() if one.numel() > 8).numpy().tobytes()
    content = path.read_bytes()
    assert weight in content
    path.write_bytes(content.replace(weight, bytes(len(weight))))
    assert Checkpoint(path, "k").load() is None and "set aside" in capsys.readouterr().err


def test_patience_ends_a_training_that_gets_no_better() -> None:
    settings = RecoverySettings(epochs=9, learning_rate=1e-9, threads=1, patience=2)
    result = finish(fine_tune(_net(), _net(), ToyTask(), settings))
    assert (result.epochs, result.best_epoch) == (2, 0)  # equal is no better


class Broken(Augmented):
    """A loss, or a metric, that fails at a call, until it is mended."""

    def __init__(self, name: str, at: int) -> None:
        super().__init__()
        self.name, self.at, self.calls = name, at, {"loss": 0, "evaluate": 0}

    def _count(self, name: str) -> None:
        self.calls[name] += 1
        if (name, self.calls[name]) == (self.name, self.at):
            torch.rand(3)
            raise OSError("the share is gone")

    def loss(self, model: Any, batch: Any) -> Any:
        self._count("loss")
        return super().loss(model, batch)

    def evaluate(self, predict: Any, split: Any, token: Any) -> Any:
        self._count("evaluate")
        return super().evaluate(predict, split, token)


@pytest.mark.parametrize(("name", "at", "what"), [("loss", 14, "loss or the model"), ("evaluate", 3, "metric")])
def test_what_was_trained_is_kept_where_the_loss_or_the_metric_fails(tmp_path: Path, name: str, at: int, what: str):
    whole = _recover(Checkpoint(None))
    path = tmp_path / "s1.pt"
    with pytest.raises(TaskError, match=rf"The {what} failed in epoch 2 after \d batches.*Fix the {what} and recover"):
        job = fine_tune(_net(), _net(), Broken(name, at), SETTINGS, checkpoint=Checkpoint(path, "k", "m"))
        finish(job)
    resumed = _recover(Checkpoint(path, "k2", "m"))
    assert all(torch.equal(value, whole.state_dict[name]) for name, value in resumed.state_dict.items())


def test_short_epochs_have_a_curve_too() -> None:
    said = []
    job = fine_tune(_net(), _net(), ToyTask(count=64), SETTINGS)
    finish(job, lambda progress: said.append(progress.values) if "loss" in progress.values else None)
    assert [values["step"] for values in said][:2] == [2, 4]


def test_data_that_draws_from_numpy_and_python_draws_the_same_when_it_is_gone_on_with(tmp_path: Path) -> None:
    class Drawn(ToyTask):
        def batches(self, split: Any, seed: int | None = None) -> Any:
            for images, labels in super().batches(split, seed):
                noise = np.random.normal(size=images.shape).astype(np.float32) * random.random()
                yield (images + torch.from_numpy(noise) if seed is not None else images), labels

    def run(checkpoint: Checkpoint, stop_at: int = 0) -> Recovered:
        for progress in (job := fine_tune(_net(), _net(), Drawn(), SETTINGS, checkpoint=checkpoint)):
            if stop_at and progress.values.get("step", 0) >= stop_at and "loss" in progress.values:
                job.close()
        return finish(fine_tune(_net(), _net(), Drawn(), SETTINGS, checkpoint=checkpoint))

    before = random.getstate(), str(np.random.get_state())
    whole = run(Checkpoint(None)).state_dict
    assert (random.getstate(), str(np.random.get_state())) == before
    np.random.normal(size=7)
    checkpoint = Checkpoint(tmp_path / "a.pt", "key", pause=0.0)
    assert all(value.equal(whole[name]) for name, value in run(checkpoint, stop_at=11).state_dict.items())


def test_a_loss_that_draws_from_numpy_draws_the_same_when_it_is_gone_on_with(tmp_path: Path) -> None:
    class Mixed(ToyTask):
        def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
            return float(np.random.beta(0.4, 0.4) + random.random()) * nn.functional.cross_entropy(
                model(batch[0]), batch[1]
            )

    whole = finish(fine_tune(_net(), _net(), Mixed(), SETTINGS)).state_dict
    checkpoint = Checkpoint(tmp_path / "a.pt", "key", pause=0.0)
    for progress in (job := fine_tune(_net(), _net(), Mixed(), SETTINGS, checkpoint=checkpoint)):
        if progress.values.get("step", 0) >= 11 and "loss" in progress.values:
            job.close()
    resumed = finish(fine_tune(_net(), _net(), Mixed(), SETTINGS, checkpoint=checkpoint)).state_dict
    assert all(value.equal(whole[name]) for name, value in resumed.items())
