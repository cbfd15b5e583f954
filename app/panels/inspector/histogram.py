"""How the scores of a coupled set are spread, with a threshold to drag: what lies below it is marked while it moves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from secateur.engine.structures.analysis import Mask

from ...theme import px
from ...widgets.painting import paint_focus
from ...widgets.score_map import ScoreScale
from . import histogram_paint as paint

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
        """Where a threshold would lie that marks as many as are marked: between two scores; 0 when none is."""
        if not self.marked.any():
            return 0.0
        ordered = np.sort(self.scores)
        below = float(self.scores[self.marked].max())
        above = ordered[ordered > below]
        return (below + float(above[0])) / 2 if len(above) else self.high


class Histogram(QWidget):
    """Bars with a threshold line.

    Attributes:
        threshold: Where the line stands, in the unit of the scores.

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
        """Where a score lies, in pixels from the left."""
        return self.area().left() + self.area().width() * score / self.spread.high

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bars, axis and line."""
        painter = QPainter(self)
        paint.bars(painter, self.area(), self.spread.scores, self.spread.marked, self.spread.scale, self.spread.high)
        paint.axis(painter, self.area(), self.spread.high)
        text = self.spread.scale.text(self.threshold)
        paint.threshold(painter, self.area(), self.position(self.threshold), text, self.hasFocus())
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
            self._move(self._beyond(step))
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

    def _beyond(self, step: int) -> float:
        """A threshold that lets one score more (or less) lie below it."""
        ordered = np.concatenate([[0.0], np.sort(self.spread.scores), [self.spread.high]])
        middles = np.concatenate([[0.0], (ordered[1:-1] + ordered[2:]) / 2])
        middles[-1] = self.spread.high
        below = int(np.count_nonzero(self.spread.scores < self.threshold))
        return float(middles[min(max(below + step, 0), len(middles) - 1)])

    def _describe(self) -> None:
        below = int(np.count_nonzero(self.spread.scores < self.threshold))
        said = self.tr("{0} of {1} score below {2}")
        text = self.spread.scale.text(self.threshold)
        self.setAccessibleDescription(said.format(below, len(self.spread.scores), text))
