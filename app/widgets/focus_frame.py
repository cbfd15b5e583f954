"""The frame around a widget that paints itself, while it has the focus; the style sheet frames all others."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QWidget

from ..theme import tokens

ROUND = 3.0
"""Radius of its corners, in device-independent pixels."""


def paint_focus(painter: QPainter, widget: QWidget) -> None:
    """Draw it along the edge of a widget, where that has the focus; last of all that the widget paints."""
    if widget.hasFocus():
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QColor(tokens().accent))
        painter.drawRoundedRect(QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5), ROUND, ROUND)
