"""The legend of the heat map: the range of the scores, and the sign of every state with its word."""

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ...widgets.flow import FlowLayout
from ...widgets.score_range import CaptionLine, ScoreRange
from . import paint

SWATCH = 18
"""Width of a sign in device-independent pixels."""


class Signs(CaptionLine):
    """The sign of every state with its word."""

    def __init__(self, words: dict[str, str], parent: QWidget | None = None) -> None:
        """Know the words."""
        super().__init__(parent)
        self.words = words
        self.setAccessibleName(self.tr("Legend for {0}").format(", ".join(self.words.values())))

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

    def __init__(self, words: dict[str, str], parent: QWidget | None = None) -> None:
        """Start without scores; `words` are those of the states."""
        super().__init__(parent)
        self.range, self.signs = ScoreRange(), Signs(words)
        row = FlowLayout(self, gap=6)
        row.addWidget(self.range)
        row.addWidget(self.signs)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
