"""Connected components in numpy: scipy takes longer to import than most models to be analysed."""

import numpy as np
from numpy.typing import NDArray


def merged_components(count: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """[count] the component of each number when `first` and `second` [pairs] are the same, in order of their least.

    Roots hang themselves below smaller neighbours until no pair has two (Shiloach and Vishkin 1982). Each round leaves
    at most half of the roots of a component that is not done.
    """
    root = np.arange(count, dtype=np.int64)
    a, b = first, second
    while True:
        apart = a != b
        if not apart.any():
            return _numbered(root)
        low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
        np.minimum.at(root, high, low)
        _flatten(root)
        a, b = root[low], root[high]


def _flatten(root: NDArray[np.int64]) -> None:
    """Let all point to their root itself."""
    while True:
        further = root[root]
        if np.array_equal(further, root):
            return
        root[:] = further


def _numbered(root: NDArray[np.int64]) -> NDArray[np.int64]:
    """Roots, which are the least of their component, by number instead of by name."""
    numbers = np.cumsum(root == np.arange(len(root))) - 1
    return numbers[root]
