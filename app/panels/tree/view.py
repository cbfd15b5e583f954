"""The tree's view: fixed columns, drawn branches, and keys that mark, spare and lock what is selected."""

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPointF, QRect, Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QMenu, QTreeView, QWidget

from ...dialogs.save_plot import asks_to_save
from ...document.document import Document, Selection
from ...theme import tokens
from ...widgets.painting import chevron
from ...widgets.plot_export import Drawing, actions
from ...widgets.table import TopRow
from .columns import Columns
from .delegate import TreeDelegate
from .expanded_rows import OpenRows
from .model import Column, TreeModel


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
        self._dress()
        model.figures_changed.connect(self._repaint)
        self.open_rows = OpenRows(self, model)
        self._top = TopRow(self)
        self._following = False
        self._told: tuple[int, ...] = ()
        model.modelReset.connect(self._restored)
        self.selectionModel().currentChanged.connect(self._tell_selection)
        self.selectionModel().selectionChanged.connect(self._tell_selection)

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
            return  # it is being typed
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
            (self.tr("Unmark"), single, lambda: self.mark(False)),
            (
                self.tr("Keep a number \u2026\tReturn"),
                bool(self.rows.flags(keeps) & Qt.ItemFlag.ItemIsEditable),
                self.edit_keeps,
            ),
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
        self._told = tuple(self.chosen(whole_sets=True)) if several else ()
        self.document.select(replace(self.rows.selection(current), several=self._told))

    @Slot()
    def _repaint(self) -> None:
        self.viewport().update()

    @Slot()
    def _restored(self) -> None:
        self.columns.share_room(self.viewport().width())
        selection = self.document.selection
        # The view has other rows now, of which only the current one is selected.
        if self._told and selection.several == self._told:
            self.document.select(replace(selection, several=()))
        self.show_selection(selection)
