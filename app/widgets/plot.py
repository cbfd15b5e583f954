"""A plot in the colours of the window, labels that keep clear of its points, and which point is under the mouse.

It recolours itself when the look switches, and leaves mouse gestures to panels.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Slot
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QGuiApplication, QPen, QResizeEvent
from PySide6.QtWidgets import QWidget

from ..theme import sizes, theme, tokens

# Without this option the items switch off the antialiasing that the view asks for.
pg.setConfigOptions(antialias=True)


class Plot(pg.PlotWidget):
    """Axes left and bottom, a faint grid; subclasses and panels add items and recolour them in `recolour`."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """`name` is what a screen reader says."""
        # A menu that is switched off later would be made all the same.
        super().__init__(parent, enableMenu=False)
        self._titles: dict[str, str] = {}
        self.setAccessibleName(name)
        # The plot takes the focus, as it has the accessible name.
        self.viewport().setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAntialiasing(True)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setFrameShape(self.Shape.NoFrame)
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickLength=-4, maxTickLevel=0)
        self.recolour()
        theme().changed.connect(self._recolour_if_there)

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
        lines = [item for item in plot.items if isinstance(item, pg.PlotDataItem)]
        dots = [one.scatter for one in lines] + [one for one in plot.items if isinstance(one, pg.ScatterPlotItem)]
        curves = [one.curve for one in lines]
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
        """Say what an axis shows; where the axis is short the words are shortened, and whole in a tooltip."""
        if self._titles.get(side) != text:
            self._titles[side] = text
            self._write_titles()

    def show_values(self, *, bottom: bool, left: bool) -> None:
        """Write numbers along each axis, or none where nothing is known yet that they could mean."""
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
            # This replaces the style that the axis has.
            style = {"color": tokens().muted, "font-size": f"{size}px"}
            # Setting a label lays out the whole plot.
            if (axis.labelText, axis.labelStyle) != (shown, style):
                axis.setLabel(shown, **style)
            axis.label.setToolTip(text if shown != text else "")

    @Slot()
    def _recolour_if_there(self) -> None:
        # Python may have collected the plot before Qt deletes it.
        if "plotItem" in vars(self):
            self.recolour()


def translucent(colour: str) -> QColor:
    """A ground for words on a plot: the colour, with a little of what is behind."""
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


NEAR = 14.0
"""How near a point the mouse must be."""
Floats = NDArray[np.float64]


def nearest_point(xs: Floats, ys: Floats, preferred: NDArray[np.bool_], where: QPointF) -> int:
    """The point near a place, -1 where none is near; of two about as near a preferred one wins.

    Args:
        xs: [P] places of all points.
        ys: [P] the same.
        preferred: [P] points of the line that is selected.
        where: The mouse.
    """
    if not len(xs):
        return -1
    distances = np.hypot(xs - where.x(), ys - where.y()) + np.where(preferred, 0.0, 1.0)
    point = int(np.argmin(distances))
    return point if distances[point] < NEAR else -1


def line_at(lines: Iterable[tuple[Floats, Floats]], where: QPointF) -> int:
    """The line ([P] x, rising, and [P] y of its points) that passes a place, -1 for none."""
    best, found = NEAR / 2, -1
    for number, (xs, ys) in enumerate(lines):
        distance = abs(float(np.interp(where.x(), xs, ys, left=np.inf, right=np.inf)) - where.y())
        if distance < best:
            best, found = distance, number
    return found


LEAST_HEIGHT = 20
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
        return self._plot.getViewBox().height() >= LEAST_HEIGHT

    @property
    def area(self) -> QRectF:
        """Where labels may be, in pixels of the scene."""
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


GAP = 11.0
"""From a point to its label, in pixels."""


def spread(
    points: Sequence[QPointF], sizes: Sequence[QSizeF], area: QRectF, taken: Sequence[QRectF] = ()
) -> list[QRectF]:
    """A rectangle for each label: the first free place right, left, above or below its point, then further away.

    Where all places are on what is taken, only other labels and points are kept off.
    """
    dots = [QRectF(p.x() - 5, p.y() - 5, 10, 10) for p in points]
    placed: list[QRectF] = []
    for point, size in zip(points, sizes, strict=True):
        # Upper left corners to try, best first.
        beside, middle = point.y() - size.height() / 2, point.x() - size.width() / 2
        right, left = point.x() + GAP, point.x() - GAP - size.width()
        corners = [(right, beside), (left, beside)]
        corners += [(middle, point.y() - GAP - size.height()), (middle, point.y() + GAP)]
        steps = [step * size.height() for number in range(1, 7) for step in (number, -number)]
        corners += [(x, beside + step) for step in steps for x in (right, left)]
        # A label that would reach out of the area is moved into it.
        most_x = max(area.left(), area.right() - size.width())
        most_y = max(area.top(), area.bottom() - size.height())
        places = [
            QRectF(QPointF(min(max(x, area.left()), most_x), min(max(y, area.top()), most_y)), size) for x, y in corners
        ]
        legible = [p for p in places if not any(p.intersects(o) for o in (*placed, *dots))]
        free = [p for p in legible if not any(p.intersects(o) for o in taken)]
        placed.append((free or legible or places)[0])
    return placed
