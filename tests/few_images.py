"""A small part of the bundled images in place of all of them, for tests that do not ask how good a network is."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secateur.resources import samples

SIZES = {"train": 96, "val": 64, "test": 64}
"""Images of each split."""


@contextmanager
def few_images(folder: Path) -> Generator[Path]:
    """Have this process find the first images of each split alone; processes that it starts find all."""
    few = folder / "few.npz"
    with np.load(samples.arrays()) as every:
        arrays: Any = {name: _first(name, every[name]) for name in every.files}
        np.savez(few, **arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "arrays", lambda: few)
        yield few


def _first(name: str, array: np.ndarray) -> np.ndarray:
    return array[: SIZES.get(name.partition("_")[2])]
