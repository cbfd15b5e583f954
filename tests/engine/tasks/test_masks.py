"""Images with masks: a segmentation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.engine.errors import TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split

from .makers import spec


def write_pairs(folder: Path, count: int = 20, size: tuple[int, int] = (8, 12)) -> None:
    """Images whose bright pixels are of class 1, the others of class 0."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = random.integers(0, 2, (size[0] // 4, size[1] // 4)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
        Image.fromarray(mask * 200 + np.uint8(number)).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


def bright(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([0.5 - x[:, 0], x[:, 0] - 0.5], 1)


@pytest.mark.parametrize("size", [None, (4, 4)])
def test_pixels_are_judged_by_their_masks_also_resized(tmp_path: Path, size: tuple[int, int] | None) -> None:
    write_pairs(tmp_path)
    task = open_task(spec("masks", tmp_path, size=size))
    (x, y), *_ = task.batches(Split.TRAIN)
    assert x.shape[-2:] == y.shape[-2:] == (size or (8, 12)) and set(y.unique().tolist()) == {0, 1}
    metric = finish(task.evaluate(bright, Split.TEST, NeverCancelled()))
    assert (metric.name, metric.count, metric.percent) == ("mean IoU", 2, True)
    assert metric.value == 1.0 if size is None else metric.value > 0.5
    assert finish(task.evaluate(lambda x: -bright(x), Split.TEST, NeverCancelled())).value < 0.5
    assert task.loss(lambda x: 9 * bright(x), (x, y)) is not None
    assert task.info(bright).samples[0].image is not None


def test_splits_are_folders_and_what_is_missing_is_named(tmp_path: Path) -> None:
    for name, count in (("train", 10), ("val", 3), ("test", 4)):
        write_pairs(tmp_path / name, count)
    assert open_task(spec("masks", tmp_path)).info(None).sizes == {"train": 10, "val": 3, "test": 4}
    (tmp_path / "train" / "masks" / "3.png").unlink()
    with pytest.raises(TaskError, match="Not in both: 3"):
        open_task(spec("masks", tmp_path))
    with pytest.raises(TaskError, match="for segmentation only, not for regression"):
        open_task(spec("masks", tmp_path, options=(("purpose", "regression"),)))


def test_a_mask_in_colour_is_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    for file in (tmp_path / "masks").iterdir():
        Image.open(file).convert("RGB").save(file)
    with pytest.raises(TaskError, match="several channels"):
        list(open_task(spec("masks", tmp_path)).batches(Split.TEST))


def test_masks_of_different_sizes_ask_for_one(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    for number in range(0, 20, 2):
        file = tmp_path / "masks" / f"{number}.png"
        Image.open(file).resize((4, 6)).save(file)
    with pytest.raises(TaskError, match=r"different sizes \(6 x 4 and 8 x 12\). Enter the size"):
        list(open_task(spec("masks", tmp_path)).batches(Split.TRAIN))
    (_, y), *_ = open_task(spec("masks", tmp_path, size=(4, 4))).batches(Split.TRAIN)
    assert y.shape == (16, 4, 4)


def test_masks_of_0_and_255_alone_are_refused_because_255_does_not_count(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    for file in (tmp_path / "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(file)) * np.uint8(255)).save(file)
    with pytest.raises(TaskError, match="only 0 and 255, and 255 marks ignored pixels"):
        open_task(spec("masks", tmp_path))


def test_an_image_of_which_no_pixel_counts_teaches_nothing(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    task = open_task(spec("masks", tmp_path))
    x, y = next(task.batches(Split.TRAIN))
    loss = task.loss(bright, (x, torch.full_like(y, 255)))
    assert loss is not None and loss.item() == 0.0
    mixed = torch.cat([y[:1], torch.full_like(y[:1], 255)])
    parts = [task.loss(bright, given) for given in ((x[:2], mixed), (x[:1], y[:1]))]
    assert parts[0] is not None and parts[0].item() == pytest.approx(float(parts[1]))  # type: ignore[arg-type]


def test_one_image_at_a_time_may_have_any_size_and_a_rare_class_is_found(tmp_path: Path) -> None:
    for count, size in ((20, (8, 12)), (20, (12, 8))):
        write_pairs(tmp_path / str(size[0]), count, size)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for folder in ("8", "12"):
            for file in (tmp_path / folder / name).iterdir():
                file.rename(tmp_path / name / f"{folder}-{file.name}")
    for number, file in enumerate(sorted((tmp_path / "masks").iterdir())):
        mask = np.asarray(Image.open(file))
        Image.fromarray(mask * np.uint8(255) if number < 39 else mask).save(file)  # one holds class 1
    task = open_task(spec("masks", tmp_path, batch=1))
    assert {tuple(y.shape[1:]) for _, y in task.batches(Split.TRAIN)} == {(8, 12), (12, 8)}
