"""Paints the cells of the tree: names with muted details, bars for scores, a line through what is marked."""

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter
from PySide6.QtWidgets import QLineEdit, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTreeView, QWidget

from ...theme import Tokens, tokens
from ...widgets.elide import shortened
from ...widgets.painting import WIDTH, padlock, paint_score_bar
from .cell_text import Cells
from .model import Column, TreeModel

MUTED = ("removed", "locked", "fixed", "along")
LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
ASIDE = 3
"""Left and right of what stands in a cell, in device-independent pixels."""


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
        filled = _background(painter, option, look)
        if column == Column.NAME:
            self._name(painter, option, cells, row, rect)
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
        elif column == Column.KEEPS and filled:  # its ground lies over the name that was drawn into this cell
            name = QRectF(self._view.visualRect(index.sibling(index.row(), Column.NAME)))
            painter.save()
            painter.setClipRect(rect)
            self._name(painter, option, cells, row, name)
            painter.restore()

    def _name(self, painter: QPainter, option: QStyleOptionViewItem, cells: Cells, row: int, rect: QRectF) -> None:
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
        _name(painter, rect.adjusted(ASIDE, 0, -ASIDE, 0), cells.name(row), cells.detail(row), look)

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


def _background(painter: QPainter, option: QStyleOptionViewItem, look: Tokens) -> bool:
    """Behind a selected row, or the one under the mouse; True where there is one."""
    state = option.state
    if state & QStyle.StateFlag.State_Selected:
        painter.fillRect(option.rect, QColor(look.selection))
        return True
    if state & QStyle.StateFlag.State_MouseOver:
        painter.fillRect(option.rect, QColor(look.hover))
        return True
    return False


def _name(painter: QPainter, area: QRectF, name: str, detail: str, look: Tokens) -> None:
    measure = painter.fontMetrics()
    used = measure.horizontalAdvance(name) + 8
    if used - 8 > area.width():
        name = shortened(name, area.width(), measure)
    painter.drawText(area, LEFT, name)
    if detail and used + 20 < area.width():
        painter.setPen(QColor(look.muted))
        rest = area.adjusted(used, 0, 0, 0)
        painter.drawText(rest, LEFT, measure.elidedText(detail, Qt.TextElideMode.ElideRight, int(rest.width())))
