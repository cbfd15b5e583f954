"""The curves of a sensitivity analysis: metric against removed share, one line a layer, points to click."""

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QGraphicsItem, QWidget

from ...document.sensitivity_curves import Curve
from ...theme import tokens
from ...widgets.plot import Floats, Plot, PlotLabels, line, line_at, nearest_point

RIGHT = 112.0
"""Where the axis of removed shares ends, %: behind 100 there is room for names."""
NAMED = 4
"""How many of the layers that lose most are named beside the selected one."""
STEPS = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}


@dataclass(frozen=True, slots=True)
class Shown:
    """What the plot shows; y in per cent where the metric is a share.

    Attributes:
        curves: In the order of the model.
        names: Of the layers.
        scale: From the metric's unit to that of the axis.
        before: The state as it is, on the axis.
        goal: What the goal accepts, NaN for nothing.
        planned: How many structures the plan takes of the bold curve's set.
        higher: More is better.
    """

    curves: tuple[Curve, ...]
    names: tuple[str, ...]
    scale: float
    before: float
    goal: float
    planned: int
    higher: bool

    @property
    def all_but_chosen(self) -> tuple[object, ...]:
        """What a selection or a plan leaves as it is; a curve is another one once it has another point."""
        goal = None if self.goal != self.goal else self.goal
        return (*map(id, self.curves), self.scale, self.before, goal, self.higher)


class SensitivityPlot(Plot):
    """Lines with points.

    Attributes:
        selected: Number of the bold curve, -1 for none.
        current: (curve, point) under the mouse or reached by keys, None for none.

    Signals:
        pointed: object, (curve, point) or None: something else is current.
        chosen: int, int: a curve and a point of it, clicked or entered.
        picked: int, a curve was clicked beside its points, or reached by keys.
    """

    pointed = Signal(object)
    chosen = Signal(int, int)
    picked = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Make all items; `show_curves` fills them."""
        self._shown: Shown | None = None
        self.selected = -1
        self.current: tuple[int, int] | None = None
        self._xs, self._ys, self._curve_of = np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
        super().__init__(name, parent)
        self._labels = PlotLabels(self)
        self._before = pg.InfiniteLine(angle=0)
        self._goal = pg.InfiniteLine(angle=0)
        self._others = pg.PlotDataItem(connect="finite")
        self._others.curve.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)  # drawn once, not at every move
        self._bold = pg.PlotDataItem(symbol="o", symbolSize=7)
        self._under = pg.PlotDataItem(symbol="o", symbolSize=6)
        self._plan = pg.ScatterPlotItem(symbol="t", size=12, pxMode=True)
        self._point = pg.ScatterPlotItem(symbol="o", size=13, pxMode=True)
        for item in (self._before, self._goal, self._others, self._under, self._bold, self._plan, self._point):
            self.addItem(item)
        self.getViewBox().sigResized.connect(self._place_labels)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.ArrowCursor)

    # What is shown.

    def show_curves(self, shown: Shown, selected: int) -> None:
        """Show other curves, or others bold."""
        before, self._shown, self.selected = self._shown, shown, selected
        if before is None or before.all_but_chosen != shown.all_but_chosen:
            self._lay_out_points(shown)
            if self.current is not None and not self._holds(self.current):
                self.current = None
            self._set_range(shown)
            self._draw()
        else:
            self._draw_chosen()

    def recolour(self) -> None:
        """Take the present colours."""
        super().recolour()
        if self._shown is not None:
            self._draw()

    def label_boxes(self) -> list[QRectF]:
        """Where the names are, in pixels of the scene."""
        return list(self._labels.boxes)

    def pixel_of(self, curve: int, point: int) -> QPointF:
        """Where a point is, in pixels of this widget."""
        assert self._shown is not None
        one = self._shown.curves[curve]
        x, y = self._pixels(100 * one.shares[point : point + 1], self._shown.scale * one.values[point : point + 1])
        return QPointF(self.mapFromScene(QPointF(float(x[0]), float(y[0]))))

    def _lay_out_points(self, shown: Shown) -> None:
        """All points end to end, on the axes; and the curve of each."""
        self._xs = np.concatenate([100 * one.shares for one in shown.curves] or [np.zeros(0)])
        self._ys = np.concatenate([shown.scale * one.values for one in shown.curves] or [np.zeros(0)])
        self._curve_of = np.repeat(np.arange(len(shown.curves)), [len(one.removed) for one in shown.curves])

    def _holds(self, place: tuple[int, int]) -> bool:
        curves = self._shown.curves if self._shown is not None else ()
        return place[0] < len(curves) and place[1] < len(curves[place[0]].removed)

    def _set_range(self, shown: Shown) -> None:
        values = np.append(self._ys, shown.before)
        values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
        ends = np.percentile(values, (2, 98)) if not shown.higher or shown.scale == 1 else (values.min(), values.max())
        before = shown.before if np.isfinite(shown.before) else float(ends[0])
        low, high = min(float(ends[0]), before), max(float(ends[1]), before)
        pad = max(high - low, 0.02 * abs(high), 1e-9) * 0.08
        box = self.getViewBox()
        box.setRange(xRange=(0.0, RIGHT), yRange=(low - pad, high + pad), padding=0)  # type: ignore[call-arg]

    def _draw(self) -> None:
        assert self._shown is not None
        look, shown = tokens(), self._shown
        alpha = max(48, 160 - len(shown.curves))  # many lines together still show where they are dense
        faint = line(f"#{alpha:02x}{look.muted[1:]}", width=1)
        ends = np.flatnonzero(np.diff(self._curve_of)) + 1
        self._others.setData(np.insert(self._xs, ends, np.nan), np.insert(self._ys, ends, np.nan))
        self._others.setPen(faint)
        self._before.setValue(shown.before)
        self._before.setPen(line(look.muted, dashed=True, width=1))
        self._goal.setVisible(shown.goal == shown.goal)
        self._goal.setValue(shown.goal if shown.goal == shown.goal else 0.0)
        self._goal.setPen(line(look.marked, dashed=True, width=1))
        self._draw_chosen()

    def _draw_chosen(self) -> None:
        """What a selection or a plan changes."""
        look = tokens()
        self._draw_curve(self._bold, self.selected, look.accent, 2.5)
        self._draw_plan()
        self._draw_pointed()

    def _draw_pointed(self) -> None:
        """The current point with its curve, and the names."""
        look = tokens()
        pointed = -1 if self.current is None else self.current[0]
        self._draw_curve(self._under, -1 if pointed == self.selected else pointed, look.text, 1.5)
        self._draw_point()
        self._place_labels()

    def _draw_curve(self, item: pg.PlotDataItem, number: int, colour: str, width: float) -> None:
        item.setVisible(number >= 0)
        if number >= 0 and self._shown is not None:
            one = self._shown.curves[number]
            item.setData(100 * one.shares, self._shown.scale * one.values)
            item.setPen(line(colour, width=width))
            item.setSymbolBrush(pg.mkBrush(colour))
            item.setSymbolPen(line(tokens().panel, width=1))

    def _draw_plan(self) -> None:
        """Where the plan stands on the bold curve."""
        assert self._shown is not None
        one = self._shown.curves[self.selected] if self.selected >= 0 else None
        count = self._shown.planned
        self._plan.setVisible(one is not None and count > 0)
        if one is not None and count > 0:
            share = count / max(one.total, 1)
            y = float(np.interp(share, one.shares, one.values)) * self._shown.scale
            self._plan.setData([100 * share], [y], brush=pg.mkBrush(tokens().marked), pen=line(tokens().panel, width=1))

    def _draw_point(self) -> None:
        self._point.setVisible(self.current is not None)
        if self.current is not None and self._shown is not None:
            one = self._shown.curves[self.current[0]]
            x, y = 100 * one.shares[self.current[1]], self._shown.scale * one.values[self.current[1]]
            self._point.setData([x], [y], brush=pg.mkBrush(None), pen=line(tokens().text, width=1.5))

    # Names.

    def _named(self) -> list[int]:
        """The bold curve, the one under the mouse, and those that lose most at their last point."""
        assert self._shown is not None
        shown = self._shown
        lost = [(one.values[-1] - one.values[0]) * (1 if shown.higher else -1) for one in shown.curves]
        first = [self.selected, -1 if self.current is None else self.current[0]]
        worst = [int(n) for n in np.argsort(lost, kind="stable")[:NAMED]]
        return [number for number in dict.fromkeys((*first, *worst)) if number >= 0]

    @Slot()
    def _place_labels(self) -> None:
        if self._shown is None or not self._labels.room:
            return self._labels.clear()
        shown, look = self._shown, tokens()
        named = self._named()
        texts = [(shown.names[n], look.accent if n == self.selected else look.text) for n in named]
        ends = [(100 * shown.curves[n].shares[-1], shown.scale * shown.curves[n].values[-1]) for n in named]
        if shown.goal == shown.goal:
            texts.append((self.tr("goal"), look.marked))
            ends.append((RIGHT, shown.goal))  # where no curve is
        xs, ys = self._pixels(np.array([e[0] for e in ends]), np.array([e[1] for e in ends]))
        area = self._labels.area
        points = [QPointF(x, min(max(y, area.top()), area.bottom())) for x, y in zip(xs, ys, strict=True)]
        self._labels.place([(text, point, colour) for (text, colour), point in zip(texts, points, strict=True)])

    # Mouse and keys.

    def _pixels(self, xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
        """Places on the axes in pixels of the scene."""
        area, ((left, right), (low, high)) = self.getViewBox().sceneBoundingRect(), self.viewRange()
        return (
            area.left() + (xs - left) / (right - left) * area.width(),
            area.bottom() - (ys - low) / (high - low) * area.height(),
        )

    def _nearest(self, where: QPointF) -> tuple[int, int] | None:
        """The point beside a place, None where none is near."""
        point = nearest_point(*self._pixels(self._xs, self._ys), self._curve_of == self.selected, where)
        if point < 0:
            return None
        curve = int(self._curve_of[point])
        return curve, point - int(np.searchsorted(self._curve_of, curve))

    def _lines(self) -> list[tuple[Floats, Floats]]:
        """The curves in pixels of the scene."""
        if self._shown is None:
            return []
        return [self._pixels(100 * one.shares, self._shown.scale * one.values) for one in self._shown.curves]

    def point_at(self, place: tuple[int, int] | None) -> None:
        """Make a point current."""
        if place != self.current:
            self.current = place
            if self._shown is not None:
                self._draw_pointed()
            self.pointed.emit(place)

    def mouseMoveEvent(self, ev: QMouseEvent) -> None:
        """The point under the mouse is current."""
        self.point_at(self._nearest(self.mapToScene(ev.position().toPoint())))

    def leaveEvent(self, ev) -> None:  # noqa: ANN001
        """Nothing is under the mouse any more."""
        super().leaveEvent(ev)
        self.point_at(None)

    def mousePressEvent(self, ev: QMouseEvent) -> None:
        """A point is chosen; a line beside its points is picked."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if ev.button() is not Qt.MouseButton.LeftButton:
            return
        where = self.mapToScene(ev.position().toPoint())
        place = self._nearest(where)
        if place is not None:
            self.chosen.emit(*place)
        elif (crossed := line_at(self._lines(), where)) >= 0:
            self.picked.emit(crossed)

    def mouseReleaseEvent(self, ev: QMouseEvent) -> None:
        """The press did it."""

    def keyPressEvent(self, ev: QKeyEvent) -> None:
        """Up and down go from layer to layer, left and right along the curve; Return plans the point."""
        step = STEPS.get(Qt.Key(ev.key()))
        count = 0 if self._shown is None else len(self._shown.curves)
        if step is not None and count:
            self._step(*step, count)
        elif ev.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self.current is not None:
            self.chosen.emit(*self.current)
        else:
            QWidget.keyPressEvent(self, ev)

    def _step(self, curves: int, points: int, count: int) -> None:
        assert self._shown is not None
        number = self.current[0] if self.current is not None else max(self.selected, 0)
        point = self.current[1] if self.current is not None else 0
        if curves:
            number = (number + curves) % count
            self.picked.emit(number)
        last = len(self._shown.curves[number].removed) - 1
        self.point_at((number, min(max(point + points, 0), last)))

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """What keys had reached is no longer current."""
        super().focusOutEvent(event)
        self.point_at(None)
