"""The plot of the trade-off: items made once, new data on every change, labels that keep clear of each other."""

import math
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QWidget

from secateur.engine.session.states import StateKind, state_of

from ...text.format import three_digits
from ...theme import px, tokens
from ...widgets.plot import Plot, PlotLabels, line
from .points import BASELINES, TRIAL, Cost, Point, TradeOff

BORDER, STEP = 0.05, 0.1
"""Of the range of an axis: how far from the border a point beyond it is drawn, and what a key moves it by."""
LEAST = QSize(160, 110)
"""Of the plot, for text of the first size, in device-independent pixels."""
ARROWS = {"down": "t", "up": "t1", "right": "t2", "left": "t3"}
"""Triangles that point beyond a border."""
SYMBOLS = {StateKind.ORIGINAL: "s", None: "t"}
MARKS = {
    "random": "x",
    "scratch": "d",
    "stock": "star",
    "magnitude": "+",
    "uncut": "t",
    TRIAL: "o",
    "fp16": "p",
    "int8": "h",
}
"""Of baselines by their kind, of exported files by their precision, and of trials: as round as states, and hollow."""


class TradeOffPlot(Plot):
    """Metric against cost.

    Its x axis begins at nothing and ends behind the original, until a hand moves it: the wheel or + and - zoom, a drag
    or the arrow keys move, a double click or 0 shows all of it again. What is outside is drawn at the border.

    Signals:
        opened: str, a state's point was clicked.
        asked_about: str, a baseline's point was clicked.
    """

    opened = Signal(str)
    asked_about = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Make all items; `show_trade_off` fills them."""
        self._shown: TradeOff | None = None
        self._axis: tuple[Cost, tuple[float, float]] | None = None
        super().__init__(name, parent)
        self._labels = PlotLabels(self)
        self._front = pg.PlotDataItem()
        self._path = pg.PlotDataItem(connect="pairs")
        self._errors = pg.ErrorBarItem(beam=0.0)
        self._dots = pg.ScatterPlotItem(hoverable=True, tip=self._tip, pxMode=True)
        self._goal_x = pg.InfiniteLine(angle=90)
        self._goal_y = pg.InfiniteLine(angle=0)
        self._unknown = pg.PlotDataItem(connect="pairs")
        for item in (self._goal_x, self._goal_y, self._unknown, self._front, self._path, self._errors, self._dots):
            self.addItem(item)
        self._dots.sigClicked.connect(self._open_point)
        self.setMouseEnabled(True, False)
        self.getViewBox().sigResized.connect(self._place_labels)
        self.getViewBox().sigXRangeChanged.connect(self._update_places)
        self.setCursor(Qt.CursorShape.ArrowCursor)

    def show_trade_off(self, shown: TradeOff) -> None:
        """Show other points."""
        self._shown = shown
        box: Any = self.getViewBox()
        box.setYRange(*shown.y_range, padding=0)
        if self._axis != (shown.cost, shown.x_range):
            self._axis = (shown.cost, shown.x_range)
            box.setXRange(*shown.x_range, padding=0)
        self._show_points()
        for item, value in ((self._goal_x, shown.goal_x), (self._goal_y, shown.goal_y)):
            item.setVisible(not math.isnan(value))
            item.setValue(0.0 if math.isnan(value) else value)
        self._colour_items()
        self._place_labels()

    def _show_points(self) -> None:
        assert self._shown is not None
        points = self._shown.points
        known = [p for p in points if not math.isnan(p.y)]
        by_state = {p.state: p for p in known}
        pairs = [q for p in known if p.parent in by_state for q in (by_state[p.parent], p)]
        places = [self._place_of(p) for p in pairs]
        self._path.setData([at.x() for at in places], [at.y() for at in places])
        front = [self._place_of(p) for p in self._shown.front]
        self._front.setData([at.x() for at in front], [at.y() for at in front])
        seen = [p for p in known if self._border_of(p) == ""]
        self._errors.setData(
            x=np.array([p.x for p in seen]),
            y=np.array([p.y for p in seen]),
            height=np.array([2 * p.error for p in seen]),
        )
        unknown = [p for p in points if math.isnan(p.y)]
        heights = [y for p in unknown for y in (self.viewRange()[1][0], self._place_of(p).y())]
        self._unknown.setData([self._place_of(p).x() for p in unknown for _ in range(2)], heights)

    @Slot()
    def _update_places(self) -> None:
        """A hand moved the x axis: what is at the border may be another."""
        if self._shown is not None:
            self._show_points()
            self._colour_items()
            self._place_labels()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show the whole x axis again."""
        self.show_all()
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Zoom and move the x axis by keys."""
        box: Any = self.getViewBox()
        (left, right), _ = self.viewRange()
        step = STEP * (right - left)
        if event.key() in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            box.setXRange(left + step, right - step, padding=0)
        elif event.key() == Qt.Key.Key_Minus:
            box.setXRange(left - step, right + step, padding=0)
        elif event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            sign = -1 if event.key() == Qt.Key.Key_Left else 1
            box.setXRange(left + sign * step, right + sign * step, padding=0)
        elif event.key() == Qt.Key.Key_0:
            self.show_all()
        else:
            super().keyPressEvent(event)

    def show_all(self) -> None:
        """The whole x axis."""
        if self._shown is not None:
            box: Any = self.getViewBox()
            box.setXRange(*self._shown.x_range, padding=0)

    def recolour(self) -> None:
        """Take the present colours."""
        super().recolour()
        if self._shown is not None:
            self._colour_items()
            self._place_labels()

    def minimumSizeHint(self) -> QSize:
        """So much that axes and points can be read; where there is less room, the panel scrolls."""
        return QSize(px(LEAST.width()), px(LEAST.height()))

    def label_boxes(self) -> list[QRectF]:
        """Where the labels are, in pixels of the plot."""
        return list(self._labels.boxes)

    def pixel_of(self, point: Point) -> QPointF:
        """Where a point is, in pixels of this widget."""
        scene = self.getViewBox().mapViewToScene(self._place_of(point))
        return QPointF(self.mapFromScene(scene))

    def _border_of(self, point: Point) -> str:
        """The border at which a point is drawn that is outside: down, up, left or right; "" for one inside."""
        assert self._shown is not None
        (left, right), (low, high) = self.viewRange()
        if not left <= point.x <= right:
            return "left" if point.x < left else "right"
        if self._shown.outside(point):
            return "down" if point.y < (low + high) / 2 else "up"
        return ""

    def _place_of(self, point: Point) -> QPointF:
        """Where a point is drawn, in the units of the axes."""
        (left, right), (low, high) = self.viewRange()
        margin_x, margin_y = BORDER * (right - left), BORDER * (high - low)
        y = low + 0.12 * (high - low) if math.isnan(point.y) else point.y
        return QPointF(
            min(max(point.x, left + margin_x), right - margin_x) if not left <= point.x <= right else point.x,
            min(max(y, low + margin_y), high - margin_y),
        )

    def _colour_items(self) -> None:
        assert self._shown is not None
        look = tokens()
        self._path.setPen(line(f"#90{look.muted[1:]}", width=1))
        self._front.setPen(line(look.accent, width=2))
        self._errors.setOpts(pen=line(look.accent, width=1))
        for item in (self._goal_x, self._goal_y):
            item.setPen(line(look.marked, dashed=True, width=1))
        self._unknown.setPen(line(look.muted))
        spots: list[dict[str, Any]] = []
        for number, point in enumerate(self._shown.points):
            place, border = self._place_of(point), self._border_of(point)
            fill = {StateKind.ORIGINAL: look.text, None: look.marked}.get(point.kind, look.accent)
            fill = look.muted if point.mark in BASELINES else fill
            outline = look.text if point.present and point.kind is not None else look.panel
            hollow = (math.isnan(point.y) and point.kind is not None) or point.mark == TRIAL
            spots.append(
                {
                    "pos": (place.x(), place.y()),
                    "data": number,
                    "symbol": ARROWS.get(border) or MARKS.get(point.mark) or SYMBOLS.get(point.kind, "o"),
                    "size": 13 if border or point.present or point.mark in BASELINES else 10,
                    "brush": look.panel if hollow else fill,
                    "pen": line(fill if hollow else outline, width=1.5),
                }
            )
        self._dots.setData(spots=spots)

    @Slot()
    def _place_labels(self) -> None:
        if self._shown is None or not self._labels.room:
            return self._labels.clear()
        shown, look, box = self._shown, tokens(), self.getViewBox()
        (left, right), (low, high) = self.viewRange()
        texts: list[tuple[str, QPointF, str]] = []
        for point in shown.points:
            # At a border, with the value that is beyond it.
            border, words = self._border_of(point), point.label
            if border in ("down", "up"):
                value = f"{three_digits(point.y)} %" if shown.percent else three_digits(point.y)
                words = f"{words}, {value}"
            elif border:
                words = f"{words}, {three_digits(point.x)}"
            colour = look.muted if point.mark else look.marked if point.kind is None else look.text
            texts.append((words, self._place_of(point), colour))
        if not math.isnan(shown.goal_x):
            texts.append((self.tr("goal"), QPointF(shown.goal_x, high - 0.03 * (high - low)), look.marked))
        elif not math.isnan(shown.goal_y):
            texts.append((self.tr("goal"), QPointF(left + 0.02 * (right - left), shown.goal_y), look.marked))
        # Labels keep off the goal's lines where they can.
        area, goals = box.sceneBoundingRect(), list[QRectF]()
        if not math.isnan(shown.goal_y):
            y = box.mapViewToScene(QPointF(0, shown.goal_y)).y()
            goals.append(QRectF(area.left(), y - 1, area.width(), 2))
        if not math.isnan(shown.goal_x):
            x = box.mapViewToScene(QPointF(shown.goal_x, 0)).x()
            goals.append(QRectF(x - 1, area.top(), 2, area.height()))
        self._labels.place([(text, box.mapViewToScene(at), colour) for text, at, colour in texts], goals)

    def _tip(self, x: float, y: float, data: int) -> str:
        return self._shown.points[data].tip if self._shown is not None else ""

    @Slot(object, object, object)
    def _open_point(self, _item: object, spots: Any, _event: object = None) -> None:
        if self._shown is not None and len(spots):
            point = self._shown.points[spots[0].data()]
            if point.mark in BASELINES:
                self.asked_about.emit(point.state)
            elif point.state:
                self.opened.emit(state_of(point.state))
