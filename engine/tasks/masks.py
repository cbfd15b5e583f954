"""Segmentation data: folders `images` and `masks` with equal names, below `train`, `val` and `test` or not.

A mask is an image of one channel (or with a palette) whose values are the classes; 255 does not count.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError, Message
from ..messages import all_of
from .data_task import DataTask
from .images import UNREADABLE, ImageReader, fitted, opened_image
from .protocol import Split, TaskSpec
from .purposes.table import purpose_of
from .splitting import divide, seed_of, split_folders

IMAGES, MASKS = "images", "masks"
Pairs = list[tuple[Path, Path]]


class MaskedImages:
    """Images with masks (`Data`).

    Attributes:
        title: Name of the folder.
        classes: None.
        labelled: Always.
    """

    classes: tuple[str, ...] = ()
    labelled = True

    def __init__(self, spec: TaskSpec, found: dict[Split, Pairs]) -> None:
        """Divide the pairs of image and mask."""
        self.title = Path(spec.path).name
        rows = divide({split: len(pairs) for split, pairs in found.items()}, seed_of(spec))
        self._pairs: dict[Split, Pairs] = {
            split: [found[source][row] for row in taken] for split, (source, taken) in rows.items()
        }
        self._images, self._spec = ImageReader(spec), spec

    def size(self, split: Split) -> int:
        """How many images a split has."""
        return len(self._pairs[split])

    def read(self, split: Split, rows: NDArray[np.int64]) -> torch.Tensor:
        """Preprocessed images [n, C, H, W]."""
        return self._images.read([str(self._pairs[split][row][0]) for row in map(int, rows)])

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Classes [n, H, W]."""
        masks = [self._read_mask(self._pairs[split][row][1]) for row in map(int, rows)]
        sizes = sorted({f"{height} x {width}" for height, width in (mask.shape for mask in masks)})
        if len(sizes) > 1:
            template = "The masks have different sizes ({sizes}). Enter the size that the model takes."
            raise DataError("masks.sizes", template, sizes=all_of(sizes[:3]))
        return np.stack(masks)

    def _read_mask(self, file: Path) -> NDArray[np.int64]:
        """Classes [H, W], resized and cropped as the images are, without values between classes."""
        try:
            with opened_image(file, str(file)) as opened:
                classes: NDArray[Any] = np.array(opened)
        except UNREADABLE as error:
            template = "{file} is not a readable image. Remove or replace it."
            raise DataError("folder.unreadable", template, details=str(error), file=str(file)) from error
        if classes.ndim != 2:
            template = "The mask {file} has several channels. Save it with one channel that holds class numbers."
            raise DataError("masks.channels", template, file=str(file))
        mask = torch.from_numpy(classes.astype(np.int64))[None]
        return fitted(mask, self._spec, exact=True)[0].numpy()


def open_masks(spec: TaskSpec) -> DataTask:
    """Open a folder of images and masks."""
    root = Path(spec.path)
    purpose = purpose_of(spec, "segmentation")
    named = split_folders(root, filter(Path.is_dir, root.iterdir()) if root.is_dir() else ())
    found = {split: _pair_files(folder) for split, folder in (named or {Split.TRAIN: root}).items()}
    return DataTask(spec, MaskedImages(spec, found), purpose)


def _pair_files(folder: Path) -> Pairs:
    """Images and masks of the same name, whatever their endings; raises DataError where one is missing."""
    images, masks = ({one.stem: one for one in sorted((folder / name).glob("*.*"))} for name in (IMAGES, MASKS))
    alone = sorted(images.keys() ^ masks.keys())
    if alone or not images:
        template = "{path} needs the folders images and masks with files of the same names. Not in both: {names}."
        names = ", ".join(alone[:5]) or Message("masks.anything", "anything")
        raise DataError("masks.pairs", template, path=str(folder), names=names)
    return [(images[name], masks[name]) for name in sorted(images)]
