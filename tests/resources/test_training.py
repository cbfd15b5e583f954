"""The training script's parts: reading the official files, augmenting, learning, writing."""

import gzip
import json
import os
import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.resources import fashion_mnist, train_samples, write_samples


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a gzipped idx file as the format's description says."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in for the official files, with its own sums."""
    random = np.random.default_rng(0)
    sums = {}
    for part, count in (("train", 60), ("t10k", 20)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            name = f"{part}-{kind}-ubyte"
            write_idx(tmp_path / f"{name}.gz", random.integers(0, 10, shape).astype(np.uint8))
            sums[name] = sha256(gzip.decompress((tmp_path / f"{name}.gz").read_bytes())).hexdigest()
    monkeypatch.setattr(fashion_mnist, "SHA256", sums)
    monkeypatch.setattr(fashion_mnist, "VALIDATION", 10)
    return tmp_path


def test_idx_files_are_read_with_their_labels(official: Path) -> None:
    test = fashion_mnist.read_test(official)
    assert test.x.shape == (20, 28, 28)
    raw = gzip.decompress((official / "t10k-labels-idx1-ubyte.gz").read_bytes())
    assert test.y.tolist() == list(raw[8:])


def test_training_and_validation_images_are_apart_and_always_the_same(official: Path) -> None:
    fit, validation = fashion_mnist.read_train(official)
    again, _ = fashion_mnist.read_train(official)
    assert (len(fit.y), len(validation.y)) == (50, 10)
    assert np.array_equal(fit.x, again.x)
    assert not {x.tobytes() for x in fit.x} & {x.tobytes() for x in validation.x}


def test_changed_files_are_refused(official: Path) -> None:
    write_idx(official / "t10k-images-idx3-ubyte.gz", np.zeros((20, 28, 28), np.uint8))
    with pytest.raises(ValueError, match="sha256"):
        fashion_mnist.read_test(official)


def test_augmentation_only_shifts_and_mirrors() -> None:
    x = np.zeros((400, 28, 28), np.uint8)
    x[:, 10, 12] = 200
    moved = train_samples.augment(x, 2, np.random.default_rng(0))
    assert (moved.sum(axis=(1, 2)) == 200).all()
    places = {tuple(int(i) for i in np.argwhere(image)[0]) for image in moved}
    columns = {*range(10, 15), *range(13, 18)}  # around column 12, and around 27 - 12
    assert places == {(row, column) for row in range(8, 13) for column in columns}


def test_training_learns_and_keeps_the_epoch_that_was_best_on_validation() -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 384)
    x = np.where(np.arange(28)[None, :, None] < 14 * (1 + y[:, None, None]) - 1, 200, 0).astype(np.uint8)
    images = fashion_mnist.Images(np.broadcast_to(x, (384, 28, 28)).copy(), y)
    torch.manual_seed(0)
    model = train_samples.FACTORIES["vit"]()
    settings = train_samples.Settings("adamw", 3, 2e-3, 0.05, 0.0, 0, batch=64)
    best, history = train_samples._fit(model, settings, images.take(np.arange(256)), images.take(np.arange(256, 384)))
    assert max(history) > 0.95
    model.load_state_dict(best)
    held_out = images.take(np.arange(256, 384))
    assert (train_samples.predict(model, held_out) == held_out.y).mean() == max(history)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_samples, "DATA", tmp_path)
    write_samples.write("file", b"old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_samples.write("file", b"new, and longer")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_entries_are_added_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_samples, "DATA", tmp_path)
    write_samples.write_entry("resnet", {"n": 1})
    write_samples.write("a.npz", b"123")
    write_samples.write_entry("vit", {"n": 2})
    summary = json.loads((tmp_path / "samples.json").read_text())
    assert (summary["resnet"], summary["vit"], list(summary["sha256"])) == ({"n": 1}, {"n": 2}, ["a.npz"])
