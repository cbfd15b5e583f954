"""Numbers the axes: every distinct array of components that a dimension of a tensor has."""

import numpy as np
from numpy.typing import NDArray

from .solver.labels import Dim
from .solver.solve import Solution, joined_ranges


class AxisTable:
    """Gives equal arrays of components one number; arrays of which nothing can go have -1."""

    def __init__(self, solution: Solution) -> None:
        """Start without axes."""
        self._solution = solution
        self._numbers: dict[bytes, int] = {}
        self._seen: dict[int, tuple[Dim, int]] = {}
        self._distinct: dict[int, tuple[Dim, tuple[int, int]]] = {}
        self.arrays: list[NDArray[np.int64]] = []

    def number(self, dim: Dim) -> int:
        """The axis of a dimension, -1 where it is untracked or wholly fixed."""
        if dim is None:
            return -1
        known = self._seen.get(id(dim))
        if known is None:
            # The array is kept with its number: freed, another array could get its id.
            known = self._seen[id(dim)] = (dim, self._find(self._solution.component[dim.ravel()]))
        return known[1]

    def distinct(self, dim: Dim) -> tuple[int, int]:
        """(axis, repeats): the axis with each component once, and how often each occurs in the dimension."""
        if dim is None:
            return -1, 1
        known = self._distinct.get(id(dim))
        if known is not None:
            return known[1]
        components = self._solution.component[dim.ravel()]
        found = None
        # Most have each component once; sorting the others is what takes long.
        if not (components[1:] > components[:-1]).all():
            distinct, counts = np.unique(components, return_counts=True)
            if counts[0] > 1 and (counts == counts[0]).all():
                found = self._find(distinct), int(counts[0])
        found = found or (self.number(dim), 1)
        self._distinct[id(dim)] = dim, found
        return found

    def _find(self, components: NDArray[np.int64]) -> int:
        key = components.tobytes()
        known = self._numbers.get(key)
        if known is None:
            fixed = bool((self._solution.reason[components] >= 0).all())
            known = self._numbers[key] = -1 if fixed else len(self.arrays)
            self.arrays += [] if fixed else [components]
        return known

    def start(self) -> NDArray[np.int64]:
        """[A + 1] where each axis begins among the positions."""
        return np.concatenate([[0], np.cumsum([len(a) for a in self.arrays])]).astype(np.int64)

    def pairs(self) -> NDArray[np.int64]:
        """[2, *] (base component, position): every position that goes with a base."""
        if not self.arrays:
            return np.zeros((2, 0), dtype=np.int64)
        components = np.concatenate(self.arrays)
        low = self._solution.base_start[components]
        lengths = self._solution.base_start[components + 1] - low
        bases = self._solution.base[joined_ranges(low, lengths)]
        return np.stack([bases, np.repeat(np.arange(len(components)), lengths)])


def csr(owner: NDArray[np.int64], count: int, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values sorted by owner, and where each owner's begin ([count + 1])."""
    order = np.lexsort((values, owner))
    return np.searchsorted(owner[order], np.arange(count + 1)).astype(np.int64), values[order]
