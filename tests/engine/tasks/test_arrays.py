"""Reading, dividing, normalising and refusing arrays."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.engine.errors import TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.open import kind_of, open_task
from secateur.engine.tasks.protocol import Split

from .makers import bands, rows_of, spec, write_npz

Y = np.arange(100) % 4
ROWS = {"train": slice(60), "val": slice(60, 80), "test": slice(80, None)}


def test_undivided_arrays_are_divided_by_the_seed_without_overlap(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x=bands(Y, 4), y=Y)
    parts = {
        seed: [rows_of(open_task(spec("arrays", path, options=(("seed", seed),))), split) for split in Split]
        for seed in "01"
    }
    train, val, test = parts["0"]
    assert (len(train), len(val), len(test)) == (80, 10, 10)
    assert len(train | val | test) == 100
    assert parts["0"] == [rows_of(open_task(spec("arrays", path)), split) for split in Split]
    assert parts["0"] != parts["1"]


def test_labels_stay_with_their_samples(tmp_path: Path) -> None:
    task = open_task(spec("arrays", write_npz(tmp_path / "a.npz", x=bands(Y, 4), y=Y), batch=7))
    for split in Split:
        for x, y in task.batches(split, seed=5):
            assert torch.equal(x.mean((1, 3)).unflatten(1, (4, 2)).mean(2).argmax(1), y)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("calibrate", "choose", "report")])
def test_train_val_and_test_are_understood_and_so_are_their_former_names(tmp_path: Path, names: tuple[str, ...]):
    x, arrays = bands(Y, 4), {}
    for name, rows in zip(names, (slice(60), slice(60, 80), slice(80, None)), strict=True):
        arrays |= {f"x_{name}": x[rows], f"y_{name}": Y[rows]}
    path = write_npz(tmp_path / "a.npz", **arrays)
    assert open_task(spec("arrays", path)).info(None).sizes == {"train": 60, "val": 20, "test": 20}


def test_other_names_of_arrays_and_labels_in_a_column_are_understood(tmp_path: Path) -> None:
    both = {"images": bands(Y, 4), "labels": Y[:, None]}
    arrays = {f"{split}_{name}": one[some] for split, some in ROWS.items() for name, one in both.items()}
    task = open_task(spec("arrays", write_npz(tmp_path / "a.npz", **arrays)))
    assert task.info(None).sizes == {"train": 60, "val": 20, "test": 20}
    assert [y.tolist() for _, y in task.batches(Split.VAL)] == [Y[60:80].tolist()]


def test_x_and_y_count_before_other_names(tmp_path: Path) -> None:
    x = bands(Y, 4)
    names, other = np.array(list("abcd")), np.zeros((3, 2))
    task = open_task(spec("arrays", write_npz(tmp_path / "a.npz", data=other, x=x, y=Y, labels=names)))
    assert sum(task.info(None).sizes.values()) == len(Y)


def test_in_a_folder_an_array_that_names_its_split_belongs_there(tmp_path: Path) -> None:
    x = bands(Y, 4)
    both = {f"{letter}_{split}": one[ROWS[split]] for split in ("train", "val") for letter, one in (("x", x), ("y", Y))}
    write_npz(tmp_path / "train.npz", **both)
    write_npz(tmp_path / "test.npz", x=x[ROWS["test"]], y=Y[ROWS["test"]])
    assert open_task(spec("arrays", tmp_path)).info(None).sizes == {"train": 60, "val": 20, "test": 20}


def test_a_folder_has_a_file_for_each_split_or_several(tmp_path: Path) -> None:
    x = bands(Y, 4)
    parts = {"train-1-of-2": slice(30), "train-2-of-2": slice(30, 60), "val": slice(60, 80), "test": slice(80, None)}
    for name, some in parts.items():
        write_npz(tmp_path / f"{name}.npz", images=x[some], labels=Y[some], classes=np.array(list("abcd")))
    task = open_task(spec(kind_of(str(tmp_path)), tmp_path))
    divided = {f"{letter}_{split}": one[some] for split, some in ROWS.items() for letter, one in (("x", x), ("y", Y))}
    whole = open_task(spec("arrays", write_npz(tmp_path / "whole.npz", **divided)))
    assert task.info(None).sizes == whole.info(None).sizes == {"train": 60, "val": 20, "test": 20}
    assert task.info(None).classes == ("a", "b", "c", "d")
    assert all(rows_of(task, split) == rows_of(whole, split) for split in Split)
    write_npz(tmp_path / "train-2-of-2.npz", images=x[30:60, :4], labels=Y[30:60])
    with pytest.raises(TaskError, match="contain images_train of different shapes"):
        open_task(spec("arrays", tmp_path))


def test_a_missing_split_is_taken_from_the_training_samples_never_from_the_test(tmp_path: Path) -> None:
    x = bands(Y, 4)
    path = write_npz(tmp_path / "a.npz", x_train=x[:80], y_train=Y[:80], x_test=x[80:], y_test=Y[80:])
    task = open_task(spec("arrays", path))
    assert task.info(None).sizes == {"train": 72, "val": 8, "test": 20}
    assert not rows_of(task, "train") & rows_of(task, "val")
    assert rows_of(task, "test") == {row.tobytes() for row in (x[80:, None] / np.float32(255)).astype(np.float32)}


def test_bytes_are_scaled_and_standardised_per_channel(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 5)).astype(np.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    path = write_npz(tmp_path / "a.npz", x_train=x, x_val=x, x_test=x)
    (given, _), *_ = open_task(spec("arrays", path, mean=mean, std=std)).batches(Split.TEST)
    expected = (x / 255 - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
    assert np.allclose(given.numpy(), expected, atol=1e-6)


def test_channels_last_are_moved_to_the_front(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 9, 3)).astype(np.uint8)
    path = write_npz(tmp_path / "a.npz", x_train=x, x_val=x, x_test=x)
    (given, _), *_ = open_task(spec("arrays", path)).batches(Split.TEST)
    assert given.shape == (20, 3, 8, 9)
    assert np.allclose(given[7, 1].numpy() * 255, x[7, :, :, 1], atol=1e-4)


def test_prepared_floats_and_tokens_stay_what_they_are(tmp_path: Path) -> None:
    floats, tokens = np.random.default_rng(0).normal(size=(20, 6)), np.arange(120, dtype=np.int32).reshape(20, 6)
    for x, kind in ((floats, torch.float32), (tokens, torch.int64)):
        path = write_npz(tmp_path / f"{kind}.npz", x_train=x, x_val=x, x_test=x)
        task = open_task(spec("arrays", path))
        (given, _), *_ = task.batches(Split.TEST)
        assert given.dtype == kind
        assert np.allclose(given.numpy(), x)
        assert task.info(None).samples[0].image is None


def test_arrays_serve_other_purposes_too(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 1, 4, 4))
    means, masks = x.mean((1, 2, 3)), (x[:, 0] > 0) * 1
    for purpose, y, metric in (("regression", means, "RMSE"), ("segmentation", masks, "mean IoU")):
        path = write_npz(tmp_path / f"{purpose}.npz", x=x, y=y)
        task = open_task(spec("arrays", path, options=(("purpose", purpose),)))
        assert task.info(None).metric == metric
        answer = {"regression": lambda x: x.mean((1, 2, 3)), "segmentation": lambda x: torch.cat([-x, x], 1)}[purpose]
        found = finish(task.evaluate(answer, Split.TEST, NeverCancelled()))
        assert (found.name, found.count) == (metric, 3)
        assert found.value == pytest.approx(0.0 if purpose == "regression" else 1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"pixels": np.zeros((9, 4)), "x_new": np.zeros(9, int)}, "contains pixels, x_new. Save it with x_train"),
        ({"x": np.zeros((30, 4)), "y": np.zeros(29, int)}, "30 samples but labels of shape"),
        ({"x": np.zeros((30, 4)), "y": np.zeros(30)}, "class numbers"),
        ({"x": np.zeros((30, 4)), "y": np.full(30, -1)}, "class numbers"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0, int)}, r"shape \(0, 4\)"),
        ({"x": np.zeros((2, 4)), "y": np.zeros(2, int)}, "Too few"),
        ({"x": np.array([["a", "b"]] * 30)}, "bytes, integers or floats"),
        ({"x_train": np.zeros((30, 4)), "y_train": np.zeros(30, int), "x_test": np.zeros((9, 4))}, "same splits"),
        ({"x_train": np.zeros((30, 4)), "x_test": np.zeros((9, 5))}, "different shapes: train"),
        ({"x": np.array([{"a": 1}] * 30, object)}, "never unpickles"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_with_the_reason(tmp_path: Path, arrays: dict, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        open_task(spec("arrays", write_npz(tmp_path / "a.npz", **arrays)))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = Path(write_npz(tmp_path / "a.npz", x=bands(Y, 4), y=Y)).read_bytes()
    for content in (b"", b"hello, I am no archive", whole[: len(whole) // 2], whole[:2000] + bytes(200) + whole[2200:]):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(TaskError, match="damaged"):
            open_task(spec("arrays", tmp_path / "a.npz"))


def changed(whole: bytes, at: int, value: int) -> bytes:
    """A zip file with another byte at a place of the first entry of its directory."""
    start = whole.index(b"PK\x01\x02") + at
    return whole[:start] + bytes([value]) + whole[start + 1 :]


@pytest.mark.parametrize(
    ("at", "value"),
    [(6, 99), (8, 0x20), (8, 0x40), (8, 0x01), (10, 9), (10, 97), (20, 1)],
    ids=["version", "patch", "strong", "password", "deflate64", "wavpack", "size"],
)
def test_archives_of_kinds_that_cannot_be_read_are_refused(tmp_path: Path, at: int, value: int) -> None:
    whole = Path(write_npz(tmp_path / "a.npz", x=bands(Y, 4), y=Y)).read_bytes()
    (tmp_path / "a.npz").write_bytes(changed(whole, at, value))
    with pytest.raises(TaskError, match="damaged"):
        open_task(spec("arrays", tmp_path / "a.npz"))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_members_that_are_damaged_are_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("x.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", bytes(8)))
    whole = (tmp_path / "a.npz").read_bytes()
    start = 30 + len("x.npy") + 9
    (tmp_path / "a.npz").write_bytes(whole[:start] + b"\xff" * 8 + whole[start + 8 :])
    with pytest.raises(TaskError, match="damaged"):
        open_task(spec("arrays", tmp_path / "a.npz"))


def npy(header: str, content: bytes) -> bytes:
    """An .npy file, whatever its header says."""
    head = header.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + len(head).to_bytes(4, "little") + head + content


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': ('<f4',), 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999999, 0), }",
        "{1: 2, 'descr': '<f4', 'shape': (2,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1e3, 0), }",
        "{'descr': '<f4', 'fortran_order': ",
        "(" * 3000 + ")" * 3000,
        '"""',
    ],
    ids=["tuple", "huge", "keys", "float", "open", "deep", "string"],
)
def test_headers_that_numpy_cannot_read_are_refused(tmp_path: Path, header: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(header, bytes(8)))
    with pytest.raises(TaskError, match="damaged"):
        open_task(spec("arrays", tmp_path / "a.npz"))


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 4)))
    with pytest.raises(TaskError, match="single array"):
        open_task(spec("arrays", tmp_path / "a.npy"))


def test_wrong_means_and_seeds_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x=bands(Y, 4), y=Y)
    with pytest.raises(TaskError, match="1 channels, but 3 values"):
        open_task(spec("arrays", path, mean=(0.1, 0.2, 0.3))).info(None)
    with pytest.raises(TaskError, match="above 0"):
        open_task(spec("arrays", path, std=(0.0,))).info(None)
    with pytest.raises(TaskError, match="whole number"):
        open_task(spec("arrays", path, options=(("seed", "tomorrow"),)))


@pytest.mark.parametrize("form", ["channel", "bool"])
def test_masks_with_a_channel_or_of_truth_values_are_understood(tmp_path: Path, form: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 1, 4, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(bool if form == "bool" else np.int64)
    path = write_npz(tmp_path / "a.npz", x=x, y=y[:, None] if form == "channel" else y, classes="one")
    task = open_task(spec("arrays", path, options=(("purpose", "segmentation"),)))
    answer = lambda x: torch.cat([-x, x], 1)  # noqa: E731
    assert finish(task.evaluate(answer, Split.TEST, NeverCancelled())).value == 1.0
    assert task.loss(answer, next(task.batches(Split.TRAIN))) is not None


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.zeros((40, 4, 4), np.float32), "and type float32; segmentation expects masks"),
        (np.zeros(40, np.int64), r"have shape \[\] and type int64"),
        (np.full((40, 4, 4), -1), "The masks contain the number -1"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, y: np.ndarray, sentence: str) -> None:
    path = write_npz(tmp_path / "a.npz", x=np.zeros((40, 1, 4, 4), np.float32), y=y)
    with pytest.raises(TaskError, match=sentence):
        open_task(spec("arrays", path, options=(("purpose", "segmentation"),)))
