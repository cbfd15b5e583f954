"""Which rows are shown and in which order: index arithmetic between a row's place and its number, in flat arrays.

Numbers: nodes are 0..N, structures N..N + S. No object is made per row, so hundreds of thousands cost a few arrays.
"""

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Mask

from .rows import Rows

Ints = NDArray[np.int32]


class Arrangement:
    """Places of all shown rows.

    Attributes:
        nodes: N, and with that the number of structure 0's row.
    """

    def __init__(
        self,
        analysis: Analysis,
        rows: Rows,
        structures: Mask,
        shown: NDArray[np.bool_],
        keys: NDArray | None,
        node_keys: NDArray | None = None,
    ) -> None:
        """Lay out the shown structures ([S] mask) and nodes ([N] mask).

        `keys` [S] sort structures within their set, `node_keys` [N] the rows of a node; NaN comes last.
        """
        self.nodes = rows.count
        self._rows = rows
        self._sizes = np.array([*(s.count for s in analysis.sets), 0], np.int64)
        self._expands = np.where(self._sizes[rows.owner] > 1, rows.owner, -1)
        numbers = np.flatnonzero(shown)
        above = rows.parent[numbers]
        # Coupled sets in rows of their own come before the modules of the same node.
        module_rows = numbers < rows.module_count
        by = () if node_keys is None else (node_keys[numbers],)
        order = np.lexsort((numbers, *by, module_rows, above))
        self._below = numbers[order].astype(np.int32)
        counts = np.bincount(above + 1, minlength=self.nodes + 1)
        self._below_start = np.concatenate([[0], np.cumsum(counts)])
        self._place = np.full(self.nodes, -1, np.int32)
        self._place[self._below] = np.arange(len(self._below)) - self._below_start[above[order] + 1]
        self._first = [one.first for one in analysis.sets]
        self._keys = keys
        # Set after set, as the analysis numbers them.
        self._structures = np.flatnonzero(structures).astype(np.int32)
        counts = np.bincount(rows.set_of[self._structures], minlength=len(analysis.sets))
        self._structure_start = np.concatenate([[0], np.cumsum(counts)])
        self._children: dict[int, list[int]] = {}
        self._places: dict[int, list[int]] = {}

    def children(self, above: int) -> list[int]:
        """The rows below a node (-1: the top) in the order shown; sorted only when they are asked for."""
        found = self._children.get(above)
        if found is None:
            found = []
            if above < self.nodes:
                start, end = self._below_start[above + 1], self._below_start[above + 2]
                found = self._below[start:end].tolist()
                if start == end and above >= 0 and self._expands[above] >= 0:
                    found = (self.nodes + self._inside(int(self._expands[above]))).tolist()
            self._children[above] = found
        return found

    def _inside(self, number: int) -> Ints:
        """The shown structures of a set, sorted."""
        inside = self._structures[self._structure_start[number] : self._structure_start[number + 1]]
        return inside if self._keys is None else inside[np.argsort(self._keys[inside], kind="stable")]

    def count(self, above: int) -> int:
        """How many rows a node has below it (-1: the top)."""
        return len(self.children(above))

    def above(self, row: int) -> int:
        """The node above a row, -1 at the top."""
        if row < self.nodes:
            return int(self._rows.parent[row])
        return int(self._rows.set_node[self._rows.set_of[row - self.nodes]])

    def place(self, row: int) -> int:
        """Where a row is below its node, -1 when it is not shown."""
        if row < self.nodes:
            return int(self._place[row])
        number = int(self._rows.set_of[row - self.nodes])
        places = self._places.get(number)
        if places is None:
            inside = self._inside(number)
            found = np.full(int(self._sizes[number]), -1, np.int32)
            found[inside - self._first[number]] = np.arange(len(inside))
            places = self._places[number] = found.tolist()
        return places[row - self.nodes - self._first[number]]

    def row_of_structure(self, structure: int) -> int:
        """The row that shows a structure: its own, or its set's where the set has only this one."""
        node = int(self._rows.set_node[self._rows.set_of[structure]])
        return node if self._expands[node] < 0 else self.nodes + structure

    def nodes_shown(self) -> Ints:
        """Numbers of the nodes that are shown."""
        return np.sort(self._below)

    def holds_structures(self, row: int) -> bool:
        """Whether the rows below a node are structures."""
        return self._below_start[row + 2] == self._below_start[row + 1]
