"""Image folders: classes, splits, sizes, and what cannot be read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secateur.engine.errors import TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split
from secateur.engine.tracing.tree import tensors_of

from .makers import Brightest, rows_of, spec, write_folder, write_halves


def test_an_undivided_folder_is_divided_without_overlap_and_always_alike(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", {"cat": 30, "dog": 20})
    task, again = (open_task(spec("folder", tmp_path / "pets")) for _ in range(2))
    info = task.info(None)
    assert (info.title, info.classes, info.sizes) == (
        "pets",
        ("cat", "dog"),
        {"train": 40, "val": 5, "test": 5},
    )
    parts = [rows_of(task, split) for split in Split]
    assert len(set.union(*parts)) == 50
    assert parts == [rows_of(again, split) for split in Split]


def test_train_val_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test"), 3):
        write_folder(tmp_path / split, {"cat": number, "dog": number})
    assert open_task(spec("folder", tmp_path)).info(None).sizes == {"train": 6, "val": 8, "test": 10}


def test_without_a_test_folder_val_is_halved_and_train_is_not_reported_on(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val"), 3):
        write_folder(tmp_path / split, {"cat": number, "dog": number})
    task, trained_on = open_task(spec("folder", tmp_path)), open_task(spec("folder", tmp_path / "train"))
    assert task.info(None).sizes == {"train": 6, "val": 4, "test": 4}
    seen = set.union(*(rows_of(trained_on, split) for split in Split))
    assert rows_of(task, Split.TRAIN) == seen
    assert not (rows_of(task, Split.VAL) | rows_of(task, Split.TEST)) & seen
    assert not rows_of(task, Split.VAL) & rows_of(task, Split.TEST)


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    write_folder(tmp_path, {"test": 20, "control": 20})
    assert open_task(spec("folder", tmp_path)).info(None).classes == ("control", "test")


def test_pixels_arrive_standardised(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 10, "b": 10})
    task = open_task(spec("folder", tmp_path, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)))
    expected = set()
    for file in tmp_path.rglob("*.png"):
        pixels = np.asarray(Image.open(file)).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        standard = (pixels - np.array([[[0.5]], [[0.4]], [[0.3]]], np.float32)) / np.array(
            [[[0.2]], [[0.3]], [[0.4]]], np.float32
        )
        expected.add(standard.round(4).tobytes())
    given = {row.numpy().round(4).tobytes() for split in Split for x, _ in task.batches(split) for row in x}
    assert given == expected


def test_one_mean_asks_for_grey_images(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 10, "b": 10})
    task = open_task(spec("folder", tmp_path, mean=(0.5,), std=(0.5,)))
    assert tensors_of(task.example_inputs())[0].shape == (2, 1, 8, 8)
    assert task.info(Brightest(2)).samples[0].predicted in ("a", "b")


def test_a_size_resizes_the_shorter_side_and_takes_the_middle(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 10}, size=(20, 40))
    (tmp_path / "b").mkdir()
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 10:30] = 255  # the middle half is white
    for number in range(10):
        Image.fromarray(wide).save(tmp_path / "b" / f"{number}.png")
    task = open_task(spec("folder", tmp_path, size=(10, 10)))
    for x, y in task.batches(Split.TRAIN):
        assert x.shape[1:] == (3, 10, 10)
        assert (x[y == 1] > 0.8).all()  # squeezed, the black sides would show


def test_a_model_is_judged_on_images(tmp_path: Path) -> None:
    write_halves(tmp_path)
    task = open_task(spec("folder", tmp_path))
    metric = finish(task.evaluate(Brightest(2, channels=3), Split.TEST, NeverCancelled()))
    assert (metric.value, metric.count) == (0.0, 4)  # the folders sort as bottom, top: the other way round


def test_mixed_sizes_ask_for_a_size(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 9}, size=(8, 8))
    write_folder(tmp_path, {"b": 9}, size=(9, 7))
    with pytest.raises(TaskError, match=r"different sizes .*Enter the size"):
        list(open_task(spec("folder", tmp_path)).batches(Split.TRAIN))


@pytest.mark.parametrize("layout", ["nothing", "no classes", "empty class"])
def test_empty_folders_are_refused(tmp_path: Path, layout: str) -> None:
    if layout == "no classes":
        Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    if layout == "empty class":
        write_folder(tmp_path, {"a": 9})
        (tmp_path / "b").mkdir()
    with pytest.raises(TaskError, match="Put the images of each class into a sub-folder"):
        open_task(spec("folder", tmp_path))


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 10, "b": 10})
    whole = (tmp_path / "a" / "3.png").read_bytes()
    for content in (b"no image", b"", whole[: len(whole) // 2]):
        (tmp_path / "a" / "3.png").write_bytes(content)
        with pytest.raises(TaskError, match=r"3\.png is not a readable image"):
            task = open_task(spec("folder", tmp_path))
            [batch for split in Split for batch in task.batches(split)]


def test_splits_with_different_classes_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 9, "dog": 9})
    write_folder(tmp_path / "test", {"cat": 9, "frog": 9})
    with pytest.raises(TaskError, match="dog, frog"):
        open_task(spec("folder", tmp_path))


def test_more_folders_than_outputs_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, dict.fromkeys("abcd", 9))
    with pytest.raises(TaskError, match="4 classes, but the model has 2 outputs"):
        open_task(spec("folder", tmp_path)).info(Brightest(2, channels=3))


def test_a_second_pass_does_not_decode_again(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 10, "b": 10})
    task = open_task(spec("folder", tmp_path))
    first = [rows_of(task, split) for split in Split]
    for file in tmp_path.rglob("*.png"):
        file.unlink()
    assert first == [rows_of(task, split) for split in Split]


def test_a_purpose_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 9, "b": 9})
    with pytest.raises(TaskError, match="can be used for classification only, not for similarity"):
        open_task(spec("folder", tmp_path, options=(("purpose", "similarity"),)))


def test_two_folders_that_mean_the_same_split_are_refused(tmp_path: Path) -> None:
    for split in ("train", "training", "val", "test"):
        write_folder(tmp_path / split, {"cat": 3, "dog": 3})
    with pytest.raises(TaskError, match="contains train and training, which name the same split"):
        open_task(spec("folder", tmp_path))


def test_an_image_that_would_not_fit_into_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 20})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    with pytest.raises(TaskError, match=r"\.png is not a readable image"):
        open_task(spec("folder", tmp_path)).info(None)
