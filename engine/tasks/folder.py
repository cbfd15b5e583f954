"""A folder of images with one sub-folder a class, below `train`, `val` and `test` where the data is divided already.

Images are decoded when they are read, and kept as bytes while they fit into `CACHE_BYTES` for a quick second epoch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from ..errors import TaskError
from .classification import Classification
from .pixels import standardise
from .protocol import Split, TaskSpec
from .splitting import ALIASES, divide, seed_of

CACHE_BYTES = 512 * 2**20


class Images:
    """Images on disk (a `Labelled`).

    Attributes:
        title: Name of the folder.
        classes: Names of the sub-folders, sorted.
    """

    def __init__(self, title: str, found: dict[Split, ImageFolder], spec: TaskSpec) -> None:
        """Divide the images that were found."""
        self.title = title
        self.classes = tuple(_names(next(iter(found.values()))))
        listed: dict[Split, list[tuple[str, int]]] = {split: images.samples for split, images in found.items()}
        divided = divide({split: len(files) for split, files in listed.items()}, seed_of(spec))
        self._files: dict[Split, list[tuple[str, int]]] = {}
        for split, (source, rows) in divided.items():
            self._files[split] = [listed[source][row] for row in rows]
        self._spec = spec
        self._decode = _decoder(spec)
        self._load: Callable[[str], Any] = next(iter(found.values())).loader
        self._cache: dict[str, torch.Tensor] = {}
        self._room = CACHE_BYTES

    def size(self, split: Split) -> int:
        """How many images a split has."""
        return len(self._files[split])

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Class numbers [N], in the order of the sub-folders."""
        return np.array([file[1] for file in self._files[split]], np.int64)

    def read(self, split: Split, rows: NDArray[np.int64]) -> torch.Tensor:
        """Preprocessed images [n, C, H, W] float32."""
        files = self._files[split]
        images = [self._image(files[int(row)][0]) for row in rows]
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            sizes = " and ".join(sorted(f"{h} x {w}" for _, h, w in shapes)[:3])
            template = "The images have different sizes ({sizes}). Give the size that the model takes."
            raise TaskError("task.folder.sizes", template, sizes=sizes)
        return standardise(torch.stack(images).float() / 255, self._spec)

    def _image(self, file: str) -> torch.Tensor:
        """Pixels [C, H, W] uint8 of a file."""
        if file in self._cache:
            return self._cache[file]
        try:
            pixels: torch.Tensor = self._decode(self._load(file))
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged files
            template = "{file} is no image that can be read. Remove it or replace it."
            raise TaskError("task.folder.unreadable", template, details=str(error), file=file) from error
        if pixels.numel() <= self._room:
            self._room -= pixels.numel()
            self._cache[file] = pixels
        return pixels


def open_folder(spec: TaskSpec) -> Classification:
    """Open an image folder as a classification task."""
    root = Path(spec.path)
    if not root.is_dir():
        template = "{path} is no folder. Give a folder of images with one sub-folder a class."
        raise TaskError("task.missing", template, path=spec.path)
    found = _find(root)
    _check_classes(root, found)
    return Classification(spec, Images(root.name, found, spec))


def _find(root: Path) -> dict[Split, ImageFolder]:
    """The images below `root` by split; CALIBRATE alone where the folder names none."""
    named = {ALIASES[folder.name.lower()]: folder for folder in sorted(root.iterdir()) if _is_split(folder)}
    if not named:
        return {Split.CALIBRATE: _images(root)}
    return {split: _images(folder) for split, folder in named.items()}


def _is_split(folder: Path) -> bool:
    """True for `train`, `val` ... that hold classes themselves; a class may be called "test" too."""
    return folder.is_dir() and folder.name.lower() in ALIASES and any(inner.is_dir() for inner in folder.iterdir())


def _images(folder: Path) -> ImageFolder:
    try:
        return ImageFolder(str(folder))
    except FileNotFoundError as error:
        template = "{path} has no images in sub-folders, or a sub-folder without any. Expected: one sub-folder a class."
        raise TaskError("task.folder.empty", template, details=str(error), path=str(folder)) from error


def _check_classes(root: Path, found: dict[Split, ImageFolder]) -> None:
    """Class numbers come from the order of the names: every split must have the same ones."""
    every = [set(_names(images)) for images in found.values()]
    odd = set[str]().union(*every) - every[0].intersection(*every)
    if odd:
        template = "The splits in {path} do not have the same classes; not in all of them: {names}."
        raise TaskError("task.folder.classes", template, path=str(root), names=", ".join(sorted(odd)[:5]))


def _names(images: ImageFolder) -> list[str]:
    return images.classes


def _decoder(spec: TaskSpec) -> Any:
    """From a Pillow image to [C, H, W] uint8: grey where one mean is given, resized to cover the size and centred."""
    grey = max(len(spec.mean), len(spec.std)) == 1
    steps: list[Any] = [v2.PILToTensor(), v2.Grayscale(1)] if grey else [v2.PILToTensor()]
    if spec.size is not None:
        steps += [_Cover(spec.size), v2.CenterCrop(list(spec.size))]
    return v2.Compose(steps)


class _Cover:
    """Resizes an image so that it just covers a size, as evaluation of image classifiers usually does."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Cover (height, width)."""
        self._size = size

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Resize [C, H, W]."""
        height, width = image.shape[-2:]
        factor = max(self._size[0] / height, self._size[1] / width)
        size = [max(self._size[0], round(height * factor)), max(self._size[1], round(width * factor))]
        return v2.functional.resize(image, size, antialias=True)
