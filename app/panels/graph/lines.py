"""Edges of a layout as painter paths, made once a layout."""

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainterPath

from .boxes import Boxes
from .layout import Bus, Floats, Layout

ROUND = 6.0
"""Radius of the corners of a lane."""


class Lines:
    """All lines of a layout.

    Attributes:
        edges: A path for each edge.
        skips: A path for each line of what skips ahead.
        ties: A path for each tie.
        plain: All edges and skips in one path, for drawings in which they are small.
        tied: All ties in one path.
        spans: [E + L, 2] top and bottom of each edge, then of each line of skips.
        of_box: For each box its edges and skips, as numbers in `spans`.
    """

    def __init__(self, boxes: Boxes, layout: Layout) -> None:
        """Make the paths."""
        self.edges = [_way(points) for points in layout.edges]
        self.skips = [_lane(bus, first=True) for bus in layout.skips]
        self.ties = [_lane(bus, first=False) for bus in layout.ties]
        self.plain, self.tied = QPainterPath(), QPainterPath()
        for path in (*self.edges, *self.skips):
            self.plain.addPath(path)
        for path in self.ties:
            self.tied.addPath(path)
        spans = [(points[:, 1].min(), points[:, 1].max()) for points in layout.edges]
        spans += [(bus.ends[:, 1].min(), bus.ends[:, 1].max()) for bus in layout.skips]
        self.spans: Floats = np.array(spans, np.float64).reshape(-1, 2)
        self.of_box: dict[int, list[int]] = {}
        for number, ends in enumerate((*boxes.edges, *(bus.boxes for bus in layout.skips))):
            for box in ends:
                self.of_box.setdefault(box, []).append(number)

    def path(self, number: int) -> QPainterPath:
        """An edge, or a line of skips behind them."""
        return self.edges[number] if number < len(self.edges) else self.skips[number - len(self.edges)]


def _way(points: Floats) -> QPainterPath:
    """Through the points of an edge, upright where it begins and ends."""
    path = QPainterPath(QPointF(*points[0].tolist()))
    for (x, y), (to_x, to_y) in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        if abs(x - to_x) < 0.5:
            path.lineTo(to_x, to_y)
        else:
            middle = (y + to_y) / 2
            path.cubicTo(x, middle, to_x, middle, to_x, to_y)
    return path


def _lane(bus: Bus, first: bool) -> QPainterPath:
    """Out to the lane, along it, and back to each box; `first`: an arrow at all but the first end."""
    path, (low, high) = QPainterPath(), (bus.ends[:, 1].min(), bus.ends[:, 1].max())
    path.moveTo(bus.lane, low + ROUND)
    path.lineTo(bus.lane, high - ROUND)
    side = 1.0 if bus.lane > bus.ends[:, 0].max() else -1.0
    for number, (x, y) in enumerate(bus.ends.tolist()):
        turn = ROUND if y < high else -ROUND
        path.moveTo(bus.lane, y + turn)
        path.quadTo(bus.lane, y, bus.lane - side * ROUND, y)
        path.lineTo(x, y)
        if first and number:
            path.addPath(_arrow(x, y, side))
    return path


def _arrow(x: float, y: float, side: float) -> QPainterPath:
    path = QPainterPath(QPointF(x + side * 5, y - 3))
    path.lineTo(x, y)
    path.lineTo(x + side * 5, y + 3)
    return path


def rectangle(layout: Layout, box: int) -> QRectF:
    """Where a box is, in units."""
    return QRectF(*layout.places[box].tolist())
