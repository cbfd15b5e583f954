"""The legend of coloured scores: cividis from the lowest to the highest, with both ends in numbers."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ..theme import px, score_colour, tokens

RANGE, LEAST, HEIGHT = 96, 24, 20
"""Width of the colours, also where room is scarce, and height of a line, in device-independent pixels."""


class CaptionLine(QWidget):
    """Words and what they are about, in one line of captions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.setProperty("role", "small")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As wide as its words and signs."""
        return QSize(int(self.room()) + 2, px(HEIGHT))

    def room(self) -> float:
        """Width of all."""
        raise NotImplementedError

    def width_of(self, text: str) -> float:
        """Width of a text."""
        return float(self.fontMetrics().horizontalAdvance(text))

    def say(self, painter: QPainter, left: float, text: str) -> float:
        """Write from the left; where it ends."""
        painter.setPen(tokens().muted)
        area = QRectF(left, 0, self.width_of(text) + 2, px(HEIGHT))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        return left + self.width_of(text)


class ScoreRange(CaptionLine):
    """The colours from the lowest score to the highest.

    Attributes:
        ends: Both, in words.
        so_far: Below them, how much the scores are made of while they are; "" for all.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without scores."""
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.ends, self.so_far = ("0", ""), ""
        self.setAccessibleName(self.tr("Colours of the scores"))

    def show_ends(self, low: str, high: str, so_far: str = "") -> None:
        """Say the range, and where scores are still made, of how much they are."""
        self.say_ends(self.tr("score {0}").format(low), high, so_far)

    def say_ends(self, low: str, high: str, so_far: str = "") -> None:
        """Say both ends in words."""
        ends = (low, high)
        if (ends, so_far) == (self.ends, self.so_far):
            return  # saying it again lays out all around it
        self.ends, self.so_far = ends, so_far
        words = self.tr("Colours: {0} to {1}").format(*self.ends)
        self.setAccessibleName(f"{words}, {so_far}" if so_far else words)
        self.updateGeometry()
        self.update()

    def room(self) -> float:
        """Words at both sides of the colours."""
        return max(self._words() + RANGE, self.width_of(self.so_far))

    def _words(self) -> float:
        """Of a line all but the colours."""
        return self.width_of(self.ends[0]) + 10 + self.width_of(self.ends[1]) + 12

    def sizeHint(self) -> QSize:
        """A line more where scores are still made."""
        one = super().sizeHint()
        return QSize(one.width(), one.height() * (2 if self.so_far else 1))

    def minimumSizeHint(self) -> QSize:
        """In a narrow place there are fewer colours."""
        return QSize(int(self._words() + LEAST) + 2, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw them."""
        painter, wide = QPainter(self), min(RANGE, self.width() - self._words())
        left = self.say(painter, 0, self.ends[0]) + 5
        paint_scores(painter, QRectF(left, 5, wide, px(HEIGHT) - 10))
        self.say(painter, left + wide + 5, self.ends[1])
        painter.translate(0, px(HEIGHT))
        self.say(painter, 0, self.fontMetrics().elidedText(self.so_far, Qt.TextElideMode.ElideRight, self.width()))


def paint_scores(painter: QPainter, area: QRectF) -> None:
    """The colours from the lowest score to the highest."""
    gradient = QLinearGradient(area.topLeft(), area.topRight())
    for step in range(11):
        gradient.setColorAt(step / 10, QColor(*score_colour(step / 10)))
    painter.fillRect(area, gradient)
