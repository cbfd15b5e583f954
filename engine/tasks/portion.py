"""Which part of the batches of a training is one process's, where several compute together (`distributed.py`).

All of them go through the same batches in the same order, and each takes its own part: whole batches in turn, where an
update is made of at least as many as there are processes, else some rows of every batch. So the number of processes
changes how long an update takes, and not what is learned.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

EMPTY: Final[Any] = ()
"""Stands for a batch of which nothing is this process's."""


@dataclass(frozen=True, slots=True)
class Portion:
    """A process's part of the batches.

    Attributes:
        rank: Of the process, from 0.
        size: Processes in all.
        turns: Batches of an update, which are dealt out whole; 0: the rows of every batch are.
        least: Rows of a batch that no process has fewer of: BatchNorm needs two. A batch of fewer is that of rank 0.
    """

    rank: int
    size: int
    turns: int = 0
    least: int = 1

    def of(self, rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        """Those rows of the batch with this number in its pass, from 0, that are the process's."""
        parts = 1 if self.turns or len(rows) < self.least else max(min(self.size, len(rows) // self.least), 1)
        first = number % self.turns % self.size if self.turns and len(rows) >= self.least else 0
        place = self.rank - first
        return np.array_split(rows, parts)[place] if 0 <= place < parts else rows[:0]
