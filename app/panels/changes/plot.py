"""Plots of changes: how often a confidence is right, and how residuals are distributed, before and after."""

import pyqtgraph as pg
from PySide6.QtWidgets import QWidget

from secateur.engine.inspection.changes import Changes

from ...theme import tokens
from ...widgets.plot import Plot, line
from ...widgets.plot_export import Table


class ChangesPlot(Plot):
    """A reliability diagram of a classification, a histogram of residuals of a regression."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Make all items; `show_changes` fills them."""
        self._changes: Changes | None = None
        super().__init__(name, parent)
        self._perfect = pg.PlotDataItem()
        self._lines = [pg.PlotDataItem(connect="finite") for _ in range(2)]
        # The legend says which line is which: colours alone would not.
        self._legend = self.addLegend(offset=(12, 8))
        for item in (self._perfect, *self._lines):
            self.addItem(item)

    def show_changes(self, changes: Changes, names: tuple[str, str]) -> None:
        """Show another comparison of models of these names."""
        self._changes = changes
        box = self.getViewBox()
        if changes.calibration:
            self._perfect.setData([0.0, 100.0], [0.0, 100.0])
            for item, one in zip(self._lines, changes.calibration, strict=True):
                item.setData(100 * one.confidence, 100 * one.accuracy)
            self.label_axis("bottom", self.tr("Confidence in what is predicted, %"))
            self.label_axis("left", self.tr("Right, %"))
            box.setRange(xRange=(0.0, 100.0), yRange=(0.0, 100.0), padding=0.02)  # type: ignore[call-arg]
        elif (found := changes.residuals) is not None:
            middle = (found.edges[:-1] + found.edges[1:]) / 2
            self._perfect.setData([], [])
            for item, counts in zip(self._lines, found.counts, strict=True):
                item.setData(middle, counts)
            self.label_axis("bottom", self.tr("Predicted less right value"))
            self.label_axis("left", self.tr("Samples"))
            ends = (float(found.edges[0]), float(found.edges[-1]))
            box.setRange(xRange=ends, yRange=(0.0, float(found.counts.max())), padding=0.05)  # type: ignore[call-arg]
        self._legend.clear()
        for item, name in zip(self._lines, names, strict=True):
            self._legend.addItem(item, name)
        self._draw()

    def recolour(self) -> None:
        """Take the present colours."""
        super().recolour()
        if self._changes is not None:
            self._draw()

    def table(self) -> Table:
        """The numbers behind the plot."""
        changes = self._changes
        assert changes is not None
        if changes.calibration:
            first, second = changes.calibration
            names = ("n before", "confidence before", "right before", "n after", "confidence after", "right after")
            before = (first.counts, first.confidence, first.accuracy)
            return Table(names, (*before, second.counts, second.confidence, second.accuracy))
        found = changes.residuals
        assert found is not None
        return Table(("from", "to", "before", "after"), (found.edges[:-1], found.edges[1:], *found.counts))

    def _draw(self) -> None:
        look = tokens()
        self._perfect.setPen(line(look.muted, dashed=True, width=1))
        for item, colour, symbol in zip(self._lines, (look.muted, look.accent), ("s", "o"), strict=True):
            item.setPen(line(colour, width=2))
            item.setSymbol(symbol)
            item.setSymbolSize(7)
            item.setSymbolBrush(pg.mkBrush(colour))
            item.setSymbolPen(line(look.panel, width=1))
        self._legend.setLabelTextColor(look.text)
        for _, words in self._legend.items:
            words.setText(words.text, color=look.text)
