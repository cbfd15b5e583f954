"""The rubber band: what it touches is about to be marked."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from ..theme import tokens


def paint_band(painter: QPainter, area: QRectF) -> None:
    """Draw it over what is there."""
    colour = QColor(tokens().marked)
    painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine))
    colour.setAlpha(36)
    painter.setBrush(colour)
    painter.drawRect(area)
