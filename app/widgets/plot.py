"""A plot in the colours of the window: recolours itself when the look switches, and leaves mouse gestures to panels."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QGuiApplication, QPen, QResizeEvent
from PySide6.QtWidgets import QWidget

from ..theme import sizes, theme, tokens

pg.setConfigOptions(antialias=True)  # its items otherwise switch off what the view asks for


class Plot(pg.PlotWidget):
    """Axes left and bottom, a faint grid; subclasses and panels add items and recolour them in `recolour`."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """`name` is what a screen reader says."""
        super().__init__(parent, enableMenu=False)  # a menu that is switched off later would be made all the same
        self._titles: dict[str, str] = {}
        self.setAccessibleName(name)
        self.viewport().setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the plot has it, with its name
        self.setAntialiasing(True)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setFrameShape(self.Shape.NoFrame)
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickLength=-4, maxTickLevel=0)
        self.recolour()
        theme().changed.connect(self._theme_changed)

    def recolour(self) -> None:
        """Take the present colours."""
        look, font = tokens(), QFont(self.font())
        font.setPixelSize(sizes().caption)
        self.setBackground(look.panel)
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setTickFont(font)
            axis.setPen(pg.mkPen(look.edge))
            axis.setTextPen(pg.mkPen(look.muted))
            axis.setGrid(70 if look.dark else 90)
        self._write_titles()

    @contextmanager
    def in_vectors(self) -> Generator[None]:
        """While it holds, nothing is painted from pixels that were kept: for files of vectors."""
        plot: Any = self.getPlotItem()
        dots = [one for item in plot.items if (one := _scatter(item)) is not None]
        curves = [item.curve for item in plot.items if isinstance(item, pg.PlotDataItem)]
        modes = [curve.cacheMode() for curve in curves]
        ground = self.cacheMode()
        self.setCacheMode(self.CacheModeFlag.CacheNone)
        for one in dots:
            one.opts["useCache"] = False
        for curve in curves:
            curve.setCacheMode(curve.CacheMode.NoCache)
        yield
        self.setCacheMode(ground)
        for one in dots:
            one.opts["useCache"] = True
        for curve, mode in zip(curves, modes, strict=True):
            curve.setCacheMode(mode)

    def label_axis(self, side: str, text: str) -> None:
        """Say what an axis shows; where the axis is short the words are shortened, and told in a tooltip."""
        if self._titles.get(side) != text:
            self._titles[side] = text
            self._write_titles()

    def show_values(self, *, bottom: bool, left: bool) -> None:
        """Write numbers along each axis, or none where nothing is known yet that they could stand for."""
        self.getAxis("bottom").setStyle(showValues=bottom)
        self.getAxis("left").setStyle(showValues=left)

    def resizeEvent(self, ev: QResizeEvent) -> None:
        """Another size has room for other words."""
        super().resizeEvent(ev)
        if hasattr(self, "_titles"):
            self._write_titles()

    def _write_titles(self) -> None:
        font, size = QFont(self.font()), sizes().caption
        font.setPixelSize(size)
        measure = QFontMetricsF(font)
        for side, text in self._titles.items():
            axis = self.getAxis(side)
            length = self.height() if side == "left" else self.width() - self.getAxis("left").width()
            shown = measure.elidedText(text, Qt.TextElideMode.ElideMiddle, length - 2 * size)
            style = {"color": tokens().muted, "font-size": f"{size}px"}  # it replaces what the axis has
            if (axis.labelText, axis.labelStyle) != (shown, style):  # lays out the whole plot
                axis.setLabel(shown, **style)
            axis.label.setToolTip(text if shown != text else "")

    @Slot()
    def _theme_changed(self) -> None:
        if "plotItem" in vars(self):  # not where Python has collected it already, and Qt has not deleted it yet
            self.recolour()


def _scatter(item: object) -> pg.ScatterPlotItem | None:
    """The points of an item, None where it draws none."""
    return item.scatter if isinstance(item, pg.PlotDataItem) else item if isinstance(item, pg.ScatterPlotItem) else None


def translucent(colour: str) -> QColor:
    """A ground for words on a plot: the colour, with a little of what lies behind."""
    made = QColor(colour)
    made.setAlpha(224)
    return made


def colour_of(place: int) -> str:
    """The colour of one of several curves by its place among them; a fifth one begins again."""
    look = tokens()
    return (look.accent, look.marked, look.text, look.muted)[place % 4]


def line(colour: str, dashed: bool = False, width: float = 1.5) -> QPen:
    """A pen; a plot's pens are in pixels of the screen, so that they are as wide at every scale only when scaled."""
    scale = QGuiApplication.primaryScreen().devicePixelRatio()
    pen = pg.mkPen(QColor(colour), width=width * scale)
    if dashed:
        pen.setStyle(Qt.PenStyle.DashLine)
    return pen
