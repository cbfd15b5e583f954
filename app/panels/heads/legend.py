"""The legend of the heat map: the sign of every state with its word."""

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ...widgets.flow import FlowLayout
from ...widgets.score_map import CaptionLine
from . import paint

SWATCH = 18
"""Width of a sign in device-independent pixels."""


class Sign(CaptionLine):
    """The sign of a state with its word."""

    def __init__(self, state: str, word: str, parent: QWidget | None = None) -> None:
        """Know both."""
        super().__init__(parent)
        self.state, self.word = state, word
        self.setAccessibleName(word)

    def room(self) -> float:
        """Both of them."""
        return SWATCH + 5 + self.width_of(self.word) + 6

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw them."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        paint.cell(painter, QRectF(0, 3, SWATCH, self.height() - 6), 0.5, self.state, "")
        self.say(painter, SWATCH + 5, self.word)


class Legend(QWidget):
    """The signs, in as many rows as they need; the tree has the legend of the colours, for the whole window."""

    def __init__(self, words: dict[str, str], parent: QWidget | None = None) -> None:
        """`words` are those of the states."""
        super().__init__(parent)
        row = FlowLayout(self, gap=6)
        for state, word in words.items():
            row.addWidget(Sign(state, word))
        self.setAccessibleName(self.tr("Legend for {0}").format(", ".join(words.values())))
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
