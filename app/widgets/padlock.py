"""The sign of what is locked, the same wherever structures and layers are drawn."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

WIDTH = 8.0
"""Of a padlock of the first size, in device-independent pixels."""


def padlock(painter: QPainter, centre: QPointF, colour: QColor | str, scale: float = 1.0) -> None:
    """Draw a small padlock."""
    colour = QColor(colour)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(centre)
    painter.scale(scale, scale)
    painter.setPen(QPen(colour, 1.4))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawArc(QRectF(-2.5, -5, 5, 7), 0, 180 * 16)
    painter.fillRect(QRectF(-WIDTH / 2, -1, WIDTH, 5.5), colour)
    painter.restore()
