"""How heads are drawn: colour says the score; marked, locked, removed and fixed have a sign of their own as well."""

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen

from ...theme import score_colours, sizes, tokens
from ...theme.design_tokens import luminance


def cell(painter: QPainter, area: QRectF, fraction: float, state: str, text: str) -> None:
    """One head: filled by its score, struck where it is marked, with a lock, only an outline where it is removed."""
    look = tokens()
    painter.setPen(Qt.PenStyle.NoPen)
    if state == "removed":
        painter.setPen(QPen(QColor(look.muted), 1, Qt.PenStyle.DotLine))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))
        return
    if state == "fixed":
        painter.fillRect(area, QColor(look.line))
        painter.fillRect(area, QBrush(QColor(look.muted), Qt.BrushStyle.BDiagPattern))
        return
    fill = score_colour(fraction)
    painter.fillRect(area, fill)
    painter.setPen(QColor("#ffffff" if luminance(fill.name()) < 0.3 else "#14171b"))
    if text and state == "free":
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
    if state == "marked":
        _strike(painter, area)
    elif state == "locked":
        _lock(painter, area.center(), painter.pen().color())


def score_colour(fraction: float) -> QColor:
    """The colour of a score; a grey of the look where it is unknown."""
    if fraction != fraction:
        return QColor(tokens().edge)
    return QColor(*map(int, score_colours([fraction])[0]))


def group(painter: QPainter, area: QRectF) -> None:
    """The frame of a key/value group around its query heads."""
    painter.setPen(QPen(QColor(tokens().muted), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(area.adjusted(-1.5, -1.5, 1.5, 1.5), 2, 2)


def current(painter: QPainter, area: QRectF, focused: bool) -> None:
    """The frame of the selected cell."""
    look = tokens()
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(look.accent if focused else look.text), 2))
    painter.drawRect(area.adjusted(-1, -1, 1, 1))


def name(painter: QPainter, area: QRectF, text: str, muted: bool) -> None:
    """The layer of a row, shortened from the left."""
    look = tokens()
    painter.setPen(QColor(look.muted if muted else look.text))
    shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideLeft, int(area.width()))
    painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)


def small(painter: QPainter) -> None:
    """Captions from here on."""
    font = painter.font()
    font.setPixelSize(sizes().caption)
    painter.setFont(font)


def _strike(painter: QPainter, area: QRectF) -> None:
    """Pale, with a cross through it in the colour of what is marked, on a ground that sets it off."""
    look = tokens()
    veil = QColor(look.panel)
    veil.setAlpha(150)
    painter.fillRect(area, veil)
    painter.setPen(QPen(QColor(look.marked), 2))
    inner = area.adjusted(3, 3, -3, -3)
    painter.drawLine(QLineF(inner.bottomLeft(), inner.topRight()))
    painter.drawLine(QLineF(inner.topLeft(), inner.bottomRight()))
    painter.setPen(QPen(QColor(look.marked), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))


def _lock(painter: QPainter, centre: QPointF, colour: QColor) -> None:
    """A small padlock."""
    painter.setPen(QPen(colour, 1.4))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawArc(QRectF(centre.x() - 2.5, centre.y() - 5, 5, 7), 0, 180 * 16)
    painter.fillRect(QRectF(centre.x() - 4, centre.y() - 1, 8, 5.5), colour)
