"""Small data and models for the tests of tasks."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from secateur.engine.tasks.protocol import Task, TaskSpec


class Brightest(nn.Module):
    """Answers with the mean of each of `classes` equal bands of rows: the class is the brightest band."""

    def __init__(self, classes: int, channels: int = 1) -> None:
        """Take images of `channels`."""
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1, bias=False)
        nn.init.ones_(self.conv.weight)
        self.classes = classes
        self.dropout = nn.Dropout(0.9)  # spoils the answers in training mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, C, H, W] to [N, classes]."""
        bands = self.conv(x).mean((1, 3)).unflatten(1, (self.classes, -1)).mean(2)
        return self.dropout(bands)


def bands(labels: NDArray[np.int64], classes: int, size: int = 8) -> NDArray[np.uint8]:
    """Images [N, size, size] whose band of rows number `label` is bright, all different."""
    x = np.random.default_rng(1).integers(0, 50, (len(labels), size, size))
    x += np.where(np.arange(size)[None, :, None] // (size // classes) == labels[:, None, None], 150, 0)
    return x.astype(np.uint8)


def write_npz(path: Path, **arrays: object) -> str:
    """Save arrays and return the path."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def write_folder(root: Path, classes: dict[str, int], size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    """Write PNG images into one sub-folder a class, all different."""
    random = np.random.default_rng(len(str(root)))
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 255, (*size, 3)).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / name / f"{number}.png")


def write_halves(root: Path) -> None:
    """Write images of 8 x 8 whose upper or lower half is bright, into folders of that name."""
    for place, name in enumerate(("top", "bottom")):
        (root / name).mkdir()
        for number in range(20):
            image = np.full((8, 8, 3), number, np.uint8)
            image[place * 4 : place * 4 + 4] += 100
            Image.fromarray(image).save(root / name / f"{number}.png")


def rows_of(task: Task, split: str) -> set[bytes]:
    """The samples of a split as bytes, to compare splits."""
    return {row.numpy().tobytes() for x, _ in task.batches(split) for row in x}  # type: ignore[arg-type]


def spec(kind: str, path: object = "", **further: object) -> TaskSpec:
    """A specification."""
    return TaskSpec(kind, str(path), **further)  # type: ignore[arg-type]
