"""The headings of the heat map: numbers above, names of layers at the left."""

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QHeaderView, QTableView

from ...theme import sizes, tokens
from .model import HeadsModel


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
        font = self._view.font()  # its own is smaller by the style sheet
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
