"""The original is tuned before it teaches where the data improves it; once for all recoveries; and only then."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import Message
from secateur.engine.jobs import NeverCancelled, Progress, finish, followed
from secateur.engine.recovery import flip_augmentation
from secateur.engine.recovery import recover as recovery
from secateur.engine.recovery.budget import TimeLimit
from secateur.engine.recovery.checkpoint import Checkpoint, KeptTeacher
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.flip_augmentation import labels_allow_mirroring
from secateur.engine.recovery.protocol import RecoverySettings, Repair, Teacher, as_recorded
from secateur.engine.recovery.recover import recover
from secateur.engine.recovery.results import Recovered
from secateur.engine.storage.serialization import from_plain, to_plain
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.slice_tensors import slice_tensor
from secateur.engine.tasks.protocol import Metric, Split
from tests.engine.toy_task import ToyTask

SETTINGS = RecoverySettings(epochs=4, distillation=1.0, learning_rate=5e-3, threads=1)


def _net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


def _trained(epochs: int) -> nn.Sequential:
    """A network that knows the toy task, more or less."""
    net = _net()
    if epochs:
        settings = RecoverySettings(epochs=epochs, distillation=0.0, learning_rate=0.02, threads=1)
        net.load_state_dict(finish(fine_tune(net, net, ToyTask(), settings)).state_dict)
    return net


def _with_words(job: Any) -> tuple[Recovered, list[str]]:
    told: list[str] = []
    return finish(job, lambda progress: told.append(str(progress.message))), told


def test_a_recovery_tells_how_much_of_its_whole_work_is_done() -> None:
    told: list[tuple[float, str]] = []
    job = recover(_net(1), _trained(0), ToyTask(), SETTINGS)
    finish(job, lambda progress: told.append((progress.share, str(progress.message))))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] >= 0.0 and shares[-1] == pytest.approx(1.0, abs=0.02)
    tuned = max(share for share, words in told if words.startswith("Tuning the original"))
    begun = min(share for share, words in told if words.startswith("Fine-tuning"))
    assert 0.2 < tuned < begun < 0.9  # two epochs of the original, then four of the student


class Weighed(ToyTask):
    """A task that counts what is done with it: a batch of training takes four passes, one of an evaluation one."""

    def __init__(self) -> None:
        super().__init__(count=4096)
        self.passes = 0

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        for batch in super().batches(split, seed):
            self.passes += 4 if split is Split.TRAIN and seed is not None else 1
            yield batch

    def evaluate(self, predict: Any, split: Split, token: Any) -> Any:
        words = Message("progress.evaluating", "Evaluating on the {split} split", {"split": split.value})

        def counted(progress: Progress) -> Iterator[Progress]:
            yield replace(progress, text=words, total=4096)

        return followed(super().evaluate(predict, split, token), counted)


def test_the_share_of_a_recovery_follows_its_work() -> None:
    task, told = Weighed(), list[tuple[float, int]]()
    finish(recover(_net(1), _trained(0), task, SETTINGS), lambda progress: told.append((progress.share, task.passes)))
    off = [abs(share - passes / task.passes) for share, passes in told]
    assert len(off) > 100 and max(off) < 0.08


def test_a_student_learns_more_of_an_original_that_the_data_improves() -> None:
    teacher, task = _trained(0), ToyTask()
    before = {name: one.clone() for name, one in teacher.state_dict().items()}
    plain = finish(recover(_net(1), teacher, task, replace(SETTINGS, teacher=Teacher.ORIGINAL)))
    found = finish(recover(_net(1), teacher, task, SETTINGS))
    assert found.metric.value > plain.metric.value + 0.2
    assert found.teacher is not None and found.teacher.code == "recovery.teacher_tuned"
    assert str(found.messages[0]).startswith("Teacher tuned for 2 epochs")
    assert plain.teacher is None and not plain.messages
    assert all(torch.equal(one, before[name]) for name, one in teacher.state_dict().items())


def test_an_original_that_knows_the_data_teaches_as_it_is() -> None:
    teacher, task = _trained(6), ToyTask()
    plain = finish(recover(_net(1), teacher, task, replace(SETTINGS, teacher=Teacher.ORIGINAL)))
    found = finish(recover(_net(1), teacher, task, SETTINGS))
    assert found.teacher is not None and found.teacher.code == "recovery.teacher_kept"
    assert all(torch.equal(one, plain.state_dict[name]) for name, one in found.state_dict.items())


class Stubborn(nn.Module):
    """A network with an infinite buffer that may be lent, and not copied."""

    infinite: Tensor

    def __init__(self, copied: bool) -> None:
        super().__init__()
        self.net, self._copied = _net(), copied
        self.register_buffer("infinite", torch.tensor([-torch.inf, 0.0]))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Stubborn":
        """Refuse that, or make one."""
        if not self._copied:
            raise TypeError
        made = Stubborn(self._copied)
        made.load_state_dict(self.state_dict())
        return made

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3] logits."""
        return self.net(x) + self.infinite.exp()[0]


def _judged(net: nn.Module, task: ToyTask) -> Metric:
    return finish(task.evaluate(net, Split.VAL, NeverCancelled()))


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize(
    ("way", "part", "code"),
    [
        (2.0, 0.5, "recovery.teacher_interpolated"),
        (4 / 3, 0.75, "recovery.teacher_interpolated"),
        (1.0, 1.0, "recovery.teacher_tuned"),
    ],
)
def test_weights_on_the_way_to_the_tuned_ones_teach_where_they_are_better(
    way: float, part: float, code: str, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tuning goes to good weights, or beyond."""
    task, original, tuned = ToyTask(), Stubborn(copied).eval(), Stubborn(True).eval()
    original.net.load_state_dict(_trained(6).state_dict())
    good = {name: one.clone() for name, one in original.state_dict().items()}
    torch.manual_seed(7)
    off = {name: torch.zeros_like(one) for name, one in good.items()}
    off |= {f"net.{name}": 6 * one.std() * torch.randn_like(one) for name, one in original.net.state_dict().items()}
    original.load_state_dict({name: one + off[name] for name, one in good.items()})
    before = {name: one.clone() for name, one in original.state_dict().items()}
    tuned.load_state_dict({name: one + (1 - way) * off[name] for name, one in good.items()})
    metric, given = _judged(tuned, task), _judged(original, task)

    def beyond(*_args: Any, **_named: Any) -> Iterator[Progress]:
        yield Progress("Fine-tuning", 1, 1)
        return Recovered(tuned.state_dict(), metric, 1, 8, 1, improved=True, given=given)

    monkeypatch.setattr(recovery, "fine_tune", beyond)
    job = recovery.tune_teacher(original, task, SETTINGS, KeptTeacher(), limit=TimeLimit(), token=NeverCancelled())
    found = finish(job)
    assert found.state_dict is not None and found.message is not None and found.message.code == code
    for name, one in found.state_dict.items():
        assert torch.allclose(one, good[name] + (1 - part * way) * off[name], atol=1e-4)
    assert all(torch.equal(one, before[name]) for name, one in original.state_dict().items())
    tuned.load_state_dict(found.state_dict)
    assert _judged(tuned, task).value > max(metric.value, given.value) or part == 1.0


@pytest.mark.parametrize(
    ("asked", "allowed", "tuned", "shown"),
    [
        (None, True, True, flip_augmentation.Sides.BOTH),
        (None, True, False, flip_augmentation.Sides.DRAWN),
        (None, False, True, flip_augmentation.Sides.GIVEN),
        (True, True, True, flip_augmentation.Sides.DRAWN),
        (False, True, True, flip_augmentation.Sides.GIVEN),
    ],
)
def test_a_teacher_that_was_tuned_looks_at_both_sides_of_images_whose_labels_allow_it(
    asked: bool | None, allowed: bool, tuned: bool, shown: flip_augmentation.Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, whole = list[Any](), recovery.fine_tune
    found = recovery.TunedTeacher(allowed, _trained(0).state_dict() if tuned else None)

    def known(*_args: Any, **_named: Any) -> Iterator[Progress]:
        yield Progress("Tuning", 1, 1)
        return found

    def noted(*args: Any, mirror: Any, **named: Any) -> Any:
        given.append(mirror)
        return whole(*args, mirror=mirror, **named)

    monkeypatch.setattr(recovery, "tune_teacher", known)
    monkeypatch.setattr(recovery, "fine_tune", noted)
    finish(recover(_net(1), _trained(0), ToyTask(), replace(SETTINGS, epochs=1, mirror=asked)))
    assert given == [shown]


def test_no_time_is_taken_for_weights_on_the_way_that_the_limit_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = list[str]()

    class Counted(ToyTask):
        def evaluate(self, predict: Any, split: Split, token: Any) -> Any:
            judged.append(split)
            return super().evaluate(predict, split, token)

    task, original = Counted(), _trained(0)
    metric, given = _judged(_trained(6), task), _judged(original, task)

    def late(*_args: Any, **_named: Any) -> Iterator[Progress]:
        yield Progress("Fine-tuning", 1, 1)
        limit.spent = 10.0
        return Recovered(_trained(6).state_dict(), metric, 1, 8, 1, improved=True, given=given)

    monkeypatch.setattr(recovery, "fine_tune", late)
    limit, token = TimeLimit(10.0), NeverCancelled()
    judged.clear()
    settings = replace(SETTINGS, mirror=False)
    found = finish(recovery.tune_teacher(original, task, settings, KeptTeacher(), limit=limit, token=token))
    assert found.message is not None and found.message.code == "recovery.teacher_tuned"
    assert len(judged) == recovery.MIRRORING  # whether labels allow mirrored images


def test_a_tuning_of_so_many_updates_says_so() -> None:
    found = finish(recover(_net(1), _trained(0), ToyTask(), replace(SETTINGS, steps=12)))
    assert found.teacher is not None and found.teacher.arguments["training"] == "4 updates"


@pytest.mark.parametrize(
    "changed", [{"epochs": 1}, {"distillation": 0.0}, {"teacher": Teacher.ORIGINAL}, {"loss": None}]
)
def test_nothing_is_tuned_where_there_is_no_time_no_teacher_or_no_label(changed: dict[str, Any]) -> None:
    task = ToyTask(loss_of=None) if "loss" in changed else ToyTask()
    settings = replace(SETTINGS, **{name: one for name, one in changed.items() if name != "loss"})
    found, told = _with_words(recover(_net(1), _trained(0), task, settings))
    assert found.teacher is None and not any("Tuning" in one for one in told)


def _kept(folder: Path) -> Checkpoint:
    training = Checkpoint(folder / "training.pt", "t", pause=0.0)
    return Checkpoint(None, teacher=KeptTeacher(folder / "teacher.pt", "k", training))


def test_one_tuning_serves_all_recoveries_and_another_process(tmp_path: Path) -> None:
    first, told = _with_words(recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=_kept(tmp_path)))
    assert any("Tuning the original" in one for one in told) and not (tmp_path / "training.pt").exists()
    again, told = _with_words(recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=_kept(tmp_path)))
    assert not any("Tuning the original" in one for one in told)
    assert again.teacher == first.teacher
    assert all(torch.equal(one, first.state_dict[name]) for name, one in again.state_dict.items())
    other = Checkpoint(None, teacher=KeptTeacher(tmp_path / "teacher.pt", "of other data"))
    _, told = _with_words(recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=other))
    assert any("Tuning the original" in one for one in told)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"PK\3\4nothing"), lambda path: path.unlink()])
def test_what_was_kept_and_cannot_be_read_is_tuned_again(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    first = finish(recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=_kept(tmp_path)))
    damage(tmp_path / "teacher.pt")
    again = finish(recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=_kept(tmp_path)))
    assert all(torch.equal(one, first.state_dict[name]) for name, one in again.state_dict.items())


@pytest.mark.usefixtures("saved_every_step")
def test_a_tuning_that_was_stopped_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = finish(recover(_net(1), _trained(0), ToyTask(), SETTINGS))
    begun = recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=_kept(tmp_path))
    for progress in begun:
        if "Tuning the original on the data: Fine-tuning" in str(progress.message) and progress.done >= 11:
            begun.close()
            break
    assert (tmp_path / "training.pt").exists() and not (tmp_path / "teacher.pt").exists()
    resumed, told = _with_words(recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=_kept(tmp_path)))
    assert any("Resuming at step" in one for one in told)
    assert all(torch.equal(one, whole.state_dict[name]) for name, one in resumed.state_dict.items())


def test_a_recovery_that_goes_on_with_other_epochs_or_minutes_keeps_its_teacher(tmp_path: Path) -> None:
    def checkpoint(student: str, teacher: str) -> Checkpoint:
        kept = KeptTeacher(KeptTeacher.place(tmp_path, teacher), teacher)
        return Checkpoint(tmp_path / f"{student}.pt", student, teacher=kept)

    begun = recover(_net(1), _trained(0), ToyTask(), SETTINGS, checkpoint=checkpoint("s", "k4"))
    for progress in begun:
        if progress.values.get("step", 0) >= 11:
            begun.close()
            break
    first = checkpoint("s", "k4").first_teacher().load()
    longer = checkpoint("s", "k6")
    assert first is not None and longer.first_teacher().key == "k4"
    resumed, told = _with_words(
        recover(_net(1), _trained(0), ToyTask(), replace(SETTINGS, epochs=6), checkpoint=longer)
    )
    assert any("Resuming at step" in one for one in told) and not any("Tuning the original" in one for one in told)
    assert str(resumed.teacher) == str(from_plain(first["message"], Message))
    assert checkpoint("another", "k6").first_teacher().key == "k6"
    KeptTeacher.place(tmp_path, "k4").unlink()
    assert checkpoint("s", "k6").first_teacher().key == "k6"


def test_losses_of_the_tuning_are_no_points_of_the_recoverys_curve() -> None:
    told: list[Progress] = []
    finish(recover(_net(1), _trained(0), ToyTask(), SETTINGS), told.append)
    tuning = [one for one in told if "Tuning the original" in str(one.message)]
    assert tuning and not any(one.values for one in tuning)


@pytest.mark.parametrize("changed", [False, True])
def test_a_plain_cut_inherits_what_the_original_was_tuned_to(changed: bool) -> None:
    model = _trained(0)
    inputs = ToyTask().example_inputs()
    analysis = analyse(model, inputs)
    mask = analysis.empty()
    mask[:8] = True
    student, kept = cut(model, analysis, mask, inputs).model, analysis.kept_indices(mask)
    if changed:
        with torch.no_grad():
            student.get_parameter("1.bias")[0] += 1.0
    teacher = KeptTeacher()
    settings = replace(SETTINGS, learning_rate=1e-12, weight_decay=0.0, repair=Repair.NONE)
    checkpoint = Checkpoint(None, teacher=teacher)
    found = finish(recover(student, model, ToyTask(), settings, kept=kept, checkpoint=checkpoint)).state_dict
    assert teacher.held is not None
    tuned: dict[str, Tensor] = teacher.held["state_dict"]
    begins = student.state_dict() if changed else {n: slice_tensor(one, kept.get(n) or ()) for n, one in tuned.items()}
    assert all(torch.allclose(one, begins[name], atol=1e-6) for name, one in found.items())


class _Bright(ToyTask):
    """Which images are bright: the same from both sides."""

    def batches(self, split: Split, seed: int | None = None) -> Any:
        """(images, whether the mean is above 0)."""
        for images, _ in super().batches(split, seed):
            yield images, (images.mean((1, 2, 3)) > images.mean()).long()


class _Mean(nn.Module):
    """Says which images are bright."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        bright = x.mean((1, 2, 3)) - x.mean()
        return self.scale * torch.stack([-bright, bright, torch.full_like(bright, -9.0)], 1)


class _Unsure(_Mean):
    """Is right about bright images half of the time."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros in half of the samples."""
        return super().forward(x) * (torch.arange(len(x)) % 2)[:, None]


def test_labels_that_a_mirror_would_change_are_seen() -> None:
    assert not finish(labels_allow_mirroring(_trained(6), ToyTask(), NeverCancelled()))
    model = _Mean()
    assert finish(labels_allow_mirroring(model, _Bright(count=1024), NeverCancelled()))
    assert not finish(labels_allow_mirroring(_Unsure(), _Bright(count=48), NeverCancelled()))  # too few to tell
    assert not model._forward_pre_hooks


class _LeftOnly(ToyTask):
    """Images that are bright on the left alone, all of one class."""

    def batches(self, split: Split, seed: int | None = None) -> Any:
        """Of the right half nothing is learnt, but by mirroring."""
        for _ in range(20):
            images = torch.zeros(16, 1, 8, 8)
            images[..., :4] = 1.0
            yield images, torch.zeros(16, dtype=torch.long)


@pytest.mark.parametrize("mirror", [False, True])
def test_mirrored_images_keep_their_labels(mirror: bool) -> None:
    class Sides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))

        def forward(self, x: Tensor) -> Tensor:
            told = (torch.stack([part.mean((1, 2, 3)) for part in x.chunk(2, -1)], 1) * self.weight).sum(1)
            return torch.stack([told, -told, torch.full_like(told, -9.0)], 1)

    settings = RecoverySettings(epochs=1, distillation=0.0, learning_rate=0.05, threads=1)
    found = finish(
        fine_tune(Sides(), Sides(), _LeftOnly(), settings, mirror=flip_augmentation.Sides(mirror))
    ).state_dict["weight"]
    assert float(found[0]) > 0.1 and (float(found[1]) > 0.1) is mirror


def test_settings_that_were_written_before_teachers_were_tuned_mean_the_original() -> None:
    written = to_plain(RecoverySettings(epochs=3))
    del written["teacher"]
    steps = {"steps": [{"step": "recover", "intent": written}, {"recovery": None}]}
    (first, second) = as_recorded(steps)["steps"]
    assert from_plain(first["intent"], RecoverySettings) == RecoverySettings(epochs=3, teacher=Teacher.ORIGINAL)
    assert second == {"recovery": None}
    assert from_plain(as_recorded(to_plain(SETTINGS)), RecoverySettings) == SETTINGS
