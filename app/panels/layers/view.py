"""The table of layers."""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from ...widgets.row_area import RowArea
from . import paint
from .paint import Row
from .ties import Tie


class LayerTable(RowArea):
    """Rows with ties.

    Attributes:
        count: How many rows.
        current: The selected row, -1 for none.
        drawn: How many rows the last paint drew.
        measured: There is a sensitivity to show.
        timed: There are times to show.

    Signals:
        picked: int, a row was clicked or reached by a key.
    """

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.count, self.current, self.drawn = 0, -1, 0
        self.measured = self.timed = False
        self._row: Callable[[int], Row] = lambda number: paint.NOTHING
        self._ties: tuple[Tie, ...] = ()
        self._spans = np.zeros((0, 2), np.int64)
        self._lanes = 0
        self._hover = -1
        self.words: Callable[[int], str] = lambda number: ""
        self.titles: tuple[str, ...] = ("",) * 7
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumSize(200, 100)
        self.setAccessibleName(self.tr("Layers; arrow keys move between them"))

    def row_count(self) -> int:
        """How many layers."""
        return self.count

    def show_rows(self, count: int, row: Callable[[int], Row], ties: tuple[Tie, ...]) -> None:
        """Show other rows; `row` is asked for those that are seen."""
        self.count, self._row, self._ties = count, row, ties
        self._spans = np.array([(t.rows[0], t.rows[-1]) for t in ties], np.int64).reshape(-1, 2)
        self._lanes = max((tie.lane + 1 for tie in ties), default=0)
        self.set_bars()
        self.viewport().update()

    def show_current(self, number: int, reach: bool = True) -> None:
        """Select a row and bring it into view."""
        self.current = number
        self.setAccessibleDescription(self.words(number) if number >= 0 else "")
        if number >= 0 and reach:
            self.reach(number)
        self.viewport().update()

    def whole(self) -> "LayerTable":
        """A copy that is as tall as all of its rows, for a picture."""
        made = LayerTable()
        made.titles, made.measured = self.titles, self.measured
        made.resize(self.viewport().width(), made.header + self.count * made.row_height + 4)
        made.show_rows(self.count, self._row, self._ties)
        return made

    def row_area(self, number: int) -> QRectF:
        """Where a row is, in pixels of the viewport."""
        return QRectF(0, self.top_of(number), self.viewport().width(), self.row_height)

    def ties_of(self, number: int) -> list[Tie]:
        """The ties that a row is part of."""
        inside = np.flatnonzero((self._spans[:, 0] <= number) & (self._spans[:, 1] >= number))
        return [self._ties[n] for n in inside if number in self._ties[n].rows]

    # What Qt asks.

    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows that are seen, their ties, and the header above them."""
        painter, room = QPainter(self.viewport()), self.viewport().width()
        places = paint.columns(room, self._lanes, self.measured, self.timed)
        first, last = self.seen()
        for number in range(first, last):
            area, current = self.row_area(number), number == self.current
            paint.row(painter, area, places, self._row(number), current, self.hasFocus(), number == self._hover)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_ties(painter, places.name[0], first, last)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        paint.header(painter, QRectF(0, 0, self.viewport().width(), self.header), places, self.titles)
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
        page = max(1, self.room() // self.row_height - 1)
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

    def words_at(self, where: QPoint) -> str:
        """A row's numbers."""
        found = self.row_at(where.y())
        return self.words(found) if found >= 0 else ""
