"""What a classification task reads from: images or vectors with class numbers, wherever they lie."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .protocol import Split


class Labelled(Protocol):
    """Samples of three splits; arrays and image folders are its members.

    Attributes:
        title: What the data is called.
        classes: Names of the classes, may be empty.
    """

    title: str
    classes: tuple[str, ...]

    def size(self, split: Split) -> int:
        """How many samples a split has."""
        ...

    def labels(self, split: Split) -> NDArray[np.int64] | None:
        """Class numbers [N] of a split, None when the data has none."""
        ...

    def read(self, split: Split, rows: NDArray[np.int64]) -> torch.Tensor:
        """Preprocessed samples [n, ...] as the model takes them."""
        ...
