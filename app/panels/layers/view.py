"""The table of layers: fixed columns, lines that tie layers, and keys that go from one to the next."""

import numpy as np
from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QLineF,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    Qt,
    Slot,
)
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from ...document.aspects import Selection
from ...theme import Tokens, px, tokens
from ...widgets.painting import WIDTH, padlock, paint_width
from ...widgets.table import TopRow, TypeAhead, elide_titles
from .model import Column, LayersModel

LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
SHARES = (Column.MACS, Column.TIME, Column.PARAMETERS, Column.SENSITIVITY)


class LayersDelegate(QStyledItemDelegate):
    """One for all columns; reads the cells of the model directly, because it is asked for hundreds of them a frame.

    Attributes:
        look: Present colours; the view sets them once a frame.
        hovered: The row under the mouse, -1 for none.
    """

    def __init__(self, view: QTableView, model: LayersModel) -> None:
        """Draw the cells of a table."""
        super().__init__(view)
        self._model = model
        self.look = tokens()
        self.hovered = -1

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Draw one cell."""
        cells = self._model.cells
        if cells is None:
            return
        row, column, look = index.row(), index.column(), self.look
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, QColor(look.selection))
        elif row == self.hovered:
            painter.fillRect(option.rect, QColor(look.hover))
        area = QRectF(option.rect).adjusted(4, 0, -4, 0)
        painter.setFont(option.font)
        if column == Column.NAME:
            if cells.locked(row):
                area.adjust(0, 0, -2 * WIDTH, 0)
                padlock(painter, QPointF(area.right() + WIDTH, area.center().y() + 0.5), look.muted)
            # Shortened from the left, because the end of a path tells layers apart.
            detail, measure = cells.detail(row), painter.fontMetrics()
            shown = measure.elidedText(cells.text(row, column), Qt.TextElideMode.ElideLeft, int(area.width()))
            head, dot, tail = shown.rpartition(".")
            painter.setPen(QColor(look.muted))
            painter.drawText(area, LEFT, head + dot)
            rest = area.adjusted(measure.horizontalAdvance(head + dot), 0, 0, 0)
            painter.setPen(QColor(look.text))
            painter.drawText(rest, LEFT, tail)
            used = measure.horizontalAdvance(tail) + 8
            if detail and used + measure.horizontalAdvance(detail) <= rest.width():
                painter.setPen(QColor(look.muted))
                painter.drawText(rest.adjusted(used, 0, 0, 0), LEFT, detail)
        elif column == Column.WIDTH:
            width, present, kept = cells.bar(row)
            bar = QRectF(area.left(), area.center().y() - 5, max(3.0, area.width() * width), 10)
            paint_width(
                painter, bar, look, present=present / width if width else 0.0, kept=kept / width if width else 0.0,
                score=cells.fraction(row), fixed=cells.fixed(row),
            )  # fmt: skip
        elif column in (Column.KEEPS, Column.SCORE):
            muted = column == Column.SCORE or cells.fixed(row)
            painter.setPen(QColor(look.muted if muted else look.text))
            painter.drawText(area, LEFT, _elide(painter, area, cells.text(row, column)))
        elif column in SHARES and (text := cells.text(row, column)):
            flat = column == Column.TIME and cells.flat(row)
            colour = look.marked if flat or column == Column.SENSITIVITY else look.muted
            painter.setPen(QColor(look.text))
            painter.drawText(area.adjusted(0, 0, 0, -4), LEFT, _elide(painter, area, text))
            track = QRectF(area.left(), area.bottom() - 5, area.width(), 2)
            painter.fillRect(track, QColor(look.line))
            track.setWidth(track.width() * min(max(cells.part(row, column), 0.0), 1.0))
            painter.fillRect(track, QColor(colour))
            if flat:
                no_gain(painter, area, look)


def _elide(painter: QPainter, area: QRectF, text: str) -> str:
    """A text, shortened where it must be: the tooltip of its row has all of it."""
    return painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(area.width()) + 1)


def no_gain(painter: QPainter, area: QRectF, look: Tokens) -> None:
    """The mark of a layer in which removal buys no time: two bars."""
    painter.setPen(QPen(QColor(look.marked), 2))
    y, right = area.center().y() - 2, area.right() - 3
    painter.drawLine(QLineF(right - 8, y - 2, right, y - 2))
    painter.drawLine(QLineF(right - 8, y + 2, right, y + 2))


ROW = 24
"""Height of a row and of the headings, in pixels at the first size of text."""
LANE = 7
"""Between two lines of ties, in device-independent pixels."""
BAR, NAME = 60, 96
"""Least width of the bars in device-independent pixels, and of names in pixels at the first size of text."""
PAST = 12
"""Room right of the lines of ties."""


def widths(room: float, lanes: int, keeps: int, title: int, measured: bool, timed: bool) -> dict[Column, int]:
    """Widths of the columns, 0 for those that are left out: what matters least goes where it is narrow.

    Args:
        room: Width of all, in device-independent pixels.
        lanes: Of ties.
        keeps: Width of the longest text on what is kept.
        title: Width of the heading of the scores.
        measured: There is a sensitivity to show.
        timed: There are times to show.
    """
    # In lengths that fit text of the first size: larger text leaves out more columns.
    wide = room / px(1000) * 1000
    found = {
        Column.TIES: lanes * LANE + PAST,
        Column.NAME: int(min(px(260), max(px(150), 0.26 * room), max(0.5 * room, 60))),
        Column.KEEPS: max(keeps + 10, px(72)),
        Column.SCORE: max(title + 14, px(60)) if wide >= 540 else 0,
        Column.MACS: px(70),
        Column.TIME: px(76) if timed and wide >= 400 else 0,
        Column.PARAMETERS: px(76) if wide >= 680 else 0,
        Column.SENSITIVITY: px(78) if wide >= 480 and measured else 0,
    }
    # Where it is too narrow, names are elided first; then the MACs go, which the tree has too.
    if (over := sum(found.values()) + BAR - int(room)) > 0:
        found[Column.NAME] = max(found[Column.NAME] - over, min(found[Column.NAME], px(NAME)))
        if sum(found.values()) + BAR > room:
            found[Column.MACS] = 0
    return {**found, Column.WIDTH: max(BAR, int(room) - sum(found.values()))}


class LayersView(QTableView):
    """Rows of the model; a row is selected as a whole, and its layer with it in the document."""

    def __init__(self, model: LayersModel, parent: QWidget | None = None) -> None:
        """Show the model."""
        super().__init__(parent)
        self.rows = model
        self.setModel(model)
        self._delegate = LayersDelegate(self, model)
        self.setItemDelegate(self._delegate)
        self._following = False
        self._ahead = TypeAhead()
        self.setAccessibleName(self.tr("Layers; arrow keys move between them, Return sets how many to keep"))
        self.horizontalHeader().setAccessibleName(self.tr("Columns of the layers"))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setMouseTracking(True)
        self.setMinimumSize(200, 100)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.horizontalHeader()
        elide_titles(header)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setMinimumSectionSize(0)
        header.setHighlightSections(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().hide()
        self._set_heights()
        self._top = TopRow(self)
        model.modelReset.connect(self.share_room)
        model.dataChanged.connect(self.share_room)
        self.clicked.connect(self._select)
        self.doubleClicked.connect(self._edit_keeps)

    def _set_heights(self) -> None:
        self.verticalHeader().setMinimumSectionSize(1)
        self.verticalHeader().setDefaultSectionSize(px(ROW))
        self.horizontalHeader().setFixedHeight(px(ROW))

    @property
    def current(self) -> int:
        """The selected row, -1 for none."""
        return self.currentIndex().row()

    def show_current(self, row: int) -> None:
        """Select a row and bring it into view, without telling that it was picked; -1 for none."""
        self._following = True
        if row < 0:
            self.selectionModel().clear()
        elif row != self.current:
            index = self.rows.index(row, Column.NAME)
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.selectionModel().setCurrentIndex(index, flags)
            self.scrollTo(index)
        self._following = False

    def whole(self) -> "LayersView":
        """A copy that is as tall as all of its rows, for a picture."""
        made = LayersView(self.rows)
        made.ensurePolished()
        height = made.horizontalHeader().height() + made.verticalHeader().length()
        made.resize(self.viewport().width(), height + 4)
        made.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        return made

    @Slot()
    def share_room(self) -> None:
        """Lay the columns out, as far as there is room."""
        layers = self.rows.layers
        lanes = 0 if layers is None else layers.lanes
        cells = self.rows.cells
        keeps = 0 if cells is None else self.fontMetrics().horizontalAdvance(cells.widest_keeps())
        title = self.horizontalHeader().fontMetrics().horizontalAdvance(self.rows.title)
        shown = widths(self.viewport().width(), lanes, keeps, title, bool(self.rows.lost), self.rows.timed)
        for column, width in shown.items():
            self.setColumnHidden(column, not width)
            self.setColumnWidth(column, width)

    # What Qt asks.

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width has room for other columns."""
        super().resizeEvent(event)
        self.share_room()

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other rows and columns."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "_top"):
            self._set_heights()
            self.share_room()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows that are seen, their ties, and a frame around the one that has the focus."""
        self._delegate.look = look = tokens()
        super().paintEvent(event)
        layers = self.rows.layers
        if layers is None or not self.rows.rowCount():
            return
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        first, last = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        last = last + 1 if last >= 0 else self.rows.rowCount()
        # A line for each tie, with a stub to each layer; those of the current row above the others.
        chosen = [id(tie) for tie in layers.ties_of(self.current)] if self.current >= 0 else []
        near = np.flatnonzero((layers.spans[:, 0] < last) & (layers.spans[:, 1] >= first))
        shown = [layers.ties[n] for n in near if layers.ties[n].lane >= 0 or id(layers.ties[n]) in chosen]
        for tie in sorted(shown, key=lambda t: id(t) in chosen):
            among = tie.rows[np.searchsorted(tie.rows, first) : np.searchsorted(tie.rows, last)]
            ends = self._middle(int(tie.rows[0])), self._middle(int(tie.rows[-1]))
            seen = max(ends[0], 0.0), min(ends[1], float(self.viewport().height()))
            stubs = [self._middle(int(n)) for n in among]
            selected = id(tie) in chosen
            pen = QPen(QColor(look.accent if selected else look.muted), 2.0 if selected else 1.0)
            if tie.joined:
                pen.setStyle(Qt.PenStyle.DashLine)
            painter.setPen(pen)
            right = self.columnWidth(Column.TIES)
            x = right - 10 - max(tie.lane, 0) * LANE
            painter.drawLine(QLineF(x, seen[0], x, seen[1]))
            pen.setStyle(Qt.PenStyle.SolidLine)
            painter.setPen(pen)
            for y in stubs:
                painter.drawLine(QLineF(x, y, right - 4, y))
            if selected:
                painter.setBrush(QColor(look.accent))
                for y in stubs:
                    painter.drawEllipse(QPointF(x, y), 2.5, 2.5)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        if self.current >= 0 and self.hasFocus():
            painter.setPen(QPen(QColor(look.accent), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            top = self.rowViewportPosition(self.current)
            painter.drawRect(QRectF(0.5, top + 0.5, self.viewport().width() - 1, self.rowHeight(self.current) - 1))

    def _middle(self, row: int) -> float:
        return self.rowViewportPosition(row) + self.rowHeight(row) / 2

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """A key reached another row."""
        super().currentChanged(current, previous)
        # Ties of another row are highlighted.
        self.viewport().update()
        if current.isValid() and current.row() != previous.row() and not self._following:
            self._select(current)

    @Slot(QModelIndex)
    def _select(self, index: QModelIndex) -> None:
        layers = self.rows.layers
        if layers is not None:
            self.rows.document.select(Selection(layers.modules[index.row()], int(layers.sets[index.row()])))

    @Slot()
    def _edit_keeps(self) -> None:
        """Type in the tree how many the layer keeps."""
        self.rows.document.requested.emit(lambda window: window.edit_keeps())

    def moveCursor(self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        """Home and End go to the first and the last row; columns are not gone through."""
        ends = {QAbstractItemView.CursorAction.MoveHome: 0, QAbstractItemView.CursorAction.MoveEnd: -1}
        if action in ends and self.rows.rowCount():
            return self.rows.index(ends[action] % self.rows.rowCount(), Column.NAME)
        if action in (QAbstractItemView.CursorAction.MoveLeft, QAbstractItemView.CursorAction.MoveRight):
            return self.currentIndex()
        return super().moveCursor(action, modifiers)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Return and Space open a row; letters lead to a layer."""
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        if plain and event.key() in keys and self.current >= 0:
            self._edit_keeps()
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """The next layer with a part of its path that begins so."""
        paths = () if self.rows.layers is None else self.rows.layers.modules
        row = self._ahead.find(search, paths, self.current)
        if row >= 0:
            self.setCurrentIndex(self.rows.index(row, Column.NAME))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The row under the mouse is lit."""
        super().mouseMoveEvent(event)
        self._point(self.rowAt(int(event.position().y())))

    def leaveEvent(self, event: QEvent) -> None:
        """None is under the mouse."""
        super().leaveEvent(event)
        self._point(-1)

    def _point(self, row: int) -> None:
        if row != self._delegate.hovered:
            self._delegate.hovered = row
            self.viewport().update()
