"""A list of slices, painted: quick enough to follow the mouse over the tree."""

from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ...theme import px, tokens
from ...widgets.elide import tell_whole
from .slice_patterns import Line

ROW = 18
"""Height of a line in device-independent pixels."""


class SliceList(QWidget):
    """Names at the left, elided in the middle where they must be; patterns right after."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.lines: list[Line] = []
        self.setProperty("role", "small")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_lines(self, lines: list[Line]) -> None:
        """Show these."""
        self.lines = lines
        said = "; ".join(f"{line.name} {line.pattern}" for line in lines)
        self.setAccessibleName(self.tr("Removed with it: {0}").format(said))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As tall as all lines."""
        return QSize(160, px(ROW) * len(self.lines))

    def event(self, event: QEvent) -> bool:
        """A line under the mouse in full."""
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            number = event.pos().y() // px(ROW)
            line = self.lines[number] if 0 <= number < len(self.lines) else Line("", "")
            return tell_whole(event, self, f"{line.name} {line.pattern}".strip())
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the lines that are visible."""
        painter, measure, look = QPainter(self), self.fontMetrics(), tokens()
        left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        tall = px(ROW)
        first, last = event.rect().top() // tall, event.rect().bottom() // tall + 1
        for number in range(first, min(last, len(self.lines))):
            line = self.lines[number]
            where = QRect(QPoint(0, number * tall), QSize(self.width(), tall))
            wanted = measure.horizontalAdvance(line.pattern)
            room = max(self.width() // 2, self.width() - wanted - 10)
            name = measure.elidedText(line.name, Qt.TextElideMode.ElideMiddle, room)
            painter.setPen(QColor(look.muted))
            painter.drawText(where, left, name)
            rest = where.adjusted(measure.horizontalAdvance(name) + 8, 0, 0, 0)
            painter.setPen(QColor(look.text))
            pattern = measure.elidedText(line.pattern, Qt.TextElideMode.ElideMiddle, rest.width() + 1)
            painter.drawText(rest, left, pattern)
