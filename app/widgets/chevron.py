"""Small arrows drawn with the pen of the look: for combo boxes, spin boxes and tree branches."""

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

_SHAPES = {
    "down": ((-3.5, -1.75), (0.0, 1.75), (3.5, -1.75)),
    "up": ((-3.5, 1.75), (0.0, -1.75), (3.5, 1.75)),
    "right": ((-1.75, -3.5), (1.75, 0.0), (-1.75, 3.5)),
}


def chevron(painter: QPainter, centre: QPointF, direction: str, colour: str, scale: float = 1.0) -> None:
    """Draw an open arrow, about 7 px wide."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(QColor(colour), 1.5)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.drawPolyline([centre + QPointF(x * scale, y * scale) for x, y in _SHAPES[direction]])
    painter.restore()
