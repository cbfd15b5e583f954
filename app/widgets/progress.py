"""Bars: progress, which does not move where its end is unknown and motion is reduced, and the share that is left."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QProgressBar, QSizePolicy, QWidget

from ..theme import theme, tokens

FINE = 1000
"""Steps of a bar that shows a share."""


class ProgressBar(QProgressBar):
    """How far something is; what it is, its accessible name says."""

    def __init__(self, parent: QWidget | None = None, maximum: int = 100) -> None:
        """Show no text."""
        super().__init__(parent)
        self.setTextVisible(False)
        self.setRange(0, maximum)

    def setRange(self, minimum: int, maximum: int) -> None:
        """Count from one number to another one; 0 to 0: the end is unknown, and a piece moves through the bar."""
        super().setRange(minimum, 1 if maximum == 0 and theme().still else maximum)

    def show_progress(self, done: int, total: int, work: float) -> None:
        """Show how far a job is: of its whole work, else of its present stage; with a `total` of 0 that is unknown."""
        if work >= 0:
            self.setRange(0, FINE)
            self.setValue(round(FINE * work))
        else:
            self.setRange(0, total)
            self.setValue(done)


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
