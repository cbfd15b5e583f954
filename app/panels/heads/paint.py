"""How heads are drawn: colour says the score; marked, locked, removed and fixed have a sign of their own as well."""

from functools import cache

from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen

from ...theme import ink, score_colour, tokens
from ...widgets.painting import padlock


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
    fill = fill_colour(fraction)
    painter.fillRect(area, fill)
    painter.setPen(QColor(_ink(fill.name())))
    if text and state == "free":
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
    if state == "marked":
        _strike(painter, area)
    elif state == "locked":
        padlock(painter, area.center(), painter.pen().color())


@cache
def _ink(fill: str) -> str:
    """The colour of a number on a ground, of which there are a few hundred."""
    return ink(fill)


def fill_colour(fraction: float) -> QColor:
    """The colour of a score; a grey of the look where it is unknown."""
    if fraction != fraction:
        return QColor(tokens().edge)
    return QColor(*score_colour(fraction))


def group(painter: QPainter, area: QRectF) -> None:
    """The frame of a key/value group around its query heads."""
    painter.setPen(QPen(QColor(tokens().muted), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(area.adjusted(-1.5, -1.5, 1.5, 1.5), 2, 2)


def chosen(painter: QPainter, area: QRectF, focused: bool, current: bool) -> None:
    """The frame of a selected cell; that of the current one is stronger."""
    look = tokens()
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(look.accent if focused else look.text), 2 if current else 1))
    painter.drawRect(area)


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
