"""A card: the surface that panels lie on, rounded with a hairline."""

from PySide6.QtCore import QRect, QSize
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget


class Card(QFrame):
    """A panel surface.

    Attributes:
        body: Vertical layout to fill.
    """

    def __init__(self, parent: QWidget | None = None, margin: int = 12, role: str = "card") -> None:
        """Lay out with a margin in device-independent pixels."""
        super().__init__(parent)
        self.setProperty("role", role)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(margin, margin, margin, margin)
        self.body.setSpacing(6)


def corner_place(card: Card, room: QSize, width: int, gap: int, right: bool = True) -> QRect:
    """Where a card lies that floats in a lower corner, as high as its words need; all in device-independent pixels.

    Args:
        card: What floats.
        room: Size of what it lies over.
        width: Of the card, where there is room for it.
        gap: Between the card and the edges.
        right: In the right corner, not in the left one.
    """
    wide = min(max(width, card.minimumSizeHint().width()), room.width() - 2 * gap)
    card.body.activate()
    height = max(card.heightForWidth(wide), card.body.minimumHeightForWidth(wide))
    return QRect(room.width() - wide - gap if right else gap, room.height() - height - gap, wide, height)
