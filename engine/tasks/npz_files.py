"""Reads arrays by split: from the names of arrays in an .npz, or from files called train, val and test.

An array's name says a split and what it holds, in either order: `x_train`, `train_images`, `y_val`, `test_labels`;
without a split it is that of its file, or is divided later. Nothing is ever unpickled.
"""

import math
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Message
from ..storage.file_limits import ARCHIVE_ERRORS, check_archive, check_special
from .protocol import Split
from .split_files import files_by_split
from .splitting import ALIASES

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
        return _load(path)
    found: dict[str, list[NDArray[Any]]] = {}
    for split, files in files_by_split(str(path), (".npz",)).items():
        for file in files:
            for name, array in _load(file).items():
                role, own = _said(name)
                found.setdefault(f"{role}_{own or split}" if role else name, []).append(array)
    return {name: _joined(path, name, arrays) for name, arrays in found.items()}


def samples_and_targets(arrays: Mapping[str, NDArray[Any]]) -> tuple[BySplit, BySplit]:
    """Samples and targets by split; those of no split stand for TRAIN, which is divided then."""
    return _named(arrays, SAMPLES), _named(arrays, TARGETS)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    check_special(path, DataError)
    if not path.is_file():
        raise DataError("arrays.missing", "{path} does not exist. Name an .npz file.", path=str(path))
    try:
        with path.open("rb") as opened:
            if opened.read(len(NPY)) == NPY:
                template = "{path} is a single array. Save an .npz with {expected}."
                raise DataError("arrays.single", template, path=str(path), expected=EXPECTED)
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (*ARCHIVE_ERRORS, *HEADER_ERRORS) as error:
        if _holds_objects(path, error):
            template = "{path} contains Python objects, which Secateur never unpickles. Save plain arrays of numbers."
            raise DataError("arrays.pickle", template, path=str(path)) from error
        template = "{path} is damaged or not an .npz file. Save it again with numpy.savez."
        raise DataError("arrays.damaged", template, details=str(error), path=str(path)) from error


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise an error where the file, or an array by its header, has more in it than lies on disk."""
    check_archive(path, archive, DataError)
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            continue
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > info.file_size:
            raise ValueError(f"{info.filename} is shorter than its shape {shape}")


def _holds_objects(path: Path, error: Exception) -> bool:
    """NumPy takes any file that is no array for a pickle; only an archive or array that says so is one."""
    return "Object arrays cannot be loaded" in str(error) and path.stat().st_size > 0


def _joined(path: Path, name: str, arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """The arrays of several files of one split behind each other; what holds no samples is taken once."""
    if not _said(name)[0] or len(arrays) == 1:
        return arrays[0]
    try:
        return np.concatenate(arrays)
    except ValueError as error:
        template = "The files in {path} contain {name} of different shapes: {error}. Give all one shape."
        raise DataError("arrays.parts", template, path=str(path), name=name, error=str(error)) from error


def _named(arrays: Mapping[str, NDArray[Any]], roles: tuple[str, ...]) -> BySplit:
    """The arrays of a role by split, the first of its names; one without a split counts where none has one."""
    found, bare = BySplit(), BySplit()
    for role in roles:
        for name, array in arrays.items():
            said, split = _said(name)
            if said == role:
                (bare if split is None else found).setdefault(split or Split.TRAIN, array)
    return found or bare


def _said(name: str) -> tuple[str, Split | None]:
    """What an array's name says that it holds, and of which split; ("", None) where it says neither."""
    first, _, second = name.lower().partition("_")
    role, split = (second, first) if first in ALIASES else (first, second)
    if role not in (*SAMPLES, *TARGETS) or (split and split not in ALIASES):
        return "", None
    return role, ALIASES.get(split)
