"""Data in an .npz or a folder of them; without named splits it is divided by a seed."""

import math
import tokenize
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secateur.resources import fashion_mnist
from secateur.resources import samples as bundled

from ..errors import DataError, Message
from ..storage.file_limits import ARCHIVE_ERRORS, check_archive, check_special
from .data_task import DataTask
from .image_samples import channels_first, normalise
from .protocol import Split, TaskSpec
from .purposes.classification import PURPOSE as CLASSIFICATION
from .purposes.table import purpose_of
from .splitting import ALIASES, divide, files_by_split, seed_of

BySplit = dict[Split, NDArray[Any]]
NPY = np.lib.format.MAGIC_PREFIX
HEADER_ERRORS = (tokenize.TokenError, SyntaxError, LookupError, TypeError, OverflowError)
"""What NumPy raises at headers of arrays that are damaged, beside ValueError."""

EXPECTED = Message(
    "arrays.expected",
    "x_train, y_train, x_val, y_val, x_test, y_test, or just x and y",
)
SAMPLES = ("x", "images", "inputs", "data")
TARGETS = ("y", "labels", "targets")
"""What people call their arrays; where a file has several of these, the first counts."""


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, or of a folder's files with the splits of these in their names.

    Raises:
        DataError: There is none, or one that cannot be read.
    """
    if not path.is_dir():
        return _load_file(path)
    found: dict[str, list[NDArray[Any]]] = {}
    for split, files in files_by_split(str(path), (".npz",)).items():
        for file in files:
            for name, array in _load_file(file).items():
                role, own = _parse_name(name)
                found.setdefault(f"{role}_{own or split}" if role else name, []).append(array)
    joined: dict[str, NDArray[Any]] = {}
    for name, arrays in found.items():
        # What holds no samples, such as the names of classes, is the same in each file.
        if not _parse_name(name)[0]:
            joined[name] = arrays[0]
            continue
        try:
            joined[name] = np.concatenate(arrays)
        except ValueError as error:
            template = "The files in {path} contain {name} of different shapes: {error}. Give all one shape."
            raise DataError("arrays.parts", template, path=str(path), name=name, error=str(error)) from error
    return joined


def samples_and_targets(arrays: Mapping[str, NDArray[Any]]) -> tuple[BySplit, BySplit]:
    """Samples and targets by split; those of no split count as TRAIN, which is divided then."""
    return _arrays_of_role(arrays, SAMPLES), _arrays_of_role(arrays, TARGETS)


def _load_file(path: Path) -> dict[str, NDArray[Any]]:
    check_special(path, DataError)
    if not path.is_file():
        raise DataError("arrays.missing", "{path} does not exist. Name an .npz file.", path=str(path))
    try:
        with path.open("rb") as opened:
            if opened.read(len(NPY)) == NPY:
                template = "{path} is a single array. Save an .npz with {expected}."
                raise DataError("arrays.single", template, path=str(path), expected=EXPECTED)
        with zipfile.ZipFile(path) as archive:
            check_archive(path, archive, DataError)
            # NumPy would allocate what the header of an array says, however little of it the file holds.
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                with archive.open(info) as member:
                    version = np.lib.format.read_magic(member)
                    is_first = version == (1, 0)
                    read = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
                    shape, _, dtype = read(member)
                if not dtype.hasobject and math.prod(shape) * dtype.itemsize > info.file_size:
                    raise ValueError(f"{info.filename} is shorter than its shape {shape}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (*ARCHIVE_ERRORS, *HEADER_ERRORS) as error:
        # NumPy takes any file that is no array for a pickle; only an archive or array that says so is one.
        if "Object arrays cannot be loaded" in str(error) and path.stat().st_size > 0:
            template = "{path} contains Python objects, which Secateur never unpickles. Save plain arrays of numbers."
            raise DataError("arrays.pickle", template, path=str(path)) from error
        template = "{path} is damaged or not an .npz file. Save it again with numpy.savez."
        raise DataError("arrays.damaged", template, details=str(error), path=str(path)) from error


def _arrays_of_role(arrays: Mapping[str, NDArray[Any]], roles: tuple[str, ...]) -> BySplit:
    """The arrays of a role by split, the first of its names; one without a split counts where none has one."""
    found, bare = BySplit(), BySplit()
    for role in roles:
        for name, array in arrays.items():
            said, split = _parse_name(name)
            if said == role:
                (bare if split is None else found).setdefault(split or Split.TRAIN, array)
    return found or bare


def _parse_name(name: str) -> tuple[str, Split | None]:
    """What an array's name says that it holds, and of which split; ("", None) where it says neither."""
    first, _, second = name.lower().partition("_")
    role, split = (second, first) if first in ALIASES else (first, second)
    if role not in (*SAMPLES, *TARGETS) or (split and split not in ALIASES):
        return "", None
    return role, ALIASES.get(split)


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
    named: dict[str, Any] = {"path": str(path), "expected": EXPECTED}
    if not x:
        names = ", ".join(arrays) or Message("task.nothing", "nothing")
        raise DataError("arrays.names", "{path} contains {names}. Save it with {expected}.", names=names, **named)
    if y and set(x) != set(y):
        template = "{path} does not have samples and labels for the same splits. Save it with {expected}."
        raise DataError("arrays.unlabelled", template, **named)
    if len({array.shape[1:] for array in x.values()}) > 1:
        shapes = ", ".join(f"{split.value} {array.shape[1:]}" for split, array in x.items())
        template = "The splits have samples of different shapes: {shapes}. Give all samples one shape."
        raise DataError("arrays.shapes", template, shapes=shapes)
    for split, samples in x.items():
        named = {"split": split.value, "shape": samples.shape}
        if samples.ndim < 2 or not len(samples):
            template = (
                "Samples of the {split} split have the shape {shape}; expected [N, ...] with at least one sample."
            )
            raise DataError("arrays.empty", template, **named)
        if not (np.issubdtype(samples.dtype, np.integer) or np.issubdtype(samples.dtype, np.floating)):
            template = "Samples of the {split} split are of type {dtype}; expected bytes, integers or floats."
            raise DataError("arrays.type", template, dtype=str(samples.dtype), **named)
        if y and y[split].shape[:1] != samples.shape[:1]:
            template = (
                "The {split} split has {count} samples but labels of shape {labels}. Give one label for each sample."
            )
            raise DataError("arrays.lengths", template, count=len(samples), labels=y[split].shape, **named)
    rows = divide({split: len(array) for split, array in x.items()}, seed_of(spec))
    classes = tuple(str(name) for name in np.ravel(arrays.get("classes", ())))
    x_of = {split: x[source][taken] for split, (source, taken) in rows.items()}
    y_of = {split: _plain_labels(y[source])[taken] for split, (source, taken) in rows.items() if y}
    return Arrays(title, classes, x_of, y_of, spec)


def _plain_labels(y: NDArray[Any]) -> NDArray[Any]:
    """Labels in the types that losses take; whole numbers in a column [N, 1] are class numbers [N], masks likewise."""
    if not np.issubdtype(y.dtype, np.floating) and y.ndim in (2, 4) and y.shape[1] == 1:
        y = y[:, 0]
    if np.issubdtype(y.dtype, np.floating):
        return y.astype(np.float32)
    return y.astype(np.int64) if np.issubdtype(y.dtype, np.integer) or y.dtype == np.bool_ else y


def open_bundled(spec: TaskSpec) -> DataTask:
    """The bundled images with the normalisation that the bundled networks were trained with."""
    spec = replace(spec, mean=spec.mean or (fashion_mnist.MEAN,), std=spec.std or (fashion_mnist.STD,))
    return DataTask(spec, read_arrays(bundled.arrays(), spec, title="Fashion-MNIST (part)"), CLASSIFICATION)
