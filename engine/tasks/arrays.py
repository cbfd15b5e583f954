"""Data in an .npz: `x_calibrate`, `y_calibrate`, `x_choose` ... or just `x` and `y`, which are then divided by a seed.

`train`, `val` and `test` are understood as names too. Labels may be absent; nothing is ever unpickled.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message, TaskError
from .data_task import DataTask
from .pixels import channels_first, normalise
from .protocol import Split, TaskSpec
from .purposes.table import purpose_of
from .splitting import ALIASES, divide, seed_of

EXPECTED = Message(
    "task.arrays.expected",
    "x_calibrate, y_calibrate, x_choose, y_choose, x_report, y_report (or train, val, test), or just x and y",
)

BySplit = dict[Split, NDArray[Any]]


class Arrays:
    """Samples held in memory (`Data`).

    Attributes:
        title: Name of the file.
        classes: From the array `classes`, may be empty.
        labelled: Whether there are labels.
    """

    def __init__(self, title: str, classes: tuple[str, ...], x: BySplit, y: BySplit, spec: TaskSpec) -> None:
        """Take x [N, ...] of each split, and y [N, ...] of each or of none."""
        self.title = title
        self.classes = classes
        self.labelled = bool(y)
        self._x = x
        self._y = y
        self._spec = spec

    def size(self, split: Split) -> int:
        """How many samples a split has."""
        return len(self._x[split])

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Class numbers [n], or the numbers to find [n, ...]."""
        return self._y[split][rows]

    def read(self, split: Split, rows: NDArray[np.int64]) -> torch.Tensor:
        """Preprocessed samples [n, C, H, W], or [n, ...] where the arrays are no images."""
        return normalise(channels_first(self._x[split][rows]), self._spec)


def open_arrays(spec: TaskSpec) -> DataTask:
    """Open an .npz; a classification, unless the specification says else."""
    purpose = purpose_of(spec, "classification", "regression", "segmentation")
    return DataTask(spec, read_arrays(Path(spec.path), spec, title=Path(spec.path).name), purpose)


def read_arrays(path: Path, spec: TaskSpec, title: str) -> Arrays:
    """Read, check and divide the arrays of a file."""
    arrays = _load(path)
    x, y = _named(arrays, "x"), _named(arrays, "y")
    _check_names(path, arrays, x, y)
    for split, samples in x.items():
        _check_split(split, samples, y.get(split))
    rows = divide({split: len(array) for split, array in x.items()}, seed_of(spec))
    classes = tuple(str(name) for name in arrays.get("classes", ()))
    x_of = {split: x[source][taken] for split, (source, taken) in rows.items()}
    y_of = {split: _plain(y[source])[taken] for split, (source, taken) in rows.items() if y}
    return Arrays(title, classes, x_of, y_of, spec)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise TaskError("task.missing", "{path} does not exist. Give the path of an .npz.", path=str(path))
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            template = "{path} is a single array. Expected an .npz with {expected}."
            raise TaskError("task.arrays.single", template, path=str(path), expected=EXPECTED)
        with file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if _holds_objects(path, error):
            template = "{path} holds Python objects, and Secateur never unpickles. Save plain arrays of numbers."
            raise TaskError("task.arrays.pickle", template, path=str(path)) from error
        template = "{path} is no .npz or is damaged. Save it again with numpy.savez."
        raise TaskError("task.arrays.damaged", template, details=str(error), path=str(path)) from error


def _holds_objects(path: Path, error: Exception) -> bool:
    """NumPy takes any file that is no array for a pickle; only an archive or array that says so is one."""
    return "Object arrays cannot be loaded" in str(error) and path.stat().st_size > 0


def _named(arrays: Mapping[str, NDArray[Any]], letter: str) -> BySplit:
    """The arrays `x_...` or `y_...` by split; a bare `x` or `y` stands for the one that is divided."""
    found = {split: arrays[f"{letter}_{alias}"] for alias, split in ALIASES.items() if f"{letter}_{alias}" in arrays}
    return found or ({Split.CALIBRATE: arrays[letter]} if letter in arrays else {})


def _check_names(path: Path, arrays: Mapping[str, Any], x: BySplit, y: BySplit) -> None:
    """Refuse a file without samples, with labels for some splits only, or with samples of different shapes."""
    named: dict[str, Any] = {"path": str(path), "expected": EXPECTED}
    if not x:
        names = ", ".join(arrays) or Message("task.nothing", "nothing")
        raise TaskError("task.arrays.names", "{path} holds {names}. Expected: {expected}.", names=names, **named)
    if y and set(x) != set(y):
        template = "{path} does not have samples and labels for the same splits. Expected: {expected}."
        raise TaskError("task.arrays.unlabelled", template, **named)
    if len({array.shape[1:] for array in x.values()}) > 1:
        shapes = ", ".join(f"{split.value} {array.shape[1:]}" for split, array in x.items())
        raise TaskError("task.arrays.shapes", "The splits have samples of different shapes: {shapes}.", shapes=shapes)


def _check_split(split: Split, x: NDArray[Any], y: NDArray[Any] | None) -> None:
    """Refuse arrays that are empty or do not belong together."""
    named: dict[str, Any] = {"split": split.value, "shape": x.shape}
    if x.ndim < 2 or not len(x):
        template = "The samples of the split {split} have the shape {shape}; [N, ...] with N of 1 or more is needed."
        raise TaskError("task.arrays.empty", template, **named)
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating)):
        template = "The samples of the split {split} are of type {dtype}; bytes, integers or floats are needed."
        raise TaskError("task.arrays.type", template, dtype=str(x.dtype), **named)
    if y is None:
        return
    if y.shape[:1] != x.shape[:1]:
        template = "The split {split} has {count} samples but labels of shape {labels}; one for each sample is needed."
        raise TaskError("task.arrays.lengths", template, count=len(x), labels=y.shape, **named)


def _plain(y: NDArray[Any]) -> NDArray[Any]:
    """Labels in the types that losses take."""
    kinds = ((np.integer, np.int64), (np.floating, np.float32))
    return next((y.astype(plain) for kind, plain in kinds if np.issubdtype(y.dtype, kind)), y)
