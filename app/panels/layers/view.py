"""The table of layers: only the rows that are seen are drawn, so that ten thousand scroll as twenty do."""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QToolTip, QWidget

from . import paint
from .paint import Row
from .ties import Tie

ROW, HEADER = 24, 24
"""Heights in device-independent pixels."""


class LayerTable(QAbstractScrollArea):
    """Rows with ties.

    Attributes:
        count: How many rows.
        current: The selected row, -1 for none.
        drawn: How many rows the last paint drew.
        measured: There is a sensitivity to show.

    Signals:
        picked: int, a row was clicked or reached by a key.
    """

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.count, self.current, self.drawn = 0, -1, 0
        self.measured = False
        self._row: Callable[[int], Row] = lambda number: paint.NOTHING
        self._ties: tuple[Tie, ...] = ()
        self._spans = np.zeros((0, 2), np.int64)
        self._lanes = 0
        self._hover = -1
        self.words: Callable[[int], str] = lambda number: ""
        self.titles: tuple[str, ...] = ("",) * 6
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)
        self.setMinimumSize(200, 100)
        self.setAccessibleName(self.tr("Layers; arrow keys go from one to the next"))

    def sizeHint(self) -> QSize:
        """Room for the sketch's tab."""
        return QSize(560, 360)

    def show_rows(self, count: int, row: Callable[[int], Row], ties: tuple[Tie, ...]) -> None:
        """Show other rows; `row` is asked for those that are seen."""
        self.count, self._row, self._ties = count, row, ties
        self._spans = np.array([(t.rows[0], t.rows[-1]) for t in ties], np.int64).reshape(-1, 2)
        self._lanes = max((tie.lane + 1 for tie in ties), default=0)
        self._set_bar()
        self.viewport().update()

    def show_current(self, number: int, reach: bool = True) -> None:
        """Select a row and bring it into view."""
        self.current = number
        self.setAccessibleDescription(self.words(number) if number >= 0 else "")
        if number >= 0 and reach:
            self._reach(number)
        self.viewport().update()

    def row_area(self, number: int) -> QRectF:
        """Where a row is, in pixels of the viewport."""
        top = HEADER + number * ROW - self.verticalScrollBar().value()
        return QRectF(0, top, self.viewport().width(), ROW)

    def row_at(self, y: float) -> int:
        """The row at a height, -1 for none."""
        number = int((y - HEADER + self.verticalScrollBar().value()) // ROW) if y >= HEADER else -1
        return number if 0 <= number < self.count else -1

    def seen(self) -> tuple[int, int]:
        """The rows that are seen: from, to."""
        top = self.verticalScrollBar().value()
        first = max(0, top // ROW)
        last = (top + self.viewport().height() - HEADER) // ROW + 1
        return first, min(self.count, max(last, first))

    def ties_of(self, number: int) -> list[Tie]:
        """The ties that a row is part of."""
        inside = np.flatnonzero((self._spans[:, 0] <= number) & (self._spans[:, 1] >= number))
        return [self._ties[n] for n in inside if number in self._ties[n].rows]

    def _set_bar(self) -> None:
        room = self.viewport().height() - HEADER
        self.verticalScrollBar().setRange(0, max(0, self.count * ROW - room))
        self.verticalScrollBar().setPageStep(max(ROW, room))
        self.verticalScrollBar().setSingleStep(ROW)

    def _reach(self, number: int) -> None:
        bar, room = self.verticalScrollBar(), self.viewport().height() - HEADER
        if number * ROW < bar.value():
            bar.setValue(number * ROW)
        elif (number + 1) * ROW > bar.value() + room:
            bar.setValue((number + 1) * ROW - room)

    # What Qt asks.

    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows that are seen, their ties, and the header above them."""
        painter, places = QPainter(self.viewport()), paint.columns(self.viewport().width(), self._lanes, self.measured)
        first, last = self.seen()
        for number in range(first, last):
            area, current = self.row_area(number), number == self.current
            paint.row(painter, area, places, self._row(number), current, self.hasFocus(), number == self._hover)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_ties(painter, places.name[0], first, last)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        paint.header(painter, QRectF(0, 0, self.viewport().width(), HEADER), places, self.titles)
        self.drawn = last - first

    def _paint_ties(self, painter: QPainter, right: float, first: int, last: int) -> None:
        chosen = [id(tie) for tie in self.ties_of(self.current)] if self.current >= 0 else []
        near = np.flatnonzero((self._spans[:, 0] < last) & (self._spans[:, 1] >= first))
        shown = [self._ties[n] for n in near if self._ties[n].lane >= 0 or id(self._ties[n]) in chosen]
        for tie in sorted(shown, key=lambda t: id(t) in chosen):
            among = tie.rows[np.searchsorted(tie.rows, first) : np.searchsorted(tie.rows, last)]
            stubs = [self.row_area(int(n)).center().y() for n in among]
            ends = self.row_area(int(tie.rows[0])).center().y(), self.row_area(int(tie.rows[-1])).center().y()
            seen = max(ends[0], 0.0), min(ends[1], float(self.viewport().height()))
            paint.tie(painter, right, max(tie.lane, 0), seen, stubs, tie.joined, id(tie) in chosen)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Scroll as far as there are rows."""
        super().resizeEvent(event)
        self._set_bar()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Draw what is seen now."""
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick a row."""
        if event.button() is Qt.MouseButton.LeftButton and (found := self.row_at(event.position().y())) >= 0:
            self.picked.emit(found)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The row under the mouse."""
        self._point(self.row_at(event.position().y()))

    def leaveEvent(self, event: QEvent) -> None:
        """None is under the mouse."""
        self._point(-1)

    def _point(self, number: int) -> None:
        if number != self._hover:
            self._hover = number
            self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up, down, a page, the first and the last row."""
        page = max(1, (self.viewport().height() - HEADER) // ROW - 1)
        steps = {
            Qt.Key.Key_Up: -1,
            Qt.Key.Key_Down: 1,
            Qt.Key.Key_PageUp: -page,
            Qt.Key.Key_PageDown: page,
            Qt.Key.Key_Home: -self.count,
            Qt.Key.Key_End: self.count,
        }
        step = steps.get(Qt.Key(event.key()), 0)
        if step and self.count:
            self.picked.emit(min(max(self.current + step, 0), self.count - 1))
        else:
            super().keyPressEvent(event)

    def viewportEvent(self, event: QEvent) -> bool:
        """Tell a row's numbers in a tooltip."""
        if event.type() is QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            self._tell(event.pos(), event.globalPos())
            return True
        return super().viewportEvent(event)

    def _tell(self, where: QPoint, on_screen: QPoint) -> None:
        found = self.row_at(where.y())
        QToolTip.showText(on_screen, self.words(found) if found >= 0 else "", self.viewport())
