"""The tree's view: fixed columns, drawn branches, and keys that mark, spare and lock what is selected."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QColor, QContextMenuEvent, QFont, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from ...dialogs.save_plot import asks_to_save
from ...document.aspects import Selection
from ...document.document import Document
from ...storage import settings
from ...text.format import share
from ...theme import px, tokens
from ...widgets.labels import shortened
from ...widgets.painting import WIDTH, chevron, padlock, paint_score_bar
from ...widgets.plot_export import Drawing, actions
from ...widgets.table import TopRow, elide_titles
from .cell_text import Cells
from .model import Column, TreeModel
from .rows_model import OpenRows

MUTED = ("removed", "locked", "fixed", "along")
LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
ASIDE = 3
"""Left and right of the contents of a cell, in device-independent pixels."""


class TreeDelegate(QStyledItemDelegate):
    """One for all columns; reads the cells of the model directly, because it is asked for hundreds of them a frame."""

    def __init__(self, view: QTreeView, model: TreeModel) -> None:
        """Draw the cells of a tree."""
        super().__init__(view)
        self._view, self._model = view, model
        self.look = tokens()

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Draw one cell."""
        cells = self._model.cells
        if cells is None:
            return
        row, column, look, rect = index.internalId(), index.column(), self.look, QRectF(option.rect)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        filled = selected or bool(option.state & QStyle.StateFlag.State_MouseOver)
        if filled:
            painter.fillRect(option.rect, QColor(look.selection if selected else look.hover))
        if column == Column.NAME:
            self._paint_name(painter, option, cells, row, rect)
            return
        text, state = cells.text(row, column), cells.state(row)
        takes = column == Column.KEEPS and cells.taken(row) > 0
        colour = look.marked if takes or state == "marked" else look.muted if state in MUTED else look.text
        if column == Column.SCORE:
            muted = colour if state == "marked" else look.muted
            paint_score_bar(painter, rect.adjusted(ASIDE, 0, -ASIDE, 0), cells.fraction(row), text, muted)
        elif text:
            painter.setFont(option.font)
            painter.setPen(QColor(colour))
            painter.drawText(rect.adjusted(ASIDE, 0, -ASIDE, 0), RIGHT, text)
        elif column == Column.KEEPS and filled:
            # The ground of this cell covers the end of the name, which was drawn into it: draw that again.
            name = QRectF(self._view.visualRect(index.sibling(index.row(), Column.NAME)))
            painter.save()
            painter.setClipRect(rect)
            self._paint_name(painter, option, cells, row, name)
            painter.restore()

    def _paint_name(
        self, painter: QPainter, option: QStyleOptionViewItem, cells: Cells, row: int, rect: QRectF
    ) -> None:
        """The name with a few words; it takes the room of "keeps" too where that says nothing."""
        state, look = cells.state(row), self.look
        if not cells.text(row, Column.KEEPS):
            rect = rect.adjusted(0, 0, self._view.columnWidth(Column.KEEPS), 0)
        font = QFont(option.font)
        font.setStrikeOut(state in ("marked", "removed"))
        painter.setFont(font)
        if cells.locked(row):
            rect.adjust(0, 0, -2 * WIDTH, 0)
            padlock(painter, QPointF(rect.right() + WIDTH / 2, rect.center().y() + 0.5), look.muted)
        painter.setPen(QColor(look.marked if state == "marked" else look.muted if state in MUTED else look.text))
        area, name, detail = rect.adjusted(ASIDE, 0, -ASIDE, 0), cells.name(row), cells.detail(row)
        measure = painter.fontMetrics()
        used = measure.horizontalAdvance(name) + 8
        if used - 8 > area.width():
            name = shortened(name, area.width(), measure)
        painter.drawText(area, LEFT, name)
        if detail and used + 20 < area.width():
            painter.setPen(QColor(look.muted))
            rest = area.adjusted(used, 0, 0, 0)
            painter.drawText(rest, LEFT, measure.elidedText(detail, Qt.TextElideMode.ElideRight, int(rest.width())))

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QWidget:
        """A line to type how many to keep."""
        editor = QLineEdit(parent)
        editor.setAlignment(Qt.AlignmentFlag.AlignRight)
        editor.setAccessibleName(self.tr("Number to keep"))
        return editor

    def setEditorData(self, editor: QWidget, index: QModelIndex | QPersistentModelIndex) -> None:
        """Start from the present number, selected."""
        assert isinstance(editor, QLineEdit)
        if not editor.isModified():
            editor.setText(str(index.data(Qt.ItemDataRole.EditRole)))
            editor.selectAll()


WIDTHS = {Column.SCORE: 104, Column.SHARE: 60, Column.TIME: 56, Column.PARAMETERS: 76, Column.SHAPE: 116}
"""Widths in device-independent pixels; Keeps is as wide as its numbers, the name takes the rest."""
NARROW_WIDTHS = {**WIDTHS, Column.SCORE: 56, Column.SHARE: 52}
"""In a narrow window: scores as numbers only."""
FROM = {Column.SHARE: 290, Column.TIME: 400, Column.PARAMETERS: 560, Column.SHAPE: 660}
"""Widths of the tree from which a column is shown by itself; what is left out is in the inspector."""
NARROW = 360
WIDEST = (share(0.00088), share(0.00001))
"""Shares that take as much room as any."""
KEY = "tree_columns"
EMPTY: dict[str, bool] = {}
"""No column was switched on or off by hand."""


class Columns(QObject):
    """The columns of a tree.

    Attributes:
        chosen: Columns that a person has switched on or off.
    """

    def __init__(self, view: QTreeView, model: TreeModel) -> None:
        """Take charge of a tree's header."""
        super().__init__(view)
        self._view, self._model = view, model
        self.chosen: dict[int, bool] = {}
        self.chosen |= {Column[n]: bool(on) for n, on in settings.value(KEY, EMPTY).items() if n in Column.__members__}
        header = view.header()
        header.setAccessibleName(self.tr("Columns of the tree; click to sort, open the menu to choose columns"))
        header.setStretchLastSection(False)
        elide_titles(header)
        header.setSectionsClickable(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(40)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._open_menu)
        header.sectionClicked.connect(self.sort_by)
        model.modelReset.connect(self.show_sorting)

    def share_room(self, whole: int) -> None:
        """Lay the columns out in so many device-independent pixels."""
        header, narrow = self._view.header(), whole < px(NARROW)
        self._view.setIndentation(10 if narrow else 12)
        for column, width in (NARROW_WIDTHS if narrow else WIDTHS).items():
            header.resizeSection(column, px(width))
        figures = self._model.figures
        timed = figures is not None and bool(np.isfinite(figures.times).any())
        for column, least in FROM.items():
            fits = whole >= px(least) and (column is not Column.TIME or timed)
            header.setSectionHidden(column, not self.chosen.get(column, fits))
        measure = self._view.fontMetrics()
        widest = max(map(measure.horizontalAdvance, WIDEST)) + 2 * ASIDE
        for column in (Column.SHARE, Column.TIME):
            if not header.isSectionHidden(column):
                header.resizeSection(column, max(header.sectionSize(column), widest))
        widest = measure.horizontalAdvance(self._model.widest_keeps())
        header.resizeSection(Column.KEEPS, max(px(62), widest + 2 * ASIDE))

    def menu(self) -> QMenu:
        """Which columns are shown, to switch on and off."""
        menu = QMenu(self._view)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for column in FROM:
            action = menu.addAction(self._model.titles()[column])
            action.setCheckable(True)
            action.setChecked(not self._view.isColumnHidden(column))
            action.toggled.connect(lambda on, column=column: self.choose(column, on))
        menu.addSeparator()
        menu.addAction(self.tr("Automatic"), self.choose_none)
        return menu

    def choose(self, column: int, on: bool) -> None:
        """Show a column, or not, whatever fits."""
        self.chosen[column] = on
        self._store()

    @Slot()
    def choose_none(self) -> None:
        """Show what fits."""
        self.chosen.clear()
        self._store()

    def _store(self) -> None:
        settings.store(KEY, {Column(column).name: on for column, on in self.chosen.items()})
        self.share_room(self._view.viewport().width())

    @Slot(QPoint)
    def _open_menu(self, where: QPoint) -> None:
        self.menu().popup(self._view.header().mapToGlobal(where))

    @Slot(int)
    def sort_by(self, column: int) -> None:
        """By a column, largest first, then smallest, then as the model has it; scores begin with the smallest."""
        sorted_by, smallest = self._model.document.contents.listing.sorting, column == Column.SCORE
        first, second = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder
        if smallest:
            first, second = second, first
        if column in (Column.NAME, Column.SHAPE) or sorted_by == (column, not smallest):
            self._model.sort(Column.NAME)
        else:
            self._model.sort(column, second if sorted_by == (column, smallest) else first)
        self.show_sorting()

    @Slot()
    def show_sorting(self) -> None:
        """The arrow of the column that rows are sorted by."""
        sorting, header = self._model.document.contents.listing.sorting, self._view.header()
        header.setSortIndicatorShown(sorting is not None)
        if sorting is not None:
            header.setSortIndicator(
                sorting[0], Qt.SortOrder.AscendingOrder if sorting[1] else Qt.SortOrder.DescendingOrder
            )


class StructureTree(QTreeView):
    """Rows of the model; selection and hover go to the document.

    Attributes:
        columns: Which columns are shown.
        open_rows: Which rows are open.
        drawing: What of it can be taken along, None for nothing.

    Signals:
        refused: A sentence: the gesture cannot be.
    """

    refused = Signal(str)

    def __init__(self, document: Document, model: TreeModel, parent: QWidget | None = None) -> None:
        """Show the model."""
        super().__init__(parent)
        self.document, self.rows = document, model
        self.drawing: Drawing | None = None
        self.setModel(model)
        self._delegate = TreeDelegate(self, model)
        self.setItemDelegate(self._delegate)
        self.columns = Columns(self, model)
        self.setAccessibleName(self.tr("Layers and structures"))
        self.setUniformRowHeights(True)
        self.setAnimated(False)
        self.setIndentation(14)
        self.setMouseTracking(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        model.figures_changed.connect(self._repaint)
        self.open_rows = OpenRows(self, model)
        self._top = TopRow(self)
        self._following = False
        self._selected_together: tuple[int, ...] = ()
        model.modelReset.connect(self._restore_selection)
        self.selectionModel().currentChanged.connect(self._tell_selection)
        self.selectionModel().selectionChanged.connect(self._tell_selection)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the names enough room."""
        self.columns.share_room(event.size().width())
        super().resizeEvent(event)

    def dataChanged(self, topLeft: QModelIndex, bottomRight: QModelIndex, roles: Sequence[int] = ()) -> None:
        """All rows are equally tall: what changed in many is painted again, and none of them is measured."""
        if topLeft.row() == bottomRight.row() and topLeft.column() == bottomRight.column():
            super().dataChanged(topLeft, bottomRight, list(roles))
        else:
            self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """All rows that are seen, in the present colours."""
        self._delegate.look = tokens()
        super().paintEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other columns."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "columns"):
            self.columns.share_room(self.viewport().width())

    def drawBranches(self, painter: QPainter, rect: QRect, index: QModelIndex) -> None:
        """An arrow where there is something below, and the row's colour behind it."""
        look = self._delegate.look
        if self.selectionModel().isSelected(index):
            painter.fillRect(rect, look.selection)
        if self.rows.hasChildren(index):
            centre = QPointF(rect.right() - self.indentation() / 2 + 1, rect.center().y() + 0.5)
            chevron(painter, centre, "down" if self.isExpanded(index) else "right", look.muted)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space marks or spares, Delete marks, Return edits how many to keep."""
        if event.modifiers() not in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
            super().keyPressEvent(event)
        elif event.key() == Qt.Key.Key_Space:
            self.toggle_marks()
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.mark(True)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.state() != self.State.EditingState:
            self.edit_keeps()
        else:
            super().keyPressEvent(event)

    def edit_keeps(self) -> None:
        """Type how many the current row keeps."""
        index = self.currentIndex().siblingAtColumn(Column.KEEPS)
        if self.state() is QAbstractItemView.State.EditingState:
            # A number is being typed already.
            return
        if index.isValid() and self.rows.flags(index) & Qt.ItemFlag.ItemIsEditable:
            self.edit(index)
        elif index.isValid():
            self.setExpanded(index.siblingAtColumn(0), not self.isExpanded(index.siblingAtColumn(0)))

    def mark(self, on: bool) -> None:
        """Mark or spare the selected structures."""
        chosen = self.chosen()
        if chosen:
            self.document.plan.mark(chosen, on)
        else:
            self.refused.emit(self.tr("Select structures, or double-click Keeps and enter how many to keep."))

    def toggle_marks(self) -> None:
        """Mark what is selected; unmark it when all of it is marked."""
        if chosen := self.chosen():
            self.document.plan.toggle_marks(chosen)
        else:
            self.mark(True)

    def lock(self, on: bool) -> None:
        """Lock or unlock the selected structures, and all of the sets that are selected."""
        chosen = self.chosen(whole_sets=True)
        if chosen:
            self.document.plan.lock(chosen, on)

    @Slot()
    def invert(self) -> None:
        """Mark what is not marked and spare what is, in the sets that are selected."""
        chosen = self.chosen(whole_sets=True)
        if chosen and self.rows.analysis is not None:
            scope = self.rows.analysis.empty()
            scope[chosen] = True
            self.document.plan.invert(scope)

    @Slot()
    def _ask_pattern(self) -> None:
        """Keep a share in every layer that is called as the current one."""
        from secateur.engine.planning.selection_rules import StructureChoice

        from ...dialogs.mark import MarkDialog

        names = self.rows.module(self.currentIndex())
        self.document.requested.emit(lambda window: MarkDialog(window, StructureChoice.KEEP_SHARE, names=names).open())

    def chosen(self, whole_sets: bool = False) -> list[int]:
        """The selected structures; with `whole_sets` also all of a selected set."""
        found: list[int] = []
        for index in self.selectionModel().selectedRows():
            own = self.rows.structures(index)
            if (
                not own
                and whole_sets
                and self.rows.analysis is not None
                and (number := self.rows.set_number(index)) >= 0
            ):
                place = self.rows.analysis.sets[number].structures
                own = tuple(range(place.start, place.stop))
            found.extend(own)
        return found

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done with the selected rows."""
        self.menu().popup(event.globalPos())

    def menu(self) -> QMenu:
        """The context menu for the present selection."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        single, any_chosen = bool(self.chosen()), bool(self.chosen(whole_sets=True))
        keeps = self.currentIndex().siblingAtColumn(Column.KEEPS)
        entries = (
            (self.tr("Mark for removal\tDel"), single, lambda: self.mark(True)),
            (self.tr("Unmark"), single, lambda: self.mark(False)),
            (
                self.tr("Keep a number \u2026\tReturn"),
                bool(self.rows.flags(keeps) & Qt.ItemFlag.ItemIsEditable),
                self.edit_keeps,
            ),
            (self.tr("Try without it"), single and self.document.task is not None, self._try_without),
            (self.tr("Keep by pattern \u2026"), any_chosen, self._ask_pattern),
            (self.tr("Invert marks"), any_chosen, self.invert),
            (self.tr("Lock"), any_chosen, lambda: self.lock(True)),
            (self.tr("Unlock"), any_chosen, lambda: self.lock(False)),
        )
        for text, enabled, act in entries:
            menu.addAction(text, act).setEnabled(enabled)
        if self.drawing is not None:
            menu.addSeparator()
            menu.addActions(actions(self.drawing, menu, asks_to_save(self.document)))
        return menu

    @Slot()
    def _try_without(self) -> None:
        self.document.requested.emit(lambda window: window.run_command("run.try"))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """What is removed with the structure under the mouse is shown while it is there."""
        super().mouseMoveEvent(event)
        own = self.rows.structures(self.indexAt(event.position().toPoint()))
        self.document.hover(own[0] if own else -1)

    def leaveEvent(self, event) -> None:  # noqa: ANN001
        """Nothing is under the mouse any more."""
        super().leaveEvent(event)
        self.document.hover(-1)

    def show_selection(self, selection: Selection) -> None:
        """Make the document's selection the current row."""
        index = self.rows.index_of(selection.module, selection.set_number, selection.structure)
        if index.isValid() and index != self.currentIndex().siblingAtColumn(0):
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            # The document has this selection already.
            self._following = True
            self.selectionModel().setCurrentIndex(index, flags)
            self._following = False
            self.scrollTo(index)

    @Slot()
    def _tell_selection(self) -> None:
        """What commands, buttons and other views work on is all that is selected here."""
        current = self.currentIndex()
        if self._following or not current.isValid():
            return
        several = len(self.selectionModel().selectedRows()) > 1
        self._selected_together = tuple(self.chosen(whole_sets=True)) if several else ()
        self.document.select(replace(self.rows.selection(current), several=self._selected_together))

    @Slot()
    def _repaint(self) -> None:
        self.viewport().update()

    @Slot()
    def _restore_selection(self) -> None:
        self.columns.share_room(self.viewport().width())
        selection = self.document.selection
        # The view has other rows now, of which only the current one is selected.
        if self._selected_together and selection.several == self._selected_together:
            self.document.select(replace(selection, several=()))
        self.show_selection(selection)
