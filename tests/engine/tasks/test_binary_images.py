"""The files of MNIST and CIFAR."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from secateur.engine.errors import TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split

from .makers import Brightest, bands, rows_of, spec

LABELS = np.arange(40, dtype=np.uint8) % 4
PIXELS = bands(LABELS.astype(np.int64), 4)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read(tmp_path: Path, packed: bool) -> None:
    for name, rows in (("train", slice(0, 30)), ("t10k", slice(30, 40))):
        for kind, array in (("images-idx3", PIXELS[rows]), ("labels-idx1", LABELS[rows])):
            data = idx(array)
            file = tmp_path / f"{name}-{kind}-ubyte{'.gz' * packed}"
            file.write_bytes(gzip.compress(data) if packed else data)
    task = open_task(spec("idx", tmp_path))
    assert task.info(None).sizes == {"train": 27, "val": 3, "test": 10}
    assert rows_of(task, "test") == {(one[None] / np.float32(255)).tobytes() for one in PIXELS[30:]}
    assert finish(task.evaluate(Brightest(4), Split.TEST, NeverCancelled())).value == 1.0


@pytest.mark.parametrize("coarse", [True, False])
def test_cifars_binary_files_are_read(tmp_path: Path, coarse: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32)).astype(np.uint8)
    front = [np.full((40, 1), 9, np.uint8)] if coarse else []
    records = np.concatenate([*front, LABELS[:, None], pixels.reshape(40, -1)], 1)
    (tmp_path / ("train.bin" if coarse else "data_batch_1.bin")).write_bytes(records[:30].tobytes())
    (tmp_path / ("test.bin" if coarse else "test_batch.bin")).write_bytes(records[30:].tobytes())
    (tmp_path / ("fine_label_names.txt" if coarse else "batches.meta.txt")).write_text("a\nb\nc\nd\n\n")
    task = open_task(spec("cifar", tmp_path))
    info = task.info(None)
    assert (info.sizes, info.classes) == ({"train": 27, "val": 3, "test": 10}, ("a", "b", "c", "d"))
    ((x, y),) = task.batches(Split.TEST)
    assert np.array_equal((x.numpy() * 255).round(), pixels[30:]) and np.array_equal(y, LABELS[30:])


def test_pickles_and_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x01.")
    with pytest.raises(TaskError, match="binary version: pickles are never loaded"):
        open_task(spec("cifar", tmp_path))
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3074))
    with pytest.raises(TaskError, match=r"data_batch_1\.bin is damaged"):
        open_task(spec("cifar", tmp_path))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS)[:-1])
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    with pytest.raises(TaskError, match="images-idx3-ubyte is damaged"):
        open_task(spec("idx", tmp_path))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS[1:]))
    with pytest.raises(TaskError, match="as many images as labels"):
        open_task(spec("idx", tmp_path))


def test_a_damaged_archive_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    whole = gzip.compress(idx(LABELS))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(PIXELS)))
    for place in range(10, len(whole) - 8):
        (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        )
        with pytest.raises(TaskError):
            open_task(spec("idx", tmp_path))
