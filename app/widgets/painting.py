"""Small things that several widgets paint: arrows, padlock, focus frame, rubber band, bars of scores and widths."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen
from PySide6.QtWidgets import QWidget

from ..theme import Tokens, px, score_colour, tokens

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


ROUND = 3.0
"""Radius of its corners, in device-independent pixels."""


def paint_focus(painter: QPainter, widget: QWidget) -> None:
    """Draw it along the edge of a widget, where that has the focus; last of all that the widget paints."""
    if widget.hasFocus():
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QColor(tokens().accent))
        painter.drawRoundedRect(QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5), ROUND, ROUND)


def paint_band(painter: QPainter, area: QRectF) -> None:
    """Draw it over what is there."""
    colour = QColor(tokens().marked)
    painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine))
    colour.setAlpha(36)
    painter.setBrush(colour)
    painter.drawRect(area)


def paint_width(
    painter: QPainter, bar: QRectF, look: Tokens, *, present: float, kept: float, score: float, fixed: bool
) -> None:
    """Paint the bar.

    Args:
        painter: Where to.
        bar: As wide as the original's outputs.
        look: Colours.
        present: Part of the bar that the current state has.
        kept: Part that the plan leaves.
        score: Mean score on the scale of the model, NaN where it is not known.
        fixed: The outputs cannot be cut.
    """
    painter.fillRect(bar, QColor(look.line))
    if fixed:
        painter.fillRect(bar, QBrush(QColor(look.muted), Qt.BrushStyle.BDiagPattern))
        return
    if present > kept:
        marked = QRectF(bar.left() + bar.width() * kept, bar.top(), bar.width() * (present - kept), bar.height())
        painter.fillRect(marked, QBrush(QColor(look.marked), Qt.BrushStyle.BDiagPattern))
        painter.fillRect(QRectF(marked.right() - 1, bar.top(), 1, bar.height()), QColor(look.marked))
    colour = QColor(*score_colour(score)) if score == score else QColor(look.muted)
    painter.fillRect(QRectF(bar.left(), bar.top(), max(2.0, bar.width() * kept), bar.height()), colour)


BAR = 42
"""Width of a bar in device-independent pixels."""


NARROWEST = 60
"""Below this width only the number is drawn."""


def paint_score_bar(painter: QPainter, area: QRectF, fraction: float, text: str, colour: str) -> None:
    """Draw a track filled to `fraction` (NaN: only the track) and the number right of it."""
    painter.save()
    if area.width() >= px(NARROWEST):
        look = tokens()
        width = min(BAR, area.width() * 0.45)
        track = QRectF(area.left(), area.center().y() - 3, width, 6)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.line))
        painter.drawRoundedRect(track, 3, 3)
        if fraction == fraction:
            painter.setBrush(QColor(*score_colour(fraction)))
            painter.drawRoundedRect(QRectF(track.left(), track.top(), max(4.0, width * min(fraction, 1.0)), 6), 3, 3)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        area = area.adjusted(width + 5, 0, 0, 0)
    painter.setPen(QColor(colour))
    painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)
    painter.restore()
