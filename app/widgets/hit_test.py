"""Which point or line of a plot lies under the mouse; all places are in pixels."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF

NEAR = 14.0
"""How near a point the mouse must be."""
Floats = NDArray[np.float64]


def nearest_point(xs: Floats, ys: Floats, preferred: NDArray[np.bool_], where: QPointF) -> int:
    """The point beside a place, -1 where none is near; of two about as near a preferred one wins.

    Args:
        xs: [P] places of all points.
        ys: [P] the same.
        preferred: [P] points of the line that is selected.
        where: The mouse.
    """
    if not len(xs):
        return -1
    distances = np.hypot(xs - where.x(), ys - where.y()) + np.where(preferred, 0.0, 1.0)
    point = int(np.argmin(distances))
    return point if distances[point] < NEAR else -1


def line_at(lines: Iterable[tuple[Floats, Floats]], where: QPointF) -> int:
    """The line ([P] x, rising, and [P] y of its points) that passes a place, -1 for none."""
    best, found = NEAR / 2, -1
    for number, (xs, ys) in enumerate(lines):
        distance = abs(float(np.interp(where.x(), xs, ys, left=np.inf, right=np.inf)) - where.y())
        if distance < best:
            best, found = distance, number
    return found
