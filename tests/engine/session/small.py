"""A user's own small project on disk: a residual network of 8x8 images, and data that it learns in a second."""

import shutil
from pathlib import Path

import numpy as np

from secateur.engine.foreign_code.read_code import asked
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec

CODE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, 24, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()


class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.block = Block(16)
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        return self.fc(self.block(self.stem(x).relu()).mean((2, 3)))


def make(classes=3):
    torch.manual_seed(0)
    return Net(classes)
"""


def write_project(folder: Path, count: int = 48) -> ModelSpec:
    """Write model.py and data.npz; returns the model with its task."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(CODE)
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {"classes": np.array(["left", "middle", "right"])}
    for split in ("train", "val", "test"):
        labels = np.arange(count) % 3
        images = random.normal(0, 0.3, (count, 1, 8, 8)).astype(np.float32)
        for image, label in zip(images, labels, strict=True):
            image[0, :, 3 * label : 3 * label + 2] += 2
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez(folder / "data.npz", **arrays)  # pyright: ignore[reportArgumentType] - numpy reads its own flags into **
    return ModelSpec(f"{folder / 'model.py'}:make", task=TaskSpec("arrays", str(folder / "data.npz"), batch=16))


def restored(kept: Path) -> Path:
    """Copy `kept` to the folder "work" beside it, which tests of a file change in turn.

    The place stays the same for all of them, because consent to code belongs to a path.
    """
    work = kept.with_name("work")
    shutil.rmtree(work, ignore_errors=True)
    asked.clear()
    return shutil.copytree(kept, work, symlinks=True)


def keep(work: Path) -> Path:
    """Keep the folder "work" as it is now for `restored`."""
    return shutil.copytree(work, work.with_name("kept"), symlinks=True)
