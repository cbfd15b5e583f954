"""The tree's view: fixed columns, drawn branches, and keys that mark, spare and lock what is selected."""

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPointF, QRect, Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTreeView, QWidget

from ...document import Document, Selection
from ...drawing import Drawing, actions
from ...theme import px, tokens
from ...widgets.chevron import chevron
from .delegate import TreeDelegate
from .model import Column, TreeModel

WIDTHS = {Column.SCORE: 104, Column.SHARE: 60}
"""Widths in device-independent pixels; Keeps is as wide as its numbers, the name takes the rest."""

NARROW_WIDTHS = {Column.SCORE: 56, Column.SHARE: 52}
"""In a narrow window: scores as numbers only."""

NARROW, NARROWEST = 360, 290
"""Widths of the tree below which scores lose their bars, and the share of MACs is left to the inspector."""


class StructureTree(QTreeView):
    """Rows of the model; selection and hover go to the document.

    Attributes:
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
        self._open: set[int] = set()
        self.setModel(model)
        self.setItemDelegate(TreeDelegate(self))
        self._dress()
        model.figures_changed.connect(self._repaint)
        model.modelAboutToBeReset.connect(self._remember)
        model.modelReset.connect(self._restore)
        self.selectionModel().currentChanged.connect(self._current_changed)

    def _dress(self) -> None:
        self.setAccessibleName(self.tr("Layers and structures"))
        self.setUniformRowHeights(True)
        self.setAnimated(False)
        self.setIndentation(14)
        self.setMouseTracking(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.header()
        header.setAccessibleName(self.tr("Columns of the tree; Score sorts"))
        header.setStretchLastSection(False)
        header.setSectionsClickable(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(40)
        header.sectionClicked.connect(self._sort)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the names enough room."""
        self._share_room(event.size().width())
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other columns."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and self.model() is not None:
            self._share_room(self.viewport().width())

    def _share_room(self, whole: int) -> None:
        narrow = whole < px(NARROW)
        self.setIndentation(10 if narrow else 12)
        self.header().setSectionHidden(Column.SHARE, whole < px(NARROWEST))
        for column, width in (NARROW_WIDTHS if narrow else WIDTHS).items():
            self.header().resizeSection(column, px(width))
        widest = self.fontMetrics().horizontalAdvance(self.rows.widest_keeps())
        self.header().resizeSection(Column.KEEPS, max(px(62), widest + 6))

    def drawBranches(self, painter: QPainter, rect: QRect, index: QModelIndex) -> None:
        """An arrow where there is something below, and the row's colour behind it."""
        look = tokens()
        if self.selectionModel().isSelected(index):
            painter.fillRect(rect, look.selection)
        if self.rows.hasChildren(index):
            centre = QPointF(rect.right() - self.indentation() / 2 + 1, rect.center().y() + 0.5)
            chevron(painter, centre, "down" if self.isExpanded(index) else "right", look.muted)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space marks or spares, Delete marks, L locks or unlocks, Return edits how many to keep."""
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
        if index.isValid() and self.rows.flags(index) & Qt.ItemFlag.ItemIsEditable:
            self.edit(index)
        elif index.isValid():
            self.setExpanded(index.siblingAtColumn(0), not self.isExpanded(index.siblingAtColumn(0)))

    def mark(self, on: bool) -> None:
        """Mark or spare the selected structures."""
        chosen = self.chosen()
        if chosen:
            self.document.mark(chosen, on)
        else:
            self.refused.emit(self.tr("Select single structures, or double-click Keeps and type how many stay."))

    def toggle_marks(self) -> None:
        """Mark what is selected; spare it when all of it is marked."""
        chosen = self.chosen()
        self.mark(not (chosen and all(self.document.marked[s] for s in chosen)))

    def lock(self, on: bool) -> None:
        """Lock or unlock the selected structures, and all of the sets that are selected."""
        chosen = self.chosen(whole_sets=True)
        if chosen:
            self.document.lock(chosen, on)

    def chosen(self, whole_sets: bool = False) -> list[int]:
        """The selected structures; with `whole_sets` also all of a selected set."""
        found: list[int] = []
        for index in self.selectionModel().selectedRows():
            own = self.rows.structures(index)
            if not own and whole_sets and self.rows.analysis is not None and (number := self.rows.owned(index)) >= 0:
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
            (self.tr("Spare"), single, lambda: self.mark(False)),
            (
                self.tr("Keep a number \u2026\tReturn"),
                bool(self.rows.flags(keeps) & Qt.ItemFlag.ItemIsEditable),
                self.edit_keeps,
            ),
            (self.tr("Lock"), any_chosen, lambda: self.lock(True)),
            (self.tr("Unlock"), any_chosen, lambda: self.lock(False)),
        )
        for text, enabled, act in entries:
            menu.addAction(text, act).setEnabled(enabled)
        if self.drawing is not None:
            menu.addSeparator()
            menu.addActions(actions(self.drawing, menu, self.window()))
        return menu

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """What goes along with the structure under the mouse is shown while it is there."""
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
            self.selectionModel().setCurrentIndex(index, flags)
            self.scrollTo(index)

    @Slot(QModelIndex, QModelIndex)
    def _current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        if current.isValid():
            own = self.rows.structures(current)
            found = Selection(self.rows.module(current), self.rows.owned(current), own[0] if own else -1)
            self.document.select(found)

    @Slot(int)
    def _sort(self, column: int) -> None:
        header = self.header()
        again = header.isSortIndicatorShown() and header.sortIndicatorOrder() is Qt.SortOrder.AscendingOrder
        order = Qt.SortOrder.DescendingOrder if again and column == Column.SCORE else Qt.SortOrder.AscendingOrder
        header.setSortIndicator(column, order)
        header.setSortIndicatorShown(column == Column.SCORE)
        self.rows.sort(column, order)

    @Slot()
    def _repaint(self) -> None:
        self.viewport().update()

    @Slot()
    def _remember(self) -> None:
        model, found, todo = self.rows, set[int](), [QModelIndex()]
        while todo:
            above = todo.pop()
            for row in range(model.rowCount(above)):
                index = model.index(row, 0, above)
                if self.isExpanded(index):
                    found.add(index.internalId())
                    todo.append(index)
        self._open = found

    @Slot()
    def _restore(self) -> None:
        model, todo = self.rows, [QModelIndex()]
        while todo:
            above = todo.pop()
            for row in range(model.rowCount(above)):
                index = model.index(row, 0, above)
                if index.internalId() in self._open:
                    self.setExpanded(index, True)
                    todo.append(index)
        self._share_room(self.viewport().width())
        self.show_selection(self.document.selection)
