"""The official Fashion-MNIST files (Xiao et al. 2017), read and checked, and how the project divides them.

The official 60,000 training images become 55,000 to fit and 5,000 to choose by; the 10,000 test images are for reports
only. A Debian package, dataset-fashion-mnist, installs the files that are read here.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
MEAN, STD = 0.2860, 0.3530
"""Of the pixels of the training images, scaled to 0..1."""

SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""Of the decompressed files: distributors compress them anew."""

VALIDATION = 5_000
SPLIT_SEED = 20


@dataclass(frozen=True, slots=True)
class Images:
    """Labelled images.

    Attributes:
        x: [N, 28, 28] uint8.
        y: [N] int64, index into `CLASSES`.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> "Images":
        """The images of these rows, in their order."""
        return Images(self.x[rows], self.y[rows])


def read_train(folder: Path = DEBIAN_FOLDER) -> tuple[Images, Images]:
    """The official training images as 55,000 to fit and 5,000 to validate, shuffled, always the same ones."""
    images = _read(folder, "train")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images.y))
    return images.take(order[VALIDATION:]), images.take(order[:VALIDATION])


def read_test(folder: Path = DEBIAN_FOLDER) -> Images:
    """The 10,000 official test images."""
    return _read(folder, "t10k")


def _read(folder: Path, part: str) -> Images:
    x = _read_idx(folder, f"{part}-images-idx3-ubyte")
    y = _read_idx(folder, f"{part}-labels-idx1-ubyte")
    return Images(x, y.astype(np.int64))


def _read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    data = gzip.decompress((folder / f"{name}.gz").read_bytes())
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise ValueError(f"{folder / name}.gz is not the official Fashion-MNIST file: its content has another sha256.")
    dimensions = data[3]  # the header: two zeros, a type, the number of dimensions, then each size as four bytes
    shape = np.frombuffer(data, ">u4", count=dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape.astype(int)).copy()
