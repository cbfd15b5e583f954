"""The plot of the trade-off: items made once, new data on every change, labels that keep clear of each other."""

import math
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal, Slot
from PySide6.QtWidgets import QWidget

from secateur.engine.session.states import StateKind, state_of

from ...theme import tokens
from ...widgets.plot import Plot, line
from ...widgets.plot_labels import PlotLabels
from .points import BASELINES, TRIAL, Point, TradeOff

SYMBOLS = {StateKind.ORIGINAL: "s", None: "t"}
MARKS = {"random": "x", "scratch": "d", "stock": "star", "magnitude": "+", TRIAL: "o", "fp16": "p", "int8": "h"}
"""Of baselines by their kind, of exported files by their precision, and of trials: as round as states, and hollow."""


class TradeOffPlot(Plot):
    """Metric against cost.

    Signals:
        opened: str, a state's point was clicked.
        asked_about: str, a baseline's point was clicked.
    """

    opened = Signal(str)
    asked_about = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Make all items; `show_trade_off` fills them."""
        self._shown: TradeOff | None = None
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
        self._dots.sigClicked.connect(self._clicked)
        self.getViewBox().sigResized.connect(self._place_labels)
        self.setCursor(Qt.CursorShape.ArrowCursor)

    def show_trade_off(self, shown: TradeOff) -> None:
        """Show other points."""
        self._shown = shown
        self._set_range(shown)
        known = [p for p in shown.points if not math.isnan(p.y)]
        self._show_path(known)
        unknown = [p for p in shown.points if math.isnan(p.y)]
        heights = [y for p in unknown for y in (self.viewRange()[1][0], self._height_of(p))]
        self._unknown.setData([p.x for p in unknown for _ in range(2)], heights)
        for item, value in ((self._goal_x, shown.goal_x), (self._goal_y, shown.goal_y)):
            item.setVisible(not math.isnan(value))
            item.setValue(0.0 if math.isnan(value) else value)
        self._colour_items()
        self._place_labels()

    def recolour(self) -> None:
        """Take the present colours."""
        super().recolour()
        if self._shown is not None:
            self._colour_items()
            self._place_labels()

    def label_boxes(self) -> list[QRectF]:
        """Where the labels are, in pixels of the plot."""
        return list(self._labels.boxes)

    def pixel_of(self, point: Point) -> QPointF:
        """Where a point is, in pixels of this widget."""
        scene = self.getViewBox().mapViewToScene(QPointF(point.x, self._height_of(point)))
        return QPointF(self.mapFromScene(scene))

    def _set_range(self, shown: TradeOff) -> None:
        xs = [p.x for p in shown.points] + ([] if math.isnan(shown.goal_x) else [shown.goal_x])
        ys = [p.y + e for p in shown.points if not math.isnan(p.y) for e in (-p.error, p.error)] + [shown.goal_y]
        pad_x = max(max(xs) - min(xs), 0.25 * max(xs), 1e-9) * 0.14
        pad_y = max(max(ys) - min(ys), 2.0 if shown.percent else 0.02 * abs(max(ys))) * 0.16
        box: Any = self.getViewBox()
        box.setRange(xRange=(min(xs) - pad_x, max(xs) + pad_x), yRange=(min(ys) - pad_y, max(ys) + pad_y), padding=0)

    def _show_path(self, known: list[Point]) -> None:
        by_state = {p.state: p for p in known}
        pairs = [q for p in known if p.parent in by_state for q in (by_state[p.parent], p)]
        self._path.setData([p.x for p in pairs], [p.y for p in pairs])
        front = self._shown.front if self._shown is not None else ()
        self._front.setData([p.x for p in front], [p.y for p in front])
        self._errors.setData(
            x=np.array([p.x for p in known]),
            y=np.array([p.y for p in known]),
            height=np.array([2 * p.error for p in known]),
        )

    def _height_of(self, point: Point) -> float:
        low, high = self.viewRange()[1]
        return low + 0.12 * (high - low) if math.isnan(point.y) else point.y

    def _colour_items(self) -> None:
        assert self._shown is not None
        look = tokens()
        self._path.setPen(line(f"#90{look.muted[1:]}", width=1))
        self._front.setPen(line(look.accent, width=2))
        self._errors.setOpts(pen=line(look.accent, width=1))
        for item in (self._goal_x, self._goal_y):
            item.setPen(line(look.marked, dashed=True, width=1))
        self._unknown.setPen(line(look.muted))
        self._dots.setData(spots=[self._spot(n, p) for n, p in enumerate(self._shown.points)])

    def _spot(self, number: int, point: Point) -> dict:
        look = tokens()
        fill = {StateKind.ORIGINAL: look.text, None: look.marked}.get(point.kind, look.accent)
        fill = look.muted if point.mark in BASELINES else fill
        outline = look.text if point.present and point.kind is not None else look.panel
        hollow = (math.isnan(point.y) and point.kind is not None) or point.mark == TRIAL
        return {
            "pos": (point.x, self._height_of(point)),
            "data": number,
            "symbol": MARKS.get(point.mark) or SYMBOLS.get(point.kind, "o"),
            "size": 13 if point.present or point.mark in BASELINES else 10,
            "brush": look.panel if hollow else fill,
            "pen": line(fill if hollow else outline, width=1.5),
        }

    @Slot()
    def _place_labels(self) -> None:
        if self._shown is None or not self._labels.room:
            return self._labels.clear()
        texts = [(p.label, QPointF(p.x, self._height_of(p)), self._label_colour(p)) for p in self._shown.points]
        texts += self._goal_labels()
        box = self.getViewBox()
        self._labels.place([(text, box.mapViewToScene(at), colour) for text, at, colour in texts], self._lines())

    def _lines(self) -> list[QRectF]:
        """Where goal lines are: labels keep off them where they can."""
        assert self._shown is not None
        box, found = self.getViewBox(), list[QRectF]()
        area = box.sceneBoundingRect()
        if not math.isnan(self._shown.goal_y):
            y = box.mapViewToScene(QPointF(0, self._shown.goal_y)).y()
            found.append(QRectF(area.left(), y - 1, area.width(), 2))
        if not math.isnan(self._shown.goal_x):
            x = box.mapViewToScene(QPointF(self._shown.goal_x, 0)).x()
            found.append(QRectF(x - 1, area.top(), 2, area.height()))
        return found

    def _goal_labels(self) -> list[tuple[str, QPointF, str]]:
        assert self._shown is not None
        (left, right), (low, high) = self.viewRange()
        words, look = self.tr("goal"), tokens()
        found = []
        if not math.isnan(self._shown.goal_x):
            found.append((words, QPointF(self._shown.goal_x, high - 0.03 * (high - low)), look.marked))
        elif not math.isnan(self._shown.goal_y):
            found.append((words, QPointF(left + 0.02 * (right - left), self._shown.goal_y), look.marked))
        return found

    @staticmethod
    def _label_colour(point: Point) -> str:
        look = tokens()
        return look.muted if point.mark else look.marked if point.kind is None else look.text

    def _tip(self, x: float, y: float, data: int) -> str:
        return self._shown.points[data].tip if self._shown is not None else ""

    @Slot(object, object, object)
    def _clicked(self, _item: object, spots: Any, _event: object = None) -> None:
        if self._shown is not None and len(spots):
            point = self._shown.points[spots[0].data()]
            if point.mark in BASELINES:
                self.asked_about.emit(point.state)
            elif point.state:
                self.opened.emit(state_of(point.state))
