"""Data in an .npz or a folder of them; without named splits it is divided by a seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError, Message
from .data_task import DataTask
from .image_samples import channels_first, normalise
from .npz_files import EXPECTED, BySplit, load_arrays, samples_and_targets
from .protocol import Split, TaskSpec
from .purposes.table import purpose_of
from .splitting import divide, seed_of


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
    """Open an .npz, or a folder of them; a classification, unless the specification says else."""
    purpose = purpose_of(spec, "classification", "regression", "segmentation")
    return DataTask(spec, read_arrays(Path(spec.path), spec, title=Path(spec.path).name), purpose)


def read_arrays(path: Path, spec: TaskSpec, title: str) -> Arrays:
    """Read, check and divide the arrays of a file or folder."""
    arrays = load_arrays(path)
    x, y = samples_and_targets(arrays)
    _check_names(path, arrays, x, y)
    for split, samples in x.items():
        _check_split(split, samples, y.get(split))
    rows = divide({split: len(array) for split, array in x.items()}, seed_of(spec))
    classes = tuple(str(name) for name in np.ravel(arrays.get("classes", ())))
    x_of = {split: x[source][taken] for split, (source, taken) in rows.items()}
    y_of = {split: _plain(y[source])[taken] for split, (source, taken) in rows.items() if y}
    return Arrays(title, classes, x_of, y_of, spec)


def _check_names(path: Path, arrays: Mapping[str, Any], x: BySplit, y: BySplit) -> None:
    """Refuse a file without samples, with labels for some splits only, or with samples of different shapes."""
    named: dict[str, Any] = {"path": str(path), "expected": EXPECTED}
    if not x:
        names = ", ".join(arrays) or Message("task.nothing", "nothing")
        raise DataError("arrays.names", "{path} contains {names}. Save it with {expected}.", names=names, **named)
    if y and set(x) != set(y):
        template = "{path} does not have samples and labels for the same splits. Save it with {expected}."
        raise DataError("arrays.unlabelled", template, **named)
    if len({array.shape[1:] for array in x.values()}) > 1:
        shapes = ", ".join(f"{split.value} {array.shape[1:]}" for split, array in x.items())
        raise DataError(
            "arrays.shapes",
            "The splits have samples of different shapes: {shapes}. Give all samples one shape.",
            shapes=shapes,
        )


def _check_split(split: Split, x: NDArray[Any], y: NDArray[Any] | None) -> None:
    """Refuse arrays that are empty or do not belong together."""
    named: dict[str, Any] = {"split": split.value, "shape": x.shape}
    if x.ndim < 2 or not len(x):
        template = "Samples of the {split} split have the shape {shape}; expected [N, ...] with at least one sample."
        raise DataError("arrays.empty", template, **named)
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating)):
        template = "Samples of the {split} split are of type {dtype}; expected bytes, integers or floats."
        raise DataError("arrays.type", template, dtype=str(x.dtype), **named)
    if y is None:
        return
    if y.shape[:1] != x.shape[:1]:
        template = "The {split} split has {count} samples but labels of shape {labels}. Give one label for each sample."
        raise DataError("arrays.lengths", template, count=len(x), labels=y.shape, **named)


def _plain(y: NDArray[Any]) -> NDArray[Any]:
    """Labels in the types that losses take; whole numbers in a column [N, 1] are class numbers [N], masks likewise."""
    kinds = ((np.bool_, np.int64), (np.integer, np.int64), (np.floating, np.float32))
    if not np.issubdtype(y.dtype, np.floating) and y.ndim in (2, 4) and y.shape[1] == 1:
        y = y[:, 0]
    return next((y.astype(plain) for kind, plain in kinds if np.issubdtype(y.dtype, kind)), y)
