"""Which point or line of a plot lies under the mouse; all places are in pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF

NEAR = 14.0
"""How near a point the mouse must be."""
Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""[P] x and [P] y of the points of a line, x rising."""


def nearest_point(lines: Sequence[Line], where: QPointF, first: int = -1) -> tuple[int, int] | None:
    """(line, point) beside a place, None where none is near; of two as near that of the line `first` wins."""
    best, found = NEAR, None
    for number in sorted(range(len(lines)), key=lambda n: n != first):
        distances = np.hypot(lines[number][0] - where.x(), lines[number][1] - where.y())
        point = int(np.argmin(distances))
        if distances[point] < best - (0 if number == first else 1):
            best, found = float(distances[point]), (number, point)
    return found


def line_at(lines: Sequence[Line], where: QPointF) -> int:
    """The line that passes a place, -1 for none."""
    best, found = NEAR / 2, -1
    for number, (xs, ys) in enumerate(lines):
        distance = abs(float(np.interp(where.x(), xs, ys, left=np.inf, right=np.inf)) - where.y())
        if distance < best:
            best, found = distance, number
    return found
