"""Paints the cells of the tree: names with muted details, bars for scores, a line through what is marked."""

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter
from PySide6.QtWidgets import QLineEdit, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTreeView, QWidget

from ...theme import Tokens, tokens
from ...widgets.score_bar import paint_score_bar
from .model import Column, Role

MUTED = ("gone", "locked", "fixed", "along")


class TreeDelegate(QStyledItemDelegate):
    """One for all columns."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Draw one cell."""
        look, state = tokens(), index.data(Role.STATE)
        _background(painter, option, look)
        colour = look.marked if state == "marked" else look.muted if state in MUTED else look.text
        area = QRectF(option.rect).adjusted(3, 0, -3, 0)
        if index.column() == Column.SCORE:
            paint_score_bar(
                painter,
                area,
                index.data(Role.FRACTION),
                index.data() or "",
                look.muted if state != "marked" else colour,
            )
            return
        painter.save()
        painter.setFont(_font(option.font, state, index.column()))
        painter.setPen(QColor(colour))
        if index.column() == Column.NAME or not index.data():
            self._name_over_two(painter, option, index, look)
        else:
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, index.data() or "")
        painter.restore()

    def _name_over_two(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
        look: Tokens,
    ) -> None:
        """A name takes the room of "keeps" too where that says nothing: each of the two cells draws its part."""
        name, keeps = (index.sibling(index.row(), column) for column in (Column.NAME, Column.KEEPS))
        if index.column() not in (Column.NAME, Column.KEEPS):
            return
        view = self.parent()
        assert isinstance(view, QTreeView)
        area = QRectF(option.rect if index.column() == Column.NAME else view.visualRect(name))
        if not keeps.data():
            area.setRight(area.right() + view.columnWidth(Column.KEEPS))
        painter.setClipRect(option.rect)
        painter.setFont(_font(option.font, name.data(Role.STATE), Column.NAME))
        _name(painter, area.adjusted(3, 0, -3, 0), name, look)

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QWidget:
        """A line to type how many to keep."""
        editor = QLineEdit(parent)
        editor.setAlignment(Qt.AlignmentFlag.AlignRight)
        editor.setAccessibleName(self.tr("How many to keep"))
        return editor

    def setEditorData(self, editor: QWidget, index: QModelIndex | QPersistentModelIndex) -> None:
        """Start from the present number, selected."""
        assert isinstance(editor, QLineEdit)
        if not editor.isModified():
            editor.setText(str(index.data(Qt.ItemDataRole.EditRole)))
            editor.selectAll()


def _background(painter: QPainter, option: QStyleOptionViewItem, look: Tokens) -> None:
    if option.state & QStyle.StateFlag.State_Selected:
        painter.fillRect(option.rect, QColor(look.selection))
    elif option.state & QStyle.StateFlag.State_MouseOver:
        painter.fillRect(option.rect, QColor(look.hover))


def _font(font: QFont, state: str, column: int) -> QFont:
    if state in ("marked", "gone") and column == Column.NAME:
        struck = QFont(font)
        struck.setStrikeOut(True)
        return struck
    return font


def _name(painter: QPainter, area: QRectF, index: QModelIndex | QPersistentModelIndex, look: Tokens) -> None:
    name, detail = index.data() or "", index.data(Role.DETAIL)
    measure = painter.fontMetrics()
    flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
    painter.drawText(area, flags, measure.elidedText(name, Qt.TextElideMode.ElideMiddle, int(area.width())))
    used = measure.horizontalAdvance(name) + 8
    if detail and used + 20 < area.width():
        painter.setPen(QColor(look.muted))
        rest = area.adjusted(used, 0, 0, 0)
        painter.drawText(rest, flags, measure.elidedText(detail, Qt.TextElideMode.ElideRight, int(rest.width())))
