"""How a histogram of scores is drawn: marked parts in the colour of marks, the rest in the colours of scores."""

import math

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from secateur.engine.structures.analysis import Mask

from ...text.format import three_digits
from ...theme import px, score_colours, sizes, tokens
from ...widgets.score_map import ScoreScale

BAR = 7
"""Least width of a bar in device-independent pixels."""


def bars(
    painter: QPainter, area: QRectF, scores: NDArray[np.float64], marked: Mask, scale: ScoreScale, high: float
) -> None:
    """Bars over 0..high; in each, what is marked stands below what stays."""
    count = max(8, min(8 + int(2 * len(scores) ** 0.5), 44, int(area.width() // BAR)))
    edges = np.linspace(0.0, high, count + 1)
    all_in, _ = np.histogram(scores, edges)
    marked_in, _ = np.histogram(scores[marked], edges)
    tall = max(int(all_in.max()) if len(scores) else 0, 1)
    width = area.width() / count
    colours = score_colours(scale.fractions((edges[1:] + edges[:-1]) / 2))
    for n in np.flatnonzero(all_in):
        whole, part = (area.height() * v[n] / tall for v in (all_in, marked_in))
        left = area.left() + n * width
        painter.fillRect(QRectF(left, area.bottom() - whole, width - 1, whole - part), QColor(*map(int, colours[n])))
        painter.fillRect(QRectF(left, area.bottom() - part, width - 1, part), QColor(tokens().marked))


def axis(painter: QPainter, area: QRectF, high: float) -> None:
    """A line with a few round numbers below the bars."""
    painter.setPen(QPen(QColor(tokens().edge), 1))
    painter.drawLine(QLineF(area.left(), area.bottom() + 0.5, area.right(), area.bottom() + 0.5))
    font = painter.font()
    font.setPixelSize(sizes().caption)
    painter.setFont(font)
    painter.setPen(QColor(tokens().muted))
    for value in ticks(high, max(2, int(area.width() // 44))):
        x = area.left() + area.width() * value / high
        text = three_digits(value) if value else "0"
        text = text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
        width = painter.fontMetrics().horizontalAdvance(text)
        left = min(max(x - width / 2, area.left() - 6), area.right() + 6 - width)
        painter.drawText(QPointF(left, area.bottom() + px(15)), text)


def ticks(high: float, most: int) -> list[float]:
    """At most about `most` round numbers from 0 to high."""
    raw = high / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(s * size for s in (1, 2, 5, 10) if s * size >= raw * 0.999)
    return [n * step for n in range(int(high / step + 1e-9) + 1)]


def threshold(painter: QPainter, area: QRectF, x: float, text: str, focused: bool) -> None:
    """The line, a knob to take it by, and its value on the side where there is room."""
    look = tokens()
    colour = QColor(look.accent if focused else look.text)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(colour, 1.5))
    painter.drawLine(QLineF(x, area.top() - 6, x, area.bottom()))
    painter.setBrush(colour)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawEllipse(QPointF(x, area.top() - 8), 4, 4)
    font = painter.font()
    font.setPixelSize(sizes().caption)
    font.setWeight(font.Weight.DemiBold)
    painter.setFont(font)
    painter.setPen(colour)
    width = painter.fontMetrics().horizontalAdvance(text)
    left = x + 9 if x + 9 + width < area.right() + 8 else x - 9 - width
    painter.drawText(QPointF(left, area.top() - 4), text)
