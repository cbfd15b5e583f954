"""A row of small widgets that breaks into further rows when it gets narrow."""

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QWidget, QWidgetItem
from shiboken6 import isValid


class FlowLayout(QLayout):
    """Left to right, top to bottom."""

    def __init__(self, parent: QWidget | None = None, gap: int = 5) -> None:
        """`gap` in device-independent pixels, across and down."""
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        # Kept, as Qt asks for sizes many times between two changes.
        self._shown: list[tuple[QLayoutItem, QSize]] | None = None
        self._heights: dict[int, int] = {}
        self._gap = gap
        self.setContentsMargins(0, 0, 0, 0)

    def addWidget(self, widget: QWidget) -> None:
        """Take a widget, in an item made here.

        One that Qt makes can be deleted by Qt without a word to Python, which then calls what is no longer there: the
        program ended of it when the look was switched.
        """
        self.addChildWidget(widget)
        self.addItem(QWidgetItem(widget))

    def addItem(self, item: QLayoutItem) -> None:
        """Keep an item."""
        self._items.append(item)
        self.invalidate()

    def count(self) -> int:
        """How many items."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """An item, None past the end."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """Remove an item."""
        self.invalidate()
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        """Takes no more room than it needs."""
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        """Rows depend on the width."""
        return True

    def invalidate(self) -> None:
        """Ask the items again: one of them changed."""
        self._shown = None
        self._heights.clear()
        super().invalidate()

    def heightForWidth(self, width: int) -> int:
        """Height of all rows at a width."""
        if width not in self._heights:
            self._heights[width] = self._place(QRect(0, 0, width, 0), move=False)
        return self._heights[width]

    def setGeometry(self, rect: QRect) -> None:
        """Put every item where it belongs."""
        super().setGeometry(rect)
        self._place(rect, move=True)

    def sizeHint(self) -> QSize:
        """One row."""
        hints = [item.sizeHint() for item in filter(isValid, self._items)]
        width = sum(h.width() for h in hints) + self._gap * max(0, len(hints) - 1)
        return QSize(width, max((h.height() for h in hints), default=0))

    def minimumSize(self) -> QSize:
        """The widest item."""
        hints = [item.minimumSize() for item in filter(isValid, self._items)]
        return QSize(max((h.width() for h in hints), default=0), max((h.height() for h in hints), default=0))

    def _place(self, rect: QRect, move: bool) -> int:
        """Put the items in rows, level with each other; what is hidden takes no room. Height of all rows."""
        y, row = rect.y(), list[tuple[QLayoutItem, QSize]]()
        rows: list[list[tuple[QLayoutItem, QSize]]] = []
        used = 0
        if self._shown is None:
            here = (one for one in filter(isValid, self._items) if not one.isEmpty())
            self._shown = [(one, one.sizeHint()) for one in here]
        for item, hint in self._shown:
            if not isValid(item):
                continue
            if row and used + hint.width() > rect.width():
                rows.append(row)
                row, used = [], 0
            row.append((item, hint))
            used += hint.width() + self._gap
        # A widget that is alone in its row and wider than that elides.
        widest = max(rect.width(), 1)
        for line in [*rows, *([row] if row else [])]:
            x, tall = rect.x(), max(hint.height() for _, hint in line)
            for item, hint in line:
                if move:
                    place = QPoint(x, y + (tall - hint.height()) // 2)
                    item.setGeometry(QRect(place, QSize(min(hint.width(), widest), hint.height())))
                x += hint.width() + self._gap
            y += tall + self._gap
        return max(y - self._gap - rect.y(), 0)
