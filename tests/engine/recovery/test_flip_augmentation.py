"""Mirrored images: each sample as a whole, or not at all; the student is taught what the teacher says of them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import SecateurError, TaskError
from secateur.engine.jobs import finish
from secateur.engine.recovery import training
from secateur.engine.recovery.finetune import fine_tune
from secateur.engine.recovery.flip_augmentation import Sides, mirror_images
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.recover import recover
from secateur.engine.tasks.protocol import Split
from tests.engine.toy_task import ToyTask

SETTINGS = RecoverySettings(epochs=1, distillation=1.0, mirror=True, threads=1)


def test_a_sample_is_mirrored_in_all_its_images_or_in_none() -> None:
    images, clips = torch.randn(64, 3, 4, 5), torch.randn(64, 3, 2, 4, 5)
    masks, tokens = torch.ones(64, 4, 5), torch.arange(64 * 5 * 4).reshape(64, 1, 4, 5)
    given = {"pair": (images, clips), "mask": masks, "tokens": tokens}
    found: Any = mirror_images(given)
    turned = [bool(torch.equal(a, b.flip(-1))) for a, b in zip(found["pair"][0], images, strict=True)]
    same = [bool(torch.equal(a, b)) for a, b in zip(found["pair"][0], images, strict=True)]
    assert [a != b for a, b in zip(turned, same, strict=True)] == [True] * 64
    assert 16 < sum(turned) < 48
    for number, is_turned in enumerate(turned):
        clip = clips[number].flip(-1) if is_turned else clips[number]
        assert torch.equal(found["pair"][1][number], clip)
    assert found["mask"] is masks and found["tokens"] is tokens


def test_what_is_no_image_cannot_be_mirrored() -> None:
    with pytest.raises(TaskError, match="nothing can be mirrored"):
        mirror_images((torch.randn(4, 9),))


class Sided(nn.Module):
    """Says how bright the left and the right half of an image are; `weight` is to be learnt."""

    def __init__(self, right: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, right]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.mean(1).chunk(2, -1)
        return torch.stack([left.mean((1, 2)) * self.weight[0], right.mean((1, 2)) * self.weight[1]], 1)


class LeftOnly(ToyTask):
    """Images that are bright on the left alone: nothing is to be learnt of the right half, but by mirroring."""

    def batches(self, split: Any, seed: int | None = None) -> Any:
        for _ in range(40):
            images = torch.zeros(16, 1, 4, 8)
            images[..., :4] = torch.rand(16, 1, 1, 1)
            yield images, torch.zeros(16, dtype=torch.long)

    def batch_count(self, split: Any) -> int:
        return 40


@pytest.mark.parametrize("mirror", [False, True])
def test_the_teacher_answers_for_mirrored_images(mirror: bool) -> None:
    settings = replace(SETTINGS, mirror=mirror, learning_rate=0.05, epochs=4, weight_decay=0.0)
    student, teacher = Sided(0.0), Sided(1.0)
    learnt = finish(recover(student, teacher, LeftOnly(), settings)).state_dict["weight"]
    assert (abs(float(learnt[1]) - 1) < 0.2) is mirror


@pytest.mark.parametrize("sides", [Sides.DRAWN, Sides.BOTH])
def test_classes_are_taught_by_the_mean_of_both_sides_where_that_is_asked_for(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught, task, teacher = list[Any](), ToyTask(), nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    whole = training.distillation_loss

    def noted(outputs: Any, one: Any, *rest: Any) -> Any:
        taught.append(one)
        return whole(outputs, one, *rest)

    monkeypatch.setattr(training, "distillation_loss", noted)
    settings = replace(SETTINGS, learning_rate=1e-3)
    finish(fine_tune(student, teacher, task, settings, mirror=sides))
    with torch.no_grad():
        answers = [torch.stack([teacher(x), teacher(x.flip(-1))]) for x, _ in task.batches(Split.TRAIN, seed=1)]
    means = torch.cat([one.mean(0) for one in answers])
    found = torch.cat(taught[-len(answers) :])
    assert len(found) == len(means) == 256
    single = torch.cat([side for one in answers for side in one])
    exact = "donot_use_mm_for_euclid_dist"  # whatever order they came in
    off, either = (torch.cdist(found, some, compute_mode=exact).min(1).values for some in (means, single))
    assert (float(off.max()) < 1e-4) is (sides is Sides.BOTH) and (float(either.max()) < 1e-4) is (sides is Sides.DRAWN)


def test_the_datas_own_loss_does_not_go_with_mirrored_images() -> None:
    with pytest.raises(SecateurError, match="Set the distillation weight to 1"):
        finish(recover(Sided(0.0), Sided(1.0), LeftOnly(), replace(SETTINGS, distillation=0.9)))
