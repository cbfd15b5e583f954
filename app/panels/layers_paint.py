"""How the bars of the Layers tab are drawn, and the names of the stages above them."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from ..theme import score_colours, tokens
from ..theme.values import CAPTION

if TYPE_CHECKING:
    from .layers import Bar


def bar(painter: QPainter, area: QRectF, shown: "Bar", widest: int, current: bool, focused: bool) -> None:
    """The whole layer pale, and what is kept of it in the colour of its score, both about the middle."""
    look = tokens()
    gap = 2.0 if area.width() > 8 else 1.0 if area.width() > 4 else 0.0
    whole = _about_middle(area, shown.width / widest, gap)
    painter.fillRect(whole, QColor(look.line))
    if shown.fixed:
        painter.setPen(QPen(QColor(look.muted), 1))
        painter.setBrush(Qt.BrushStyle.BDiagPattern)
        painter.drawRect(whole.adjusted(0.5, 0.5, -0.5, -0.5))
    else:
        known = shown.fraction == shown.fraction
        colour = QColor(*map(int, score_colours([shown.fraction])[0])) if known else QColor(look.muted)
        painter.fillRect(_about_middle(area, shown.kept / widest, gap), colour)
    if current:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(look.accent if focused else look.text), 2))
        painter.drawRect(whole.adjusted(-1, -1, 1, 1))


def stages(painter: QPainter, columns: list[tuple[str, QRectF]]) -> None:
    """The first part of the paths, once where it begins, left out where it would touch the one before."""
    look = tokens()
    font = painter.font()
    font.setPixelSize(CAPTION)
    painter.setFont(font)
    end, last = -1.0, ""
    for name, area in columns:
        if name == last:
            continue
        last = name
        painter.setPen(QPen(QColor(look.line), 1))
        painter.drawLine(QLineF(area.left(), 18, area.left(), area.top() + 2))
        width = painter.fontMetrics().horizontalAdvance(name)
        left = min(area.left(), columns[-1][1].right() - width)
        if left > end:
            painter.setPen(QColor(look.muted))
            painter.drawText(QPointF(left, 14), name)
            end = left + width + 4


def _about_middle(area: QRectF, part: float, gap: float) -> QRectF:
    height = max(3.0, area.height() * part)
    return QRectF(area.left() + gap / 2, area.center().y() - height / 2, max(1.0, area.width() - gap), height)
