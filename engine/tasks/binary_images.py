"""Images in the binary formats of MNIST (idx) and CIFAR."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Message
from ..storage.file_limits import check_special, check_unpacked, read_whole
from .arrays import Arrays
from .data_task import DataTask
from .protocol import Split, TaskSpec
from .purposes.table import purpose_of
from .splitting import divide, seed_of

IDX = {Split.TRAIN: ("train",), Split.TEST: ("t10k", "test")}
CIFAR = {Split.TRAIN: ("data_batch_*.bin", "train.bin"), Split.TEST: ("test_batch.bin", "test.bin")}
NAMES = ("batches.meta.txt", "fine_label_names.txt")
PIXELS = 3 * 32 * 32


def open_idx(spec: TaskSpec) -> DataTask:
    """Open a folder of idx files, plain or gzipped."""
    folder = _data_folder(spec)
    parts: dict[Split, tuple[NDArray[Any], NDArray[Any]]] = {}
    for split, names in IDX.items():
        images, labels = (_find(folder, names, f"-{kind}-ubyte*") for kind in ("images-idx3", "labels-idx1"))
        if images and labels:
            parts[split] = _read_idx(images[0]), _read_idx(labels[0])
    return _make_task(spec, parts, (), Message("task.idx", "train-images-idx3-ubyte and train-labels-idx1-ubyte"))


def open_cifar(spec: TaskSpec) -> DataTask:
    """Open a folder of CIFAR-10's or CIFAR-100's binary version."""
    folder, parts = _data_folder(spec), dict[Split, tuple[NDArray[Any], NDArray[Any]]]()
    for split, patterns in CIFAR.items():
        files = _find(folder, patterns, "")
        if not files:
            continue
        for file in files:
            check_special(file, DataError)
            check_unpacked(file, file.stat().st_size, error=DataError)
        data = np.concatenate([np.frombuffer(file.read_bytes(), np.uint8) for file in files])
        # A record is the class and the pixels; CIFAR-100 has the coarse class in front.
        before = 2 if files[0].name in ("train.bin", "test.bin") else 1
        if not len(data) or len(data) % (before + PIXELS):
            raise _damaged(files[0])
        records = data.reshape(-1, before + PIXELS)
        parts[split] = records[:, before:].reshape(-1, 3, 32, 32), records[:, before - 1].astype(np.int64)
    names: list[str] = []
    if found := [folder / name for name in NAMES if (folder / name).is_file()]:
        try:
            names = read_whole(found[0], error=DataError).decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise _damaged(found[0], str(error)) from error
    return _make_task(
        spec,
        parts,
        tuple(name for name in names if name.strip()),
        Message("task.cifar", "data_batch_1.bin (the binary version: pickles are never loaded)"),
    )


def _make_task(
    spec: TaskSpec, parts: dict[Split, tuple[NDArray[Any], NDArray[Any]]], names: tuple[str, ...], expected: Message
) -> DataTask:
    """A classification of what was found, divided further where splits are missing."""
    if not parts:
        template = "{path} does not contain {expected}. Choose another folder."
        raise DataError("binary.missing", template, path=spec.path, expected=expected)
    if any(len(x) != len(y) for x, y in parts.values()):
        raise DataError(
            "binary.lengths",
            "{path} does not contain as many images as labels. Download it again.",
            path=spec.path,
        )
    rows = divide({split: len(x) for split, (x, _) in parts.items()}, seed_of(spec))
    x, y = ({split: parts[source][part][taken] for split, (source, taken) in rows.items()} for part in (0, 1))
    return DataTask(spec, Arrays(Path(spec.path).name, names, x, y, spec), purpose_of(spec, "classification"))


def _data_folder(spec: TaskSpec) -> Path:
    """The folder, or `raw` below it, where torchvision keeps the files."""
    folder = Path(spec.path)
    return folder / "raw" if (folder / "raw").is_dir() else folder


def _find(folder: Path, names: tuple[str, ...], end: str) -> list[Path]:
    return [file for name in names for file in sorted(folder.glob(name + end))]


def _damaged(file: Path, details: str = "") -> DataError:
    return DataError("binary.damaged", "{path} is damaged. Download it again.", details=details, path=str(file))


def _read_idx(file: Path) -> NDArray[Any]:
    """Bytes of an idx file: two zeros, a type, the number of dimensions, each size as four bytes, then the content."""
    check_special(file, DataError)
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            begin = opened.read(4)
            shape = np.frombuffer(opened.read(4 * begin[3]), ">u4", count=begin[3]).tolist()
            check_unpacked(file, size := math.prod(shape), error=DataError)
            content = np.frombuffer(opened.read(size + 1), np.uint8).reshape(shape)
        if not size:
            raise ValueError("it is empty")
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise _damaged(file, str(error)) from error
    return content.astype(np.int64) if len(shape) == 1 else content
