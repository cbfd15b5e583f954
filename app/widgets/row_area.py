"""An area of rows under a header: only those that are seen are drawn, so that ten thousand scroll as twenty do."""

from PySide6.QtCore import QEvent, QPoint, QSize, Qt
from PySide6.QtGui import QHelpEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QToolTip, QWidget

from ..theme import px


class RowArea(QAbstractScrollArea):
    """Rows of one height; a subclass draws them, and says how many there are."""

    row, top = 24, 24
    """Heights of a row and of the header with text of the first size."""

    @property
    def row_height(self) -> int:
        """Of a row, in device-independent pixels."""
        return px(self.row)

    @property
    def header(self) -> int:
        """Height of what stands above the rows and does not scroll."""
        return px(self.top)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start at the first row."""
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)

    def row_count(self) -> int:
        """How many rows there are."""
        return 0

    def words_at(self, where: QPoint) -> str:
        """What a tooltip tells of a place, "" for nothing."""
        return ""

    def sizeHint(self) -> QSize:
        """Room for a tab's rows."""
        return QSize(560, 360)

    def room(self) -> int:
        """Height in which rows are seen."""
        return self.viewport().height() - self.header

    def top_of(self, row: int) -> int:
        """Where a row begins, in pixels of the viewport."""
        return self.header + row * self.row_height - self.verticalScrollBar().value()

    def row_at(self, y: float) -> int:
        """The row at a height, -1 for none."""
        row = int((y - self.header + self.verticalScrollBar().value()) // self.row_height) if y >= self.header else -1
        return row if 0 <= row < self.row_count() else -1

    def seen(self) -> tuple[int, int]:
        """The rows that are seen: from, to."""
        top = self.verticalScrollBar().value()
        first = max(0, top // self.row_height)
        return first, min(self.row_count(), max((top + self.room()) // self.row_height + 1, first))

    def reach(self, row: int) -> None:
        """Scroll as little as brings a row into view."""
        bar = self.verticalScrollBar()
        bar.setValue(min(max(bar.value(), (row + 1) * self.row_height - self.room()), row * self.row_height))

    def set_bars(self) -> None:
        """Scroll as far as there are rows."""
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, self.row_count() * self.row_height - self.room()))
        bar.setPageStep(max(self.row_height, self.room()))
        bar.setSingleStep(self.row_height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another number of rows is seen."""
        super().resizeEvent(event)
        self.set_bars()

    def changeEvent(self, event: QEvent) -> None:
        """With text of another size fewer rows or more are seen."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self.set_bars()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Draw what is seen now."""
        self.viewport().update()

    def viewportEvent(self, event: QEvent) -> bool:
        """Tell what is under the mouse in a tooltip."""
        if event.type() is QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.words_at(event.pos()), self.viewport())
            return True
        return super().viewportEvent(event)
