"""The two trees: opened, scrolled and selected together; the right one says what differs."""

from collections.abc import Callable, Iterable

from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    Qt,
    Slot,
)
from PySide6.QtGui import QColor, QFont, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from ...document.document import Document, Selection
from ...theme import px, tokens
from ...widgets.elide import shortened
from ...widgets.labels import ElidedLabel
from ...widgets.painting import chevron
from ...widgets.table import elide_titles
from ..tree.expanded_rows import OpenRows
from .cell_text import Column
from .difference import ADDED, COSTS, NARROWER, OTHERS, REMOVED, SAME, WIDER
from .model import CompareModel, Role

SHOWN = (
    (Column.NAME, Column.KEEPS_LEFT, Column.MACS_LEFT),
    (Column.NAME, Column.KEEPS_RIGHT, Column.MACS_RIGHT, Column.CHANGE),
)
WIDTHS = {
    **{Column.KEEPS_LEFT: 46, Column.KEEPS_RIGHT: 46, Column.MACS_LEFT: 58, Column.MACS_RIGHT: 58},
    Column.CHANGE: 124,
}
"""Of columns but the names, in pixels at the first size of text."""
NARROW, LEAST = 520, 74
"""Width of both below which the MACs are left to the tooltip; that of the differences then."""


class CompareDelegate(QStyledItemDelegate):
    """Colours what differs; what is gone is struck out, and the words stand in a column of their own."""

    def __init__(self, right: bool, view: QTreeView) -> None:
        """Draw one side."""
        super().__init__(view)
        self._gone = Role.GONE_RIGHT if right else Role.GONE_LEFT
        self._keeps = Column.KEEPS_RIGHT if right else Column.KEEPS_LEFT
        self._view = view

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Draw one cell; a name takes the room of "keeps" too where that says nothing."""
        look, kind, gone = tokens(), int(index.data(Role.KIND) or SAME), bool(index.data(self._gone))
        rect, alone = option.rect, not index.sibling(index.row(), self._keeps).data()
        if alone and index.column() == self._keeps:
            return
        if alone and index.column() == Column.NAME:
            rect = rect.adjusted(0, 0, self._view.columnWidth(self._keeps), 0)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, QColor(look.selection))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, QColor(look.hover))
        colour = {
            REMOVED: look.marked,
            NARROWER: look.marked,
            ADDED: look.accent,
            WIDER: look.accent,
            OTHERS: look.text,
            COSTS: look.text,
        }.get(kind, look.muted)
        if index.column() == Column.NAME and not gone:
            colour = look.text if kind != SAME else look.muted
        area = QRectF(rect).adjusted(3, 0, -3, 0)
        painter.save()
        painter.setPen(QColor(colour))
        font = QFont(option.font)
        font.setStrikeOut(gone and index.column() == Column.NAME)
        painter.setFont(font)
        left = index.column() in (Column.NAME, Column.CHANGE)
        side = Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight
        text, measure = index.data() or "", painter.fontMetrics()
        if index.column() == Column.NAME:
            text = shortened(text, area.width(), measure)
        elif index.column() == Column.CHANGE:
            text = fitting(text, area.width(), measure.horizontalAdvance)
        text = measure.elidedText(text, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | side, text)
        painter.restore()


class CompareTree(QTreeView):
    """One side."""

    def __init__(self, model: CompareModel, right: bool, parent: QWidget | None = None) -> None:
        """Show the columns of a side."""
        super().__init__(parent)
        self.setModel(model)
        self.setItemDelegate(CompareDelegate(right, self))
        self.setUniformRowHeights(True)
        self.setAnimated(False)
        self.setIndentation(12)
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.header()
        header.setStretchLastSection(False)
        elide_titles(header)
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        for column in Column:
            self.setColumnHidden(column, column not in SHOWN[int(right)])

    def drawBranches(self, painter: QPainter, rect: QRect, index: QModelIndex) -> None:
        """An arrow where there is something below, and the row's colour behind it."""
        look = tokens()
        if self.selectionModel().isSelected(index):
            painter.fillRect(rect, look.selection)
        if self.model().hasChildren(index):
            centre = QPointF(rect.right() - self.indentation() / 2 + 1, rect.center().y() + 0.5)
            chevron(painter, centre, "down" if self.isExpanded(index) else "right", look.muted)


class TwoTrees(QWidget):
    """Both sides.

    Attributes:
        left: The tree of the left model.
        right: The tree of the right model.
    """

    def __init__(self, document: Document, model: CompareModel, parent: QWidget | None = None) -> None:
        """Show a comparison."""
        super().__init__(parent)
        self.document, self.rows = document, model
        self.left, self.right = CompareTree(model, False), CompareTree(model, True)
        self._costs = (ElidedLabel(role="caption", tells=False), ElidedLabel(role="caption", tells=False))
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        for number, tree in enumerate((self.left, self.right)):
            tree.setMinimumWidth(0)
            tree.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
            column = QVBoxLayout()
            column.setSpacing(1)
            column.addWidget(self._costs[number])
            column.addWidget(tree, 1)
            row.addLayout(column, 1)
        self.left.setAccessibleName(self.tr("Left model"))
        self.right.setAccessibleName(self.tr("Right model, with the differences"))
        for tree in (self.left, self.right):
            tree.header().setAccessibleName(self.tr("Columns of {0}").format(tree.accessibleName()))
        self._join()

    def _join(self) -> None:
        """What one tree does, the other does."""
        self.right.setSelectionModel(self.left.selectionModel())
        for one, other in ((self.left, self.right), (self.right, self.left)):
            one.expanded.connect(other.expand)
            one.collapsed.connect(other.collapse)
            one.verticalScrollBar().valueChanged.connect(other.verticalScrollBar().setValue)
        self._open = OpenRows(self.left, self.rows)
        self.left.selectionModel().currentChanged.connect(self._current_changed)
        self.rows.modelReset.connect(self._restored)

    def say(self, heads: Iterable[tuple[str, str]]) -> None:
        """Head each tree with (what its model costs, the same with how it is known)."""
        for each, (text, tip) in zip(self._costs, heads, strict=True):
            each.setText(text)
            each.setToolTip(tip)

    def show_costs(self, shown: bool) -> None:
        """With or without the heads: in a low window rows are worth more."""
        for each in self._costs:
            each.setVisible(shown)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window the MACs make room for names."""
        super().resizeEvent(event)
        self._share_room()

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other columns."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "_row"):
            self._share_room()

    def _share_room(self) -> None:
        """Columns as wide as the text needs them, and as much room for the names on both sides."""
        narrow = self.width() < px(NARROW)
        self.left.setColumnHidden(Column.MACS_LEFT, narrow)
        self.right.setColumnHidden(Column.MACS_RIGHT, narrow)
        for tree in (self.left, self.right):
            for column, width in WIDTHS.items():
                if not tree.isColumnHidden(column):
                    tree.header().resizeSection(column, px(LEAST if narrow and column is Column.CHANGE else width))
        needed = [
            sum(tree.columnWidth(column) for column in WIDTHS if not tree.isColumnHidden(column))
            for tree in (self.left, self.right)
        ]
        names = max((self.width() - self._row.spacing() - sum(needed)) // 2, 1)
        for number, width in enumerate(needed):
            self._row.setStretch(number, names + width)

    def show_selection(self, selection: Selection) -> None:
        """Make the document's selection the current row of both."""
        index = self.rows.index_of(selection.module, selection.set_number, selection.structure)
        if index.isValid() and index != self.left.currentIndex().siblingAtColumn(0):
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.left.selectionModel().setCurrentIndex(index, flags)
            self.left.scrollTo(index)

    @Slot(QModelIndex, QModelIndex)
    def _current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        if current.isValid():
            self.document.select_alone(self.rows.selection(current))

    @Slot()
    def _restored(self) -> None:
        self.show_selection(self.document.selection)


def fitting(text: str, room: float, width: Callable[[str], int]) -> str:
    """A difference in as many words as there is room for, and at least two: "24 fewer" of "24 fewer channels"."""
    while width(text) > room and text.count(" ") > 1:
        text = text.rpartition(" ")[0]
    return text
