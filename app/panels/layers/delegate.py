"""Paints the cells of the Layers tab: names, widths as bars, numbers with their share under them."""

from PySide6.QtCore import QLineF, QModelIndex, QPersistentModelIndex, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView

from ...theme import Tokens, tokens
from ...widgets.painting import WIDTH, padlock, paint_width
from .cell_text import Cells, Column
from .model import LayersModel

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
            _name(painter, area, cells.text(row, column), cells.detail(row), look)
        elif column == Column.WIDTH:
            _width(painter, area, cells, row, look)
        elif column in (Column.KEEPS, Column.SCORE):
            muted = column == Column.SCORE or cells.fixed(row)
            painter.setPen(QColor(look.muted if muted else look.text))
            painter.drawText(area, LEFT, _fitting(painter, area, cells.text(row, column)))
        elif column in SHARES and (text := cells.text(row, column)):
            flat = column == Column.TIME and cells.flat(row)
            colour = look.marked if flat or column == Column.SENSITIVITY else look.muted
            _share(painter, area, text, cells.part(row, column), colour, look)
            if flat:
                no_gain(painter, area, look)


def _fitting(painter: QPainter, area: QRectF, text: str) -> str:
    """A text, shortened where it must be: the tooltip of its row has all of it."""
    return painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(area.width()) + 1)


def no_gain(painter: QPainter, area: QRectF, look: Tokens) -> None:
    """The mark of a layer in which removal buys no time: a bar, as on a scale that stands still."""
    painter.setPen(QPen(QColor(look.marked), 2))
    y, right = area.center().y() - 2, area.right() - 3
    painter.drawLine(QLineF(right - 8, y - 2, right, y - 2))
    painter.drawLine(QLineF(right - 8, y + 2, right, y + 2))


def _name(painter: QPainter, area: QRectF, path: str, detail: str, look: Tokens) -> None:
    """The path, what comes before its last part muted; shortened from the left, because its end tells layers apart."""
    measure = painter.fontMetrics()
    shown = measure.elidedText(path, Qt.TextElideMode.ElideLeft, int(area.width()))
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


def _width(painter: QPainter, area: QRectF, cells: Cells, row: int, look: Tokens) -> None:
    """The bar, as wide as the column for the widest layer."""
    width, present, kept = cells.bar(row)
    bar = QRectF(area.left(), area.center().y() - 5, max(3.0, area.width() * width), 10)
    paint_width(
        painter, bar, look, present=present / width if width else 0.0, kept=kept / width if width else 0.0,
        score=cells.fraction(row), fixed=cells.fixed(row),
    )  # fmt: skip


def _share(painter: QPainter, area: QRectF, text: str, part: float, colour: str, look: Tokens) -> None:
    """A small bar under its number."""
    painter.setPen(QColor(look.text))
    painter.drawText(area.adjusted(0, 0, 0, -4), LEFT, _fitting(painter, area, text))
    track = QRectF(area.left(), area.bottom() - 5, area.width(), 2)
    painter.fillRect(track, QColor(look.line))
    painter.fillRect(QRectF(track.left(), track.top(), track.width() * min(max(part, 0.0), 1.0), 2), QColor(colour))
