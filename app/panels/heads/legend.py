"""The legend of the heat map: the range of the scores, and the sign of every state with its word."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ...theme import px, tokens
from ...widgets.flow import FlowLayout
from . import paint

RANGE, SWATCH, HEIGHT = 96, 18, 20
"""Width of the colours and of a sign, and height, in device-independent pixels."""


class _Line(QWidget):
    """Words and what they are about, in one line of captions."""

    def __init__(self, parent: QWidget | None = None) -> None:
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
        area = QRectF(left, 0, self.width_of(text) + 2, self.height())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        return left + self.width_of(text)


class Range(_Line):
    """The colours from the lowest score to the highest.

    Attributes:
        ends: Both, in words.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without scores."""
        super().__init__(parent)
        self.ends = ("0", "")

    def show_ends(self, low: str, high: str) -> None:
        """Say the range."""
        self.ends = (self.tr("score {0}").format(low), high)
        self.setAccessibleName(self.tr("Colours: {0} to {1}").format(*self.ends))
        self.updateGeometry()
        self.update()

    def room(self) -> float:
        """Words at both sides of the colours."""
        return self.width_of(self.ends[0]) + RANGE + 10 + self.width_of(self.ends[1]) + 12

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw them."""
        painter = QPainter(self)
        left = self.say(painter, 0, self.ends[0]) + 5
        paint.scale(painter, QRectF(left, 5, RANGE, self.height() - 10))
        self.say(painter, left + RANGE + 5, self.ends[1])


class Signs(_Line):
    """The sign of every state with its word."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Know the words."""
        super().__init__(parent)
        self.words = {
            "free": self.tr("free"),
            "marked": self.tr("marked"),
            "locked": self.tr("locked"),
            "gone": self.tr("gone"),
            "fixed": self.tr("fixed"),
        }
        self.setAccessibleName(self.tr("Signs for {0}").format(", ".join(self.words.values())))

    def room(self) -> float:
        """All of them."""
        return sum(SWATCH + 5 + self.width_of(word) + 12 for word in self.words.values())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw them."""
        painter, left = QPainter(self), 0.0
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for state, word in self.words.items():
            paint.cell(painter, QRectF(left, 3, SWATCH, self.height() - 6), 0.5, state, "")
            left = self.say(painter, left + SWATCH + 5, word) + 12


class Legend(QWidget):
    """Range and signs, beside each other where there is room.

    Attributes:
        range: The colours.
        signs: The states.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without scores."""
        super().__init__(parent)
        self.range, self.signs = Range(), Signs()
        row = FlowLayout(self, gap=6)
        row.addWidget(self.range)
        row.addWidget(self.signs)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
