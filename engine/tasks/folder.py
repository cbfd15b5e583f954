"""A folder of images with one sub-folder a class, below `train`, `val` and `test` where it is already split."""

import json
import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.datasets.folder import IMG_EXTENSIONS

from ..errors import DataError
from ..storage.file_limits import walked
from .data_task import DataTask
from .images import ImageReader
from .protocol import CLASSES, Split, TaskSpec, option
from .purposes.table import purpose_of
from .splitting import ALIASES, divide, seed_of, split_folders


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """The images of a folder with one sub-folder a class.

    Attributes:
        classes: Names of the sub-folders, sorted.
        samples: Files with the numbers of their classes.
    """

    classes: list[str]
    samples: list[tuple[str, int]]


class Images:
    """Images on disk (`Data`).

    Attributes:
        title: Name of the folder.
        classes: Names of the sub-folders, sorted; where the task knows the model's order, all names of that.
        labelled: Always: the folders are the labels.
    """

    labelled = True

    def __init__(self, title: str, found: dict[Split, ClassFolders], spec: TaskSpec) -> None:
        """Divide the images that were found."""
        self.title = title
        self._names = names = next(iter(found.values())).classes
        order: list[str] = json.loads(option(spec, CLASSES, "[]"))
        self.classes = tuple(order if set(names) <= set(order) else names)
        self._numbers = np.array([self.classes.index(name) for name in names], np.int64)
        divided = divide({split: len(images.samples) for split, images in found.items()}, seed_of(spec))
        self._files: dict[Split, list[tuple[str, int]]] = {}
        for split, (source, rows) in divided.items():
            self._files[split] = [found[source].samples[row] for row in rows.tolist()]
        self._images = ImageReader(spec)

    def size(self, split: Split) -> int:
        """How many images a split has."""
        return len(self._files[split])

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class numbers [n]."""
        return self._numbers[[self._files[split][row][1] for row in map(int, rows)]]

    def slices(self, split: Split) -> dict[str, NDArray[np.str_]]:
        """The folder of each image below that of its class: often where, when or by whom it was taken."""
        names = [self._names[number] for _, number in self._files[split]]
        files = [file for file, _ in self._files[split]]
        found = [_folder_of(file, name) for file, name in zip(files, names, strict=True)]
        return {"folder": np.array(found, np.str_)}

    def read(self, split: Split, rows: NDArray[np.int64]) -> torch.Tensor:
        """Preprocessed images [n, C, H, W] float32."""
        return self._images.read([self._files[split][row][0] for row in map(int, rows)])


def _folder_of(file: str, name: str) -> str:
    """The folder of an image below that of its class, "" for one that is in that itself."""
    parts = Path(file).parent.parts
    place = max((n for n, part in enumerate(parts) if part == name), default=len(parts) - 1)
    return "/".join(parts[place + 1 :])


def open_folder(spec: TaskSpec) -> DataTask:
    """Open an image folder as a classification task."""
    root = Path(spec.path)
    found = {split: _list_images(folder) for split, folder in _split_folders(root).items()}
    # Class numbers come from the order of the names: every split must have the same ones.
    every = [set(images.classes) for images in found.values()]
    odd = set[str]().union(*every) - every[0].intersection(*every)
    if odd:
        template = "The splits in {path} have different classes. Give all splits the same; not in all of them: {names}."
        raise DataError("folder.classes", template, path=str(root), names=", ".join(sorted(odd)[:5]))
    return DataTask(spec, Images(root.name, found, spec), purpose_of(spec, "classification"))


def require_images(path: str) -> None:
    """Raise DataError for no folder of images, by its first class; the others are checked when it is opened."""
    for folder in _split_folders(Path(path)).values():
        first = _classes(folder)[:1]
        names = (file for one in first for _, files in walked(folder / one, DataError) for file in files)
        if not any(map(_is_image, names)):
            raise _without_images(folder, first)


def _split_folders(root: Path) -> dict[Split, Path]:
    """The folders of classes by split; TRAIN alone where `root` names none."""
    if not root.is_dir():
        template = "{path} is not a folder. Name a folder of images with one sub-folder for each class."
        raise DataError("folder.missing", template, path=str(root))
    # Only a folder that holds classes itself is a split: a class may be called "test" too.
    named = (one for one in root.iterdir() if one.is_dir() and one.name.lower() in ALIASES)
    splits = [one for one in named if any(inner.is_dir() for inner in one.iterdir())]
    return split_folders(root, splits) or {Split.TRAIN: root}


def _list_images(folder: Path) -> ClassFolders:
    """In the order of torchvision's `ImageFolder`, which follows links without an end."""
    classes = _classes(folder)
    samples: list[tuple[str, int]] = []
    empty: list[str] = []
    visits = count(1)
    for number, name in enumerate(classes):
        places = sorted(walked(folder / name, DataError, visits))
        found = [os.path.join(base, file) for base, files in places for file in files if _is_image(file)]
        samples += [(file, number) for file in found]
        empty += [] if found else [name]
    if empty or not classes:
        raise _without_images(folder, empty)
    return ClassFolders(classes, samples)


def _classes(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.is_dir())


def _without_images(folder: Path, empty: list[str]) -> DataError:
    template = (
        "{path} has no images in sub-folders, or an empty sub-folder. Put the images of each class into a sub-folder."
    )
    details = f"No image of {', '.join(IMG_EXTENSIONS)} in: {', '.join(empty)}" if empty else ""
    return DataError("folder.empty", template, details=details, path=str(folder))


def _is_image(file: str) -> bool:
    return file.lower().endswith(IMG_EXTENSIONS)
