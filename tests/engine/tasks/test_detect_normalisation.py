"""Wrong means and deviations are noticed by trying others; right ones, and what cannot be told, give no remark."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from secateur.engine.errors import Message
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.data_hints import better_normalisation
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, Task

from .makers import spec, write_npz

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LABELS = np.arange(400) % 2


class Bright(nn.Module):
    """Class 1 where a standardised image is brighter than the mean of those it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        level = self.dropout(x).mean((1, 2, 3))
        return torch.stack((-level, level), 1)


def images(seed: int = 0) -> NDArray[np.uint8]:
    """[400, 8, 8, 3] around ImageNet's mean, the even ones darker; a tenth of the others is dark all the same."""
    generator = np.random.default_rng(seed)
    bright = np.where(LABELS == 1, 12.0, -12.0) * np.where(generator.random(400) < 0.1, -1, 1)
    noise = generator.normal(0, 3, (400, 8, 8, 3))
    return (255 * np.array(MEAN) + bright[:, None, None, None] + noise).clip(0, 255).astype(np.uint8)


def notes_of(task: Task) -> tuple[Message, ...]:
    model = Bright().train()
    found = finish(better_normalisation(task, model, NeverCancelled()))
    assert model.training and model.dropout.training
    assert found is None or found.spec.mean == pytest.approx(MEAN)
    return () if found is None else (found.message,)


def divided(first: NDArray[Any], second: NDArray[Any], labels: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
    """The same samples as every split that is judged on."""
    given = {"x_train": first, "x_val": second, "x_test": second}
    return given if labels is None else given | {f"y_{split}": labels for split in ("train", "val", "test")}


def test_a_model_that_was_trained_on_other_means_is_noticed(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", **divided(images(), images(1), LABELS))
    (note,) = notes_of(open_task(spec("arrays", path)))
    right = open_task(spec("arrays", path, mean=MEAN, std=STD))
    splits = [*right.batches(Split.VAL, 0), *right.batches(Split.TRAIN, 0)]
    x, y = (torch.cat(part)[:512] for part in zip(*splits, strict=True))
    expected = int((Bright().eval()(x).argmax(1) == y).sum())
    assert note.arguments["after"] == expected > 440
    assert note.arguments["before"] == int(y.sum())  # all are bright
    assert "512 samples" in str(note) and "mean 0.485, 0.456, 0.406 and std 0.229, 0.224, 0.225" in str(note)


@pytest.mark.parametrize("held_out", [1, 6])
def test_a_small_val_split_is_helped_by_the_train_split(tmp_path: Path, held_out: int) -> None:
    path = write_npz(
        tmp_path / "a.npz",
        **{f"x_{split}": images(1)[:held_out] for split in ("val", "test")},
        **{f"y_{split}": LABELS[:held_out] for split in ("val", "test")},
        x_train=images(),
        y_train=LABELS,
    )
    (note,) = notes_of(open_task(spec("arrays", path)))
    assert note.arguments["count"] == 400 + held_out


def test_the_right_means_give_no_remark(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", **divided(images(), images(1), LABELS))
    assert notes_of(open_task(spec("arrays", path, mean=MEAN, std=STD))) == ()


@pytest.mark.parametrize("labels", [np.random.default_rng(3).integers(0, 2, 400), None])
def test_chance_and_data_without_labels_give_no_remark(tmp_path: Path, labels: NDArray[np.int64] | None) -> None:
    path = write_npz(tmp_path / "a.npz", **divided(images(), images(1), labels))
    assert notes_of(open_task(spec("arrays", path))) == ()


def test_what_are_no_pixels_is_left_alone(tmp_path: Path) -> None:
    wide = images().astype(np.float32)  # 0 to 255, not bytes: nobody knows what they are
    path = write_npz(tmp_path / "a.npz", **divided(wide, wide, LABELS))
    assert notes_of(open_task(spec("arrays", path))) == ()


def test_samples_are_drawn_from_all_classes_of_a_sorted_split(tmp_path: Path) -> None:
    order = np.argsort(LABELS, kind="stable")  # as the files of a folder are: one class after the other
    x = images(1)[order]
    path = write_npz(tmp_path / "a.npz", **divided(images()[order], x, LABELS[order]))
    (note,) = notes_of(open_task(spec("arrays", path)))
    assert 0.4 < note.arguments["before"] / note.arguments["count"] < 0.6  # all seem bright: half of them are
