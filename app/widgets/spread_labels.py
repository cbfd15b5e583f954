"""Places labels beside their points so that none lies on another, on a point, or outside the plot."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSizeF

GAP = 11.0
"""From a point to its label, in pixels."""


def spread(
    points: Sequence[QPointF], sizes: Sequence[QSizeF], area: QRectF, taken: Sequence[QRectF] = ()
) -> list[QRectF]:
    """A rectangle for each label: the first free place right, left, above or below its point, then further away.

    Where all places lie on what is taken, only other labels and points are kept off.
    """
    dots = [QRectF(p.x() - 5, p.y() - 5, 10, 10) for p in points]
    placed: list[QRectF] = []
    for point, size in zip(points, sizes, strict=True):
        places = [_inside(QRectF(corner, size), area) for corner in _corners(point, size)]
        legible = [p for p in places if not any(p.intersects(o) for o in (*placed, *dots))]
        free = [p for p in legible if not any(p.intersects(o) for o in taken)]
        placed.append((free or legible or places)[0])
    return placed


def _corners(point: QPointF, size: QSizeF) -> list[QPointF]:
    """Upper left corners to try, best first."""
    beside = point.y() - size.height() / 2
    right, left = point.x() + GAP, point.x() - GAP - size.width()
    middle = point.x() - size.width() / 2
    first = [QPointF(right, beside), QPointF(left, beside)]
    first += [QPointF(middle, point.y() - GAP - size.height()), QPointF(middle, point.y() + GAP)]
    steps = [s * size.height() for n in range(1, 7) for s in (n, -n)]
    return first + [QPointF(x, beside + s) for s in steps for x in (right, left)]


def _inside(rect: QRectF, area: QRectF) -> QRectF:
    """Moved so that it lies in the area."""
    x = min(max(rect.left(), area.left()), max(area.left(), area.right() - rect.width()))
    y = min(max(rect.top(), area.top()), max(area.top(), area.bottom() - rect.height()))
    return QRectF(QPointF(x, y), rect.size())
