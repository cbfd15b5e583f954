"""Paints the cells of the Heads tab: a head, or the query heads of a key/value group within its frame."""

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView

from . import paint
from .model import HeadsModel, Place

GAP, ABOVE, BESIDE = 2, 3, 2.5
"""Between two cells, above and below one, and at both sides of a group, in device-independent pixels."""
NUMBERED = 20
"""Width of a cell from which its number stands in it."""
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
        if row.set_number < 0:
            if index.column() == 0:
                self._fixed(painter, area)
            return
        if place is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if row.span == 1:
            text = str(place[1]) if area.width() >= NUMBERED else ""
            paint.cell(painter, area, *self._model.look(place), text)
        else:
            self._group(painter, area, place)
        if option.state & QStyle.StateFlag.State_Selected or index == self._view.currentIndex():
            paint.chosen(painter, area, self._view.hasFocus(), index == self._view.currentIndex())
        painter.restore()

    def _group(self, painter: QPainter, area: QRectF, place: Place) -> None:
        """The query heads of a group; those that go in every group are struck out."""
        row, (fraction, state) = self._model.rows[place[0]], self._model.look(place)
        area = area.adjusted(BESIDE, 0, -BESIDE, 0)
        width = (area.width() + GAP) / row.span
        for head in range(row.span):
            part = QRectF(area.left() + head * width, area.top(), width - GAP, area.height())
            own = self._model.look((place[0] + 1, head))[1] if row.inner >= 0 else "free"
            lost = own if own in ("marked", "removed") and state not in ("marked", "removed") else state
            paint.cell(painter, part, fraction, lost, "")
        paint.group(painter, area)

    def _fixed(self, painter: QPainter, area: QRectF) -> None:
        """The sign of a layer none of whose heads can be removed, as far as there is room before the word."""
        word, cell = self._model.words["fixed"], self._view.columnWidth(0)
        needed = painter.fontMetrics().horizontalAdvance(word) + 10
        sign = QRectF(area)
        sign.setWidth(min(FIXED * cell - GAP, area.width() - needed))
        if sign.width() >= cell / 2:
            paint.cell(painter, sign, float("nan"), "fixed", "")
            area = area.adjusted(sign.width() + 8, 0, 0, 0)
        painter.setPen(self._view.palette().placeholderText().color())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, word)
