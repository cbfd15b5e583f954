"""Gates while they are learned, as plain data for display; nothing is decided by it. No torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Kind


@dataclass(frozen=True, slots=True)
class GateCount:
    """How many gates of a kind are open, in the whole model.

    Attributes:
        kind: Which.
        whole: Structures of the kind.
        expected: Sum of the probabilities that their gates are open.
        target: What `expected` should be at this step.
        final: Structures that stay in the end.
        undecided: Gates that are often open and often closed.
    """

    kind: Kind
    whole: int
    expected: float
    target: float
    final: int
    undecided: int


@dataclass(frozen=True, slots=True, eq=False)
class LearnedGates:
    """Gates at a step of their training.

    Attributes:
        open: [S] how likely each gate is open, 0 or 1 where that is decided; float32.
        final: [K] how many structures of each coupled set stay in the end, where masks choose which.
        counts: Of each kind of which gates are learned.
        step: Steps done.
        steps: Steps in all.
        chosen: It is chosen what stays.
    """

    open: NDArray[np.float32]
    final: NDArray[np.int64]
    counts: tuple[GateCount, ...]
    step: int
    steps: int
    chosen: bool
