"""The heat map itself: cells to click, a rubber band, keys; only the rows that are seen are drawn."""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QWidget

from ...widgets.row_area import RowArea
from ...widgets.rubber_band import paint_band
from . import paint
from .grid import HeadRow

ROW, HEADER, GAP = 28, 20, 2
"""Heights of a row and of the numbers above, and the gap between cells, in device-independent pixels."""
NARROW, WIDE = 15.0, 32.0
"""Widths of a cell at least and at most."""
BETWEEN = 5.0
"""Further room between two key/value groups."""
ARROWS = {
    Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Home: (0, -(10**6)), Qt.Key.Key_End: (0, 10**6),
}  # fmt: skip
Place = tuple[int, int]
"""(row, cell)."""


class HeadMap(RowArea):
    """Rows of heads.

    Attributes:
        rows: What is shown.
        current: The selected cell, None for none.

    Signals:
        chosen: (row, cell), a cell was clicked.
        reached: (row, cell), a key moved there.
        toggled: (row, cell), Space was pressed on it.
        removed: (row, cell), Delete was pressed on it.
        banded: list of (row, cell) inside a rubber band.
        hovered: (row, cell) or None.
    """

    chosen = Signal(object)
    reached = Signal(object)
    toggled = Signal(object)
    removed = Signal(object)
    banded = Signal(object)
    hovered = Signal(object)
    row, top = ROW, HEADER

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.rows: tuple[HeadRow, ...] = ()
        self.current: Place | None = None
        self.look: Callable[[int, int], tuple[float, str]] = lambda row, cell: (float("nan"), "free")
        self.words: Callable[[int, int], str] = lambda row, cell: ""
        self.within = self.tr("in each group")
        self._press: QPointF | None = None
        self._end = QPointF()
        self._banding = False
        self._hover: Place | None = None
        self.setMinimumSize(200, 90)
        self.setAccessibleName(self.tr("Heads; arrow keys move between them, Space marks or unmarks"))

    def row_count(self) -> int:
        """How many rows."""
        return len(self.rows)

    def show_rows(self, rows: tuple[HeadRow, ...]) -> None:
        """Show other rows; nothing is selected in them."""
        self.rows = rows
        self.current = self._hover = self._press = None
        self.set_bars()
        self.viewport().update()

    def show_current(self, place: Place | None) -> None:
        """Select a cell and bring its row into view."""
        self.current = place
        self.setAccessibleDescription("" if place is None else self.words(*place))
        if place is not None:
            self.reach(place[0])
        self.viewport().update()

    def whole(self) -> "HeadMap":
        """A copy that is as tall and wide as all of its rows, for a picture."""
        made = HeadMap()
        made.look, made.words = self.look, self.words
        made.resize(self.viewport().width(), made.header + len(self.rows) * made.row_height + 4)
        made.show_rows(self.rows)
        made.resize(max(made.width(), int(made._content())), made.height())
        made.set_bars()
        return made

    # Where things are, in pixels of the viewport.

    def names_width(self) -> float:
        """Room for the names of the layers."""
        return min(200.0, max(96.0, 0.28 * self.viewport().width()))

    def cell_width(self) -> float:
        """Of one head, as wide as fits."""
        columns = max((row.columns for row in self.rows), default=1)
        groups = max((row.count for row in self.rows if row.span > 1), default=0)
        room = self.viewport().width() - self.names_width() - 12 - groups * BETWEEN
        return min(WIDE, max(NARROW, room / max(columns, 1)))

    def cell_area(self, row: int, cell: int) -> QRectF:
        """A cell with all query heads that it stands for."""
        one, width = self.rows[row], self.cell_width()
        between = BETWEEN if one.span > 1 else 0.0
        left = self.names_width() + cell * (one.span * width + between) - self.horizontalScrollBar().value()
        return QRectF(left, self.top_of(row) + 3, one.span * width - GAP, self.row_height - 6)

    def place_at(self, where: QPointF) -> Place | None:
        """The cell at a place, None for none."""
        row = self.row_at(where.y())
        if row < 0 or where.x() < self.names_width():
            return None
        cells = range(self.rows[row].count)
        return next(((row, cell) for cell in cells if self.cell_area(row, cell).contains(where)), None)

    def _content(self) -> float:
        """Width of the widest row."""
        ends = (self.cell_area(n, row.count - 1).right() for n, row in enumerate(self.rows) if row.count)
        return max(ends, default=0.0) + self.horizontalScrollBar().value() + 8

    def set_bars(self) -> None:
        """Scroll as far as there are rows, and as wide as the widest."""
        super().set_bars()
        self.horizontalScrollBar().setRange(0, max(0, int(self._content() - self.viewport().width())))
        self.horizontalScrollBar().setPageStep(max(1, self.viewport().width()))

    # Painting.

    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows that are seen, numbers above them, names at the left."""
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_numbers(painter)
        body = QRectF(self.names_width() - 3, self.header, self.viewport().width(), self.viewport().height())
        for number in range(*self.seen()):
            painter.setClipRect(body)
            self._paint_row(painter, number)
            painter.setClipRect(QRectF(0, self.header, self.viewport().width(), self.viewport().height()))
            self._paint_name(painter, number)
        if self._banding and self._press is not None:
            painter.setClipping(False)
            paint_band(painter, QRectF(self._press, self._end).normalized())

    def _paint_numbers(self, painter: QPainter) -> None:
        """Numbers of the heads, over the columns of rows without groups."""
        row = next((n for n, one in enumerate(self.rows) if one.count and one.span == 1 and not one.within), -1)
        if row < 0:
            return
        painter.save()
        paint.small(painter)
        painter.setClipRect(QRectF(self.names_width() - 3, 0, self.viewport().width(), self.header))
        painter.setPen(self.palette().placeholderText().color())
        longest = max(range(len(self.rows)), key=lambda n: self.rows[n].count if self.rows[n].span == 1 else -1)
        for cell in range(self.rows[longest].count):
            area = self.cell_area(longest, cell)
            painter.drawText(
                QRectF(area.left(), 2, area.width(), self.header - 4), Qt.AlignmentFlag.AlignCenter, str(cell)
            )
        painter.restore()

    def _paint_row(self, painter: QPainter, number: int) -> None:
        one = self.rows[number]
        if one.set_number < 0:
            area = QRectF(self.names_width(), self.top_of(number) + 3, 0, self.row_height - 6)
            area.setWidth(4 * self.cell_width() - GAP)
            return paint.cell(painter, area, float("nan"), "fixed", "")
        for cell in range(one.count):
            area = self.cell_area(number, cell)
            fraction, state = self.look(number, cell)
            self._paint_cell(painter, number, cell, area, (fraction, state))
            if (number, cell) == self.current:
                paint.current(painter, area, self.hasFocus())
        return None

    def _paint_cell(self, painter: QPainter, number: int, cell: int, area: QRectF, shown: tuple[float, str]) -> None:
        """A head, or the query heads of a group within its frame."""
        one, (fraction, state) = self.rows[number], shown
        text = str(cell) if area.width() >= 20 else ""
        if one.span == 1:
            paint.cell(painter, area, fraction, state, text)
            return
        width = self.cell_width()
        for head in range(one.span):
            part = QRectF(area.left() + head * width, area.top(), width - GAP, area.height())
            own = self.look(number + 1, head)[1] if one.inner >= 0 else "free"
            lost = own if own in ("marked", "removed") and state not in ("marked", "removed") else state
            paint.cell(painter, part, fraction, lost, "")
        paint.group(painter, area)

    def _paint_name(self, painter: QPainter, number: int) -> None:
        one = self.rows[number]
        top = self.top_of(number)
        area = QRectF(6, top, self.names_width() - 14, self.row_height)
        paint.name(painter, area, self.within if one.within else one.module, one.within or one.set_number < 0)
        if one.set_number < 0:
            right = self.names_width() + 4 * self.cell_width() + 6
            rest = QRectF(right, top, self.viewport().width() - right - 4, self.row_height)
            paint.name(painter, rest, self.tr("fixed"), True)

    # Mouse and keys.

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click or a rubber band begins."""
        if event.button() is Qt.MouseButton.LeftButton:
            self._press, self._end, self._banding = event.position(), event.position(), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The band grows; without a button the cell under the mouse is told."""
        if self._press is not None:
            self._end = event.position()
            far = (self._end - self._press).manhattanLength() >= QApplication.startDragDistance()
            self._banding = self._banding or far
            self.viewport().update()
            return
        self._point(self.place_at(event.position()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A cell is chosen, or all that the band touches."""
        if self._press is None or event.button() is not Qt.MouseButton.LeftButton:
            return
        place, banding = self.place_at(self._press), self._banding
        area = QRectF(self._press, event.position()).normalized()
        self._press, self._banding = None, False
        if banding:
            self.banded.emit(self.inside(area))
        elif place is not None:
            self.chosen.emit(place)
        self.viewport().update()

    def inside(self, area: QRectF) -> list[Place]:
        """The cells that a rectangle touches; one drawn along a row has no height, and touches all the same."""
        area = area.adjusted(-0.5, -0.5, 0.5, 0.5)
        return [
            (row, cell)
            for row, one in enumerate(self.rows)
            for cell in range(one.count)
            if self.cell_area(row, cell).intersects(area)
        ]

    def leaveEvent(self, event: QEvent) -> None:
        """None is under the mouse."""
        self._point(None)

    def _point(self, place: Place | None) -> None:
        if place != self._hover:
            self._hover = place
            self.hovered.emit(place)

    def event(self, event: QEvent) -> bool:
        """Escape drops the rubber band before it is anybody's shortcut."""
        is_escape = isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape
        if is_escape and event.type() is QEvent.Type.ShortcutOverride and self._press is not None:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows go from cell to cell; Space marks or unmarks, Delete marks; Escape drops the rubber band."""
        key = Qt.Key(event.key())
        if key == Qt.Key.Key_Escape and self._press is not None:
            self._press, self._banding = None, False
            self.viewport().update()
        elif key in ARROWS and self._next(*ARROWS[key]) is not None:
            self.reached.emit(self._next(*ARROWS[key]))
        elif key == Qt.Key.Key_Space and self.current is not None:
            self.toggled.emit(self.current)
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.current is not None:
            self.removed.emit(self.current)
        else:
            super().keyPressEvent(event)

    def _next(self, rows: int, cells: int) -> Place | None:
        """The cell that lies so many rows and cells away; rows without cells are passed over."""
        usable = [n for n, one in enumerate(self.rows) if one.count]
        if not usable:
            return None
        if self.current is None:
            return usable[0], 0
        at = min(max(usable.index(self.current[0]) + rows, 0), len(usable) - 1)
        row = usable[at]
        return row, min(max(self.current[1] + cells, 0), self.rows[row].count - 1)

    def words_at(self, where: QPoint) -> str:
        """A cell, or what the row is."""
        place, row = self.place_at(QPointF(where)), self.row_at(where.y())
        return self.words(*place) if place is not None else self.words(row, -1) if row >= 0 else ""
