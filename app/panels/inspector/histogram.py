"""How the scores of a coupled set are spread, with a threshold to drag: what scores below it is marked at once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from secateur.engine.structures.analysis import Mask

from ...text.format import three_digits
from ...theme import px, score_colours, sizes, tokens
from ...widgets.painting import paint_focus
from ...widgets.score_map import ScoreScale

LEFT, RIGHT, TOP, BOTTOM = 8, 8, 16, 20
"""Room around the bars in device-independent pixels."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What the histogram shows.

    Attributes:
        scores: [n] finite scores.
        marked: [n] which of them are marked.
        scale: From scores to colours.
    """

    scores: NDArray[np.float64]
    marked: Mask
    scale: ScoreScale

    @property
    def high(self) -> float:
        """Right end of the axis."""
        return max(float(self.scores.max()) * 1.04, 1e-12) if len(self.scores) else 1.0

    @property
    def alike(self) -> bool:
        """Whether several are scored, all the same: no score tells which to take."""
        return len(self.scores) > 1 and float(np.ptp(self.scores)) == 0

    def boundary(self) -> float:
        """A threshold that marks as many as are marked: between two scores; 0 when none is."""
        if not self.marked.any():
            return 0.0
        ordered = np.sort(self.scores)
        below = float(self.scores[self.marked].max())
        above = ordered[ordered > below]
        return (below + float(above[0])) / 2 if len(above) else self.high


class Histogram(QWidget):
    """Bars with a threshold line.

    Attributes:
        threshold: Where the line is, in the unit of the scores.

    Signals:
        previewed: float, the line moves and the button or key is still down.
        committed: float, the line was let go.
        cancelled: Escape was pressed while it moved.
    """

    previewed = Signal(float)
    committed = Signal(float)
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without scores."""
        super().__init__(parent)
        self.spread = Spread(np.zeros(0), np.zeros(0, np.bool_), ScoreScale(1.0))
        self.threshold = 0.0
        self._moving = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.SizeHorCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(116)
        self.setMaximumHeight(240)
        self.setAccessibleName(self.tr("Scores with a threshold; arrow keys move it"))
        self.setToolTip(
            self.tr("Drag the line to mark everything that scores below it. Arrow keys move it by one structure.")
        )

    def sizeHint(self) -> QSize:
        """Wide enough for forty bars."""
        return QSize(240, 136)

    def show_spread(self, spread: Spread) -> None:
        """Show scores; a line that is being moved stays where the hand is."""
        self.spread = spread
        if not self._moving:
            self.threshold = spread.boundary()
        self._describe()
        self.update()

    def area(self) -> QRectF:
        """Where the bars are."""
        return QRectF(self.rect()).adjusted(LEFT, px(TOP), -RIGHT, -px(BOTTOM))

    def position(self, score: float) -> float:
        """Where a score is, in pixels from the left."""
        return self.area().left() + self.area().width() * score / self.spread.high

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bars, axis and line."""
        painter = QPainter(self)
        paint_bars(painter, self.area(), self.spread)
        paint_axis(painter, self.area(), self.spread.high)
        text = self.tr("score < {0}").format(self.spread.scale.text(self.threshold))
        paint_threshold(painter, self.area(), self.position(self.threshold), text, self.hasFocus())
        paint_focus(painter, self)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the line."""
        if event.button() is Qt.MouseButton.LeftButton and len(self.spread.scores):
            self._moving = True
            self._move_to(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the line."""
        if self._moving:
            self._move_to(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the line go."""
        if self._moving and event.button() is Qt.MouseButton.LeftButton:
            self._finish()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right move the line past one structure, Escape takes it back."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if step and len(self.spread.scores):
            self._moving = True
            ordered = np.concatenate([[0.0], np.sort(self.spread.scores), [self.spread.high]])
            middles = np.concatenate([[0.0], (ordered[1:-1] + ordered[2:]) / 2])
            middles[-1] = self.spread.high
            below = int(np.count_nonzero(self.spread.scores < self.threshold))
            self._move(float(middles[min(max(below + step, 0), len(middles) - 1)]))
        elif event.key() == Qt.Key.Key_Escape and self._moving:
            self._moving = False
            self.cancelled.emit()
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """The key is up: take the plan as it is."""
        if self._moving and not event.isAutoRepeat() and event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self._finish()
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Whoever leaves has let go."""
        if self._moving:
            self._finish()
        super().focusOutEvent(event)

    def _move_to(self, x: float) -> None:
        part = (x - self.area().left()) / max(self.area().width(), 1.0)
        self._move(min(max(part, 0.0), 1.0) * self.spread.high)

    def _move(self, threshold: float) -> None:
        self.threshold = threshold
        self._describe()
        self.update()
        self.previewed.emit(threshold)

    def _finish(self) -> None:
        self._moving = False
        self.committed.emit(self.threshold)

    def _describe(self) -> None:
        below = int(np.count_nonzero(self.spread.scores < self.threshold))
        said = self.tr("{0} of {1} score below {2}")
        text = self.spread.scale.text(self.threshold)
        self.setAccessibleDescription(said.format(below, len(self.spread.scores), text))


BAR = 7
"""Least width of a bar in device-independent pixels."""


def paint_bars(painter: QPainter, area: QRectF, spread: Spread) -> None:
    """Bars over 0..high; in each, what is marked is below what stays."""
    scores = spread.scores
    count = max(8, min(8 + int(2 * len(scores) ** 0.5), 44, int(area.width() // BAR)))
    edges = np.linspace(0.0, spread.high, count + 1)
    all_in, _ = np.histogram(scores, edges)
    marked_in, _ = np.histogram(scores[spread.marked], edges)
    tall = max(int(all_in.max()) if len(scores) else 0, 1)
    width = area.width() / count
    colours = score_colours(spread.scale.fractions((edges[1:] + edges[:-1]) / 2))
    for n in np.flatnonzero(all_in):
        whole, part = (area.height() * v[n] / tall for v in (all_in, marked_in))
        left = area.left() + n * width
        painter.fillRect(QRectF(left, area.bottom() - whole, width - 1, whole - part), QColor(*map(int, colours[n])))
        painter.fillRect(QRectF(left, area.bottom() - part, width - 1, part), QColor(tokens().marked))


def paint_axis(painter: QPainter, area: QRectF, high: float) -> None:
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


def paint_threshold(painter: QPainter, area: QRectF, x: float, text: str, focused: bool) -> None:
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
