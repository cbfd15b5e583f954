"""What a built-in task reads from: samples of three splits with what is right of them, wherever they lie."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .protocol import Split


class Data(Protocol):
    """Samples of three splits; arrays, image folders, tables and texts are its members.

    Attributes:
        title: What the data is called.
        classes: Names of the classes, may be empty.
        labelled: Whether it is known what is right; otherwise the original says.
    """

    title: str
    classes: tuple[str, ...]
    labelled: bool

    def size(self, split: Split) -> int:
        """How many samples a split has."""
        ...

    def read(self, split: Split, rows: NDArray[np.int64]) -> Any:
        """Preprocessed samples as the model takes them: a tensor [n, ...], or tensors by the names of the inputs."""
        ...

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        """What is right, for each sample, as the purpose takes it; asked for labelled data only."""
        ...


def every(data: Data, split: Split) -> NDArray[np.int64]:
    """All rows of a split."""
    return np.arange(data.size(split))
