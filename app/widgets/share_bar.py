"""A thin bar: which part of the original is left."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ..theme import tokens


class ShareBar(QWidget):
    """Filled to a part of its width; empty when the part is unknown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.share = float("nan")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Thin."""
        return QSize(40, 5)

    def show_share(self, share: float) -> None:
        """Fill to 0..1; NaN for unknown."""
        self.share = share
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Track and bar."""
        painter, look = QPainter(self), tokens()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.line))
        painter.drawRoundedRect(QRectF(self.rect()), 2.5, 2.5)
        if self.share == self.share:
            painter.setBrush(QColor(look.accent))
            painter.drawRoundedRect(
                QRectF(0, 0, self.width() * min(max(self.share, 0.0), 1.0), self.height()), 2.5, 2.5
            )
