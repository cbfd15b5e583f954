"""Words beside the points of a plot, kept clear of each other, of the points and of what else is told."""

from collections.abc import Sequence

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QFontMetricsF

from ..theme import tokens
from .plot import Plot, translucent
from .spread_labels import spread

LEAST = 20
"""A plot lower than this has no room for words."""


class PlotLabels:
    """The labels of one plot.

    Attributes:
        boxes: Where they are, in pixels of the scene.
    """

    def __init__(self, plot: Plot) -> None:
        """Start without any."""
        self._plot = plot
        self._items: list[pg.TextItem] = []
        self.boxes: list[QRectF] = []

    @property
    def room(self) -> bool:
        """Whether the plot is tall enough for labels."""
        return self._plot.getViewBox().height() >= LEAST

    @property
    def area(self) -> QRectF:
        """Where labels may lie, in pixels of the scene."""
        return self._plot.getViewBox().sceneBoundingRect().adjusted(4, 2, -4, -2)

    def clear(self) -> None:
        """Take all away."""
        for item in self._items:
            self._plot.getViewBox().removeItem(item)
        self._items, self.boxes = [], []

    def place(self, texts: Sequence[tuple[str, QPointF, str]], taken: Sequence[QRectF] = ()) -> None:
        """Show other labels.

        Args:
            texts: Of each the words, its point in pixels of the scene, and its colour.
            taken: What they keep off where they can.
        """
        self.clear()
        box, font = self._plot.getViewBox(), self._plot.getAxis("left").style["tickFont"]
        measure = QFontMetricsF(font or self._plot.font())
        room = max(self.area.width() - 4, 0)
        shown = [measure.elidedText(text, Qt.TextElideMode.ElideMiddle, room) for text, _, _ in texts]
        sizes = [QSizeF(measure.horizontalAdvance(text) + 4, measure.height()) for text in shown]
        self.boxes = spread([point for _, point, _ in texts], sizes, self.area, taken)
        for (whole, _, colour), text, where in zip(texts, shown, self.boxes, strict=True):
            item = pg.TextItem(text, color=colour, anchor=(0, 0), fill=pg.mkBrush(translucent(tokens().panel)))
            item.setToolTip(whole if text != whole else "")
            item.textItem.document().setDocumentMargin(0)
            item.setFont(font)
            item.setPos(box.mapSceneToView(where.topLeft()))
            box.addItem(item, ignoreBounds=True)
            self._items.append(item)
