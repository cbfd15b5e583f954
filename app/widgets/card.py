"""A card: the surface that panels lie on, rounded with a hairline."""

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
