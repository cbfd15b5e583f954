"""A score as a bar with its number: length and colour say the same, so that neither is needed alone."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter

from ..theme import px, score_colour, tokens

BAR = 42
"""Width of a bar in device-independent pixels."""


NARROWEST = 60
"""Below this width only the number is drawn."""


def paint_score_bar(painter: QPainter, area: QRectF, fraction: float, text: str, colour: str) -> None:
    """Draw a track filled to `fraction` (NaN: only the track) and the number right of it."""
    painter.save()
    if area.width() >= px(NARROWEST):
        area = _paint_bar(painter, area, fraction)
    painter.setPen(QColor(colour))
    painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)
    painter.restore()


def _paint_bar(painter: QPainter, area: QRectF, fraction: float) -> QRectF:
    """Draw the bar and return what is left for the number."""
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
    return area.adjusted(width + 5, 0, 0, 0)
