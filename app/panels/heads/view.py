"""The heat map itself: a table whose cells are clicked, banded and reached by keys."""

from functools import cache

from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QLineF,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    Qt,
    Slot,
)
from PySide6.QtGui import QBrush, QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from ...document.aspects import Selection
from ...theme import ink, px, score_colour, sizes, tokens
from ...widgets.painting import padlock, paint_band
from ...widgets.table import TopRow, TypeAhead
from .model import HeadsModel, Place

GAP, ABOVE, BESIDE = 2, 3, 2.5
"""Between two cells, above and below one, and at both sides of a group, in device-independent pixels."""
NUMBERED = 20
"""Width of a cell from which its number is written in it."""
FIXED = 4
"""How many cells wide the sign of a layer is whose heads are fixed."""


class HeadsDelegate(QStyledItemDelegate):
    """One for all cells; reads the model directly, because it is asked for hundreds of them a frame."""

    def __init__(self, view: QTableView, model: HeadsModel) -> None:
        """Draw the cells of a table."""
        super().__init__(view)
        self._view, self._model = view, model

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Draw one cell."""
        place, row = self._model.place(index), self._model.rows[index.row()]
        area = QRectF(option.rect).adjusted(GAP / 2, ABOVE, -GAP / 2, -ABOVE)
        painter.setFont(option.font)
        if row.set_number < 0 and index.column() == 0:
            # The sign of a layer none of whose heads can be removed, as far as there is room before the word.
            word, cell = self._model.words["fixed"], self._view.columnWidth(0)
            sign = QRectF(area)
            needed = painter.fontMetrics().horizontalAdvance(word) + 10
            sign.setWidth(min(FIXED * cell - GAP, area.width() - needed))
            if sign.width() >= cell / 2:
                paint_cell(painter, sign, float("nan"), "fixed", "")
                area.adjust(sign.width() + 8, 0, 0, 0)
            painter.setPen(self._view.palette().placeholderText().color())
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, word)
        if place is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        fraction, state = self._model.look(place)
        if row.span == 1:
            paint_cell(painter, area, fraction, state, str(place[1]) if area.width() >= NUMBERED else "")
        else:
            # The query heads of a group within its frame; those that go in every group are struck out.
            inner = area.adjusted(BESIDE, 0, -BESIDE, 0)
            width = (inner.width() + GAP) / row.span
            for head in range(row.span):
                part = QRectF(inner.left() + head * width, inner.top(), width - GAP, inner.height())
                own = self._model.look((place[0] + 1, head))[1] if row.inner >= 0 else "free"
                lost = own if own in ("marked", "removed") and state not in ("marked", "removed") else state
                paint_cell(painter, part, fraction, lost, "")
            painter.setPen(QPen(QColor(tokens().muted), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(inner.adjusted(-1.5, -1.5, 1.5, 1.5), 2, 2)
        current = index == self._view.currentIndex()
        if option.state & QStyle.StateFlag.State_Selected or current:
            colour = tokens().accent if self._view.hasFocus() else tokens().text
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(colour), 2 if current else 1))
            painter.drawRect(area)
        painter.restore()


INK = cache(ink)
"""The colour of a number by its ground, of which there are a few hundred."""


def paint_cell(painter: QPainter, area: QRectF, fraction: float, state: str, text: str) -> None:
    """One head: filled by its score, struck where it is marked, with a lock, only an outline where it is removed."""
    look = tokens()
    painter.setPen(Qt.PenStyle.NoPen)
    if state == "removed":
        painter.setPen(QPen(QColor(look.muted), 1, Qt.PenStyle.DotLine))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))
        return
    if state == "fixed":
        painter.fillRect(area, QColor(look.line))
        painter.fillRect(area, QBrush(QColor(look.muted), Qt.BrushStyle.BDiagPattern))
        return
    fill = fill_colour(fraction)
    painter.fillRect(area, fill)
    painter.setPen(QColor(INK(fill.name())))
    if text and state == "free":
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
    if state == "marked":
        look = tokens()
        veil = QColor(look.panel)
        veil.setAlpha(150)
        painter.fillRect(area, veil)
        painter.setPen(QPen(QColor(look.marked), 2))
        inner = area.adjusted(3, 3, -3, -3)
        painter.drawLine(QLineF(inner.bottomLeft(), inner.topRight()))
        painter.drawLine(QLineF(inner.topLeft(), inner.bottomRight()))
        painter.setPen(QPen(QColor(look.marked), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))
    elif state == "locked":
        padlock(painter, area.center(), painter.pen().color())


def fill_colour(fraction: float) -> QColor:
    """The colour of a score; a grey of the look where it is unknown."""
    if fraction != fraction:
        return QColor(tokens().edge)
    return QColor(*score_colour(fraction))


class HeadsHeader(QHeaderView):
    """Numbers as captions in the middle of their columns; names shortened from the left, because their ends differ."""

    def __init__(self, orientation: Qt.Orientation, view: QTableView, model: HeadsModel) -> None:
        """Head the rows or the columns."""
        super().__init__(orientation, view)
        self._view, self._rows = view, model
        self.setMinimumSectionSize(1)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setHighlightSections(False)

    def paintSection(self, painter: QPainter, rect: QRect, logicalIndex: int) -> None:
        """One number, or one name."""
        look, text = tokens(), self._rows.headerData(logicalIndex, self.orientation())
        painter.fillRect(rect, QColor(look.panel))
        # The header's own font is smaller, by the style sheet.
        font = self._view.font()
        if self.orientation() is Qt.Orientation.Horizontal:
            font.setPixelSize(sizes().caption)
            painter.setFont(font)
            painter.setPen(QColor(look.muted))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)
            return
        row = self._rows.rows[logicalIndex]
        painter.setFont(font)
        painter.setPen(QColor(look.muted if row.within or row.set_number < 0 else look.text))
        area = rect.adjusted(6, 0, -8, 0)
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideLeft, area.width())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)


ROW, HEADER = 28, 20
"""Heights of a row and of the numbers above, in pixels at the first size of text."""
NARROW, WIDE = 15, 32
"""Widths of a cell at least and at most, in device-independent pixels."""
Action = QAbstractItemView.CursorAction
STEPS = {
    Action.MoveLeft: (0, -1), Action.MoveRight: (0, 1), Action.MoveUp: (-1, 0), Action.MoveDown: (1, 0),
    Action.MoveHome: (0, -(10**6)), Action.MoveEnd: (0, 10**6),
}  # fmt: skip
"""(rows, cells) that a key moves by."""


class HeadsView(QTableView):
    """Rows of heads; what is selected, marked and pointed at goes to the document."""

    def __init__(self, model: HeadsModel, parent: QWidget | None = None) -> None:
        """Show the model."""
        super().__init__(parent)
        self.rows = model
        self.setHorizontalHeader(HeadsHeader(Qt.Orientation.Horizontal, self, model))
        self.setVerticalHeader(HeadsHeader(Qt.Orientation.Vertical, self, model))
        self.setModel(model)
        self.setItemDelegate(HeadsDelegate(self, model))
        self._press: QPointF | None = None
        self._end = QPointF()
        self._banding = self._following = False
        self._hover: Place | None = None
        self._ahead = TypeAhead()
        self.setAccessibleName(self.tr("Heads; arrow keys move between them, Space marks or unmarks"))
        self.horizontalHeader().setAccessibleName(self.tr("Numbers of the query heads"))
        self.verticalHeader().setAccessibleName(self.tr("Layers with heads"))
        self.setShowGrid(False)
        self.setCornerButtonEnabled(False)
        self.setTabKeyNavigation(False)
        self.setMouseTracking(True)
        self.setMinimumSize(200, 90)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self._top = TopRow(self)
        model.modelReset.connect(self._restart)
        self._restart()

    @property
    def current(self) -> Place | None:
        """The selected cell, None for none."""
        return self.rows.place(self.currentIndex())

    def show_current(self, place: Place | None) -> None:
        """Select a cell and bring it into view, without telling that it was reached."""
        if place is None:
            self._following = True
            self.selectionModel().clear()
            self._following = False
        elif place != self.current:
            self._select_alone(place)
            self.scrollTo(self.rows.at(place))

    def _select_alone(self, place: Place) -> None:
        self._following = True
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.selectionModel().setCurrentIndex(self.rows.at(place), flags)
        self._following = False

    def whole(self) -> "HeadsView":
        """A copy that is as tall and wide as all of its rows, for a picture."""
        made = HeadsView(self.rows)
        made.ensurePolished()
        made.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        made.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        made.resize(self.size())
        height = made.horizontalHeader().height() + made.verticalHeader().length()
        width = made.verticalHeader().width() + made.horizontalHeader().length()
        made.resize(max(self.width(), width + 8), height + 4)
        return made

    @Slot()
    def _restart(self) -> None:
        """Other rows: cells of key/value groups are as wide as the query heads they serve, fixed rows are one."""
        self._hover = self._press = None
        self.clearSpans()
        for number, row in enumerate(self.rows.rows):
            width = row.span if row.count else self.rows.columnCount()
            if width > 1:
                for cell in range(max(row.count, 1)):
                    self.setSpan(number, cell * width, 1, width)
        self._share_room()

    def _share_room(self) -> None:
        """Names as wide as a part of the table, cells as wide as fits."""
        names = min(200, max(96, int(0.28 * self.width())))
        self.verticalHeader().setFixedWidth(names)
        self.verticalHeader().setDefaultSectionSize(px(ROW))
        self.horizontalHeader().setFixedHeight(px(HEADER))
        room = (self.width() - names - 12) // max(self.rows.columnCount(), 1)
        self.horizontalHeader().setDefaultSectionSize(min(WIDE, max(NARROW, room)))

    # What Qt asks.

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width has room for wider cells."""
        super().resizeEvent(event)
        self._share_room()

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other rows."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "_top"):
            self._share_room()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The cells that are seen, and the rubber band over them."""
        super().paintEvent(event)
        if self._banding and self._press is not None:
            paint_band(QPainter(self.viewport()), QRectF(self._press, self._end).normalized())

    # The mouse.

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click or a rubber band begins; with Shift or Ctrl the selection grows."""
        if event.button() is Qt.MouseButton.LeftButton and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self._press, self._end, self._banding = event.position(), event.position(), False
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The band grows; without a button the cell under the mouse is pointed at."""
        if self._press is not None:
            self._end = event.position()
            far = (self._end - self._press).manhattanLength() >= QApplication.startDragDistance()
            self._banding = self._banding or far
            self.viewport().update()
            return
        super().mouseMoveEvent(event)
        self._point(self._place_at(event.position()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A cell is marked or unmarked, or all that the band touches."""
        if self._press is None or event.button() is not Qt.MouseButton.LeftButton:
            super().mouseReleaseEvent(event)
            return
        place, banding = self._place_at(self._press), self._banding
        area = QRectF(self._press, event.position()).normalized()
        self._press, self._banding = None, False
        if banding:
            places = self.inside(area.toAlignedRect())
            self._toggle(places, select=len(places) > 1)
        elif place is not None:
            self._select_alone(place)
            self._toggle([place])
        self.viewport().update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """The second of two clicks is one as well."""
        self.mousePressEvent(event)

    def inside(self, area: QRect) -> list[Place]:
        """The cells that a rectangle of the viewport touches."""
        area = area & self.viewport().rect()
        top, bottom = self.rowAt(area.top()), self.rowAt(area.bottom())
        left, right = self.columnAt(area.left()), self.columnAt(area.right())
        if top < 0 or left < 0:
            return []
        bottom = self.rows.rowCount() - 1 if bottom < 0 else bottom
        right = self.rows.columnCount() - 1 if right < 0 else right
        found: list[Place] = []
        for number in range(top, bottom + 1):
            row = self.rows.rows[number]
            last = min(right, row.columns - 1)
            found += [(number, cell) for cell in range(left // row.span, last // row.span + 1)]
        return found

    def _place_at(self, where: QPointF) -> Place | None:
        return self.rows.place(self.indexAt(where.toPoint()))

    def leaveEvent(self, event: QEvent) -> None:
        """None is under the mouse."""
        super().leaveEvent(event)
        self._point(None)

    def _point(self, place: Place | None) -> None:
        if place != self._hover:
            self._hover = place
            self.rows.document.hover(-1 if place is None else self.rows.structure(place))

    # Keys.

    def event(self, event: QEvent) -> bool:
        """Escape drops the rubber band before it is a shortcut of the window."""
        is_escape = isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape
        if is_escape and event.type() is QEvent.Type.ShortcutOverride and self._press is not None:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space marks or unmarks what is selected, Delete marks it; Escape drops the rubber band."""
        key, plain = event.key(), event.modifiers() == Qt.KeyboardModifier.NoModifier
        if key == Qt.Key.Key_Escape and self._press is not None:
            self._press, self._banding = None, False
            self.viewport().update()
        elif plain and key == Qt.Key.Key_Space:
            self._toggle(self.selected())
        elif plain and key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            if places := self.selected():
                self.rows.document.plan.mark([self.rows.structure(place) for place in places], True)
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """The next layer with a part of its path that begins so."""
        current = self.current
        modules = [row.module if row.count else "" for row in self.rows.rows]
        row = self._ahead.find(search, modules, -1 if current is None else current[0])
        if row >= 0:
            cell = 0 if current is None else min(current[1], self.rows.rows[row].count - 1)
            self.setCurrentIndex(self.rows.at((row, cell)))

    def moveCursor(self, action: Action, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        """By cells, however wide; Home and End go through a row, with Ctrl through all. Fixed rows are passed over."""
        usable = [number for number, row in enumerate(self.rows.rows) if row.count]
        if not usable:
            return QModelIndex()
        if self.current is None:
            return self.rows.at((usable[0], 0))
        page = max(self.viewport().height() // px(ROW) - 1, 1)
        rows, cells = {**STEPS, Action.MovePageUp: (-page, 0), Action.MovePageDown: (page, 0)}.get(action, (0, 0))
        if cells and modifiers & Qt.KeyboardModifier.ControlModifier:
            rows = cells
        row = usable[min(max(usable.index(self.current[0]) + rows, 0), len(usable) - 1)]
        return self.rows.at((row, min(max(self.current[1] + cells, 0), self.rows.rows[row].count - 1)))

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """A key reached another cell."""
        super().currentChanged(current, previous)
        self._select_reached()

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        """Other cells are selected with the current one."""
        super().selectionChanged(selected, deselected)
        self._select_reached()

    def _select_reached(self) -> None:
        if self.current is not None and not self._following:
            self._select(self.current, self.selected())

    def _select(self, place: Place, places: list[Place]) -> None:
        """Select a cell in the document, alone or with others that are selected."""
        number, analysis = self.rows.rows[place[0]].set_number, self.rows.document.analysis
        assert analysis is not None
        several = tuple(map(self.rows.structure, places)) if len(places) > 1 else ()
        chosen = Selection(analysis.sets[number].module, number, self.rows.structure(place), several)
        self.rows.document.select(chosen)

    def _toggle(self, places: list[Place], select: bool = True) -> None:
        """Mark what of these is free; unmark it where all of it is marked."""
        if select and places:
            current = self.current
            self._select(current if current in places else places[0], places)
        self.rows.document.plan.toggle_marks([self.rows.structure(place) for place in places])

    def selected(self) -> list[Place]:
        """The selected cells, in order."""
        places = {self.rows.place(index) for index in self.selectionModel().selectedIndexes()}
        return sorted(place for place in places if place is not None)
