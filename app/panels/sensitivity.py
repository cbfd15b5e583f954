"""The Sensitivity tab: what each layer can lose. A click on a point of a curve plans that share of its layer."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QGraphicsItem, QWidget

from secateur.engine.scoring.criteria import CRITERIA

from ..dialogs.save_plot import asks_to_save
from ..document.aspects import Aspect, Selection
from ..document.job_state import JobView
from ..document.sensitivity_curves import Curve
from ..jobs.workbench import Workbench
from ..text.format import about, duration, percent
from ..text.metrics import difference_text, error_text, value_text
from ..text.structures import counted, title_of
from ..text.translate import engine_words
from ..theme import px, theme, tokens
from ..widgets.buttons import button
from ..widgets.card import EmptyState
from ..widgets.labels import label
from ..widgets.plot import Floats, Plot, PlotLabels, line, line_at, nearest_point
from ..widgets.plot_export import Drawing, offer
from .panel_layout import column_of, row_of, stack_of
from .panel_parts import ask_for_data
from .plot_tables import sensitivity_table

RIGHT = 112.0
"""Where the axis of removed shares ends, %: behind 100 there is room for names."""
NAMED = 4
"""How many of the layers that lose most are named with the selected one."""
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
        picked: int, a curve was clicked between its points, or reached by keys.
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
        # Drawn once, not at every move of the mouse.
        self._others.curve.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
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
            self._xs = np.concatenate([100 * one.shares for one in shown.curves] or [np.zeros(0)])
            self._ys = np.concatenate([shown.scale * one.values for one in shown.curves] or [np.zeros(0)])
            self._curve_of = np.repeat(np.arange(len(shown.curves)), [len(one.removed) for one in shown.curves])
            if self.current is not None:
                curve, point = self.current
                if curve >= len(shown.curves) or point >= len(shown.curves[curve].removed):
                    self.current = None
            values = np.append(self._ys, shown.before)
            values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
            # A loss may grow without bound: far outliers would make the rest a flat line.
            bounded = shown.higher and shown.scale != 1
            ends = (values.min(), values.max()) if bounded else np.percentile(values, (2, 98))
            level = shown.before if np.isfinite(shown.before) else float(ends[0])
            low, high = min(float(ends[0]), level), max(float(ends[1]), level)
            pad = max(high - low, 0.02 * abs(high), 1e-9) * 0.08
            box = self.getViewBox()
            box.setRange(xRange=(0.0, RIGHT), yRange=(low - pad, high + pad), padding=0)  # type: ignore[call-arg]
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

    def _draw(self) -> None:
        assert self._shown is not None
        look, shown = tokens(), self._shown
        # Many lines together still show where they are dense.
        alpha = max(48, 160 - len(shown.curves))
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
        assert self._shown is not None
        one = self._shown.curves[self.selected] if self.selected >= 0 else None
        count = self._shown.planned
        self._plan.setVisible(one is not None and count > 0)
        if one is not None and count > 0:
            share = count / max(one.total, 1)
            y = float(np.interp(share, one.shares, one.values)) * self._shown.scale
            self._plan.setData([100 * share], [y], brush=pg.mkBrush(tokens().marked), pen=line(tokens().panel, width=1))
        self._draw_current()

    def _draw_current(self) -> None:
        """The current point with its curve, and the names."""
        look = tokens()
        pointed = -1 if self.current is None else self.current[0]
        self._draw_curve(self._under, -1 if pointed == self.selected else pointed, look.text, 1.5)
        self._point.setVisible(self.current is not None)
        if self.current is not None and self._shown is not None:
            one = self._shown.curves[self.current[0]]
            x, y = 100 * one.shares[self.current[1]], self._shown.scale * one.values[self.current[1]]
            self._point.setData([x], [y], brush=pg.mkBrush(None), pen=line(tokens().text, width=1.5))
        self._place_labels()

    def _draw_curve(self, item: pg.PlotDataItem, number: int, colour: str, width: float) -> None:
        item.setVisible(number >= 0)
        if number >= 0 and self._shown is not None:
            one = self._shown.curves[number]
            item.setData(100 * one.shares, self._shown.scale * one.values)
            item.setPen(line(colour, width=width))
            item.setSymbolBrush(pg.mkBrush(colour))
            item.setSymbolPen(line(tokens().panel, width=1))

    # Names.

    @Slot()
    def _place_labels(self) -> None:
        if self._shown is None or not self._labels.room:
            return self._labels.clear()
        shown, look = self._shown, tokens()
        # The bold curve, the one under the mouse, and those that lose most at their last point.
        lost = [(one.values[-1] - one.values[0]) * (1 if shown.higher else -1) for one in shown.curves]
        first = [self.selected, -1 if self.current is None else self.current[0]]
        worst = [int(n) for n in np.argsort(lost, kind="stable")[:NAMED]]
        named = [number for number in dict.fromkeys((*first, *worst)) if number >= 0]
        texts = [(shown.names[n], look.accent if n == self.selected else look.text) for n in named]
        ends = [(100 * shown.curves[n].shares[-1], shown.scale * shown.curves[n].values[-1]) for n in named]
        if shown.goal == shown.goal:
            texts.append((self.tr("goal"), look.marked))
            # At the right end, where no curve is.
            ends.append((RIGHT, shown.goal))
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
        """The point near a place, None where none is near."""
        point = nearest_point(*self._pixels(self._xs, self._ys), self._curve_of == self.selected, where)
        if point < 0:
            return None
        curve = int(self._curve_of[point])
        return curve, point - int(np.searchsorted(self._curve_of, curve))

    def point_at(self, place: tuple[int, int] | None) -> None:
        """Make a point current."""
        if place != self.current:
            self.current = place
            if self._shown is not None:
                self._draw_current()
            self.pointed.emit(place)

    def mouseMoveEvent(self, ev: QMouseEvent) -> None:
        """The point under the mouse is current."""
        self.point_at(self._nearest(self.mapToScene(ev.position().toPoint())))

    def leaveEvent(self, ev) -> None:  # noqa: ANN001
        """Nothing is under the mouse any more."""
        super().leaveEvent(ev)
        self.point_at(None)

    def mousePressEvent(self, ev: QMouseEvent) -> None:
        """A point is chosen; a line between its points is picked."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if ev.button() is not Qt.MouseButton.LeftButton:
            return
        where = self.mapToScene(ev.position().toPoint())
        place = self._nearest(where)
        if place is not None:
            self.chosen.emit(*place)
        elif self._shown is not None:
            shown = self._shown
            curves = [self._pixels(100 * one.shares, shown.scale * one.values) for one in shown.curves]
            if (crossed := line_at(curves, where)) >= 0:
                self.picked.emit(crossed)

    def mouseReleaseEvent(self, ev: QMouseEvent) -> None:
        """The press did it."""

    def keyPressEvent(self, ev: QKeyEvent) -> None:
        """Up and down go from layer to layer, left and right along the curve; Return plans the point."""
        step = STEPS.get(Qt.Key(ev.key()))
        shown = () if self._shown is None else self._shown.curves
        if step is not None and shown:
            # Up and down go from layer to layer, left and right along the curve.
            curves, points = step
            number = self.current[0] if self.current is not None else max(self.selected, 0)
            point = self.current[1] if self.current is not None else 0
            if curves:
                number = (number + curves) % len(shown)
                self.picked.emit(number)
            self.point_at((number, min(max(point + points, 0), len(shown[number].removed) - 1)))
        elif ev.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self.current is not None:
            self.chosen.emit(*self.current)
        else:
            QWidget.keyPressEvent(self, ev)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """What keys had reached is no longer current."""
        super().focusOutEvent(event)
        self.point_at(None)


SHOWN = frozenset(
    {Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.SCORES, Aspect.SENSITIVITY, Aspect.MARKS, Aspect.GOAL}
)


class SensitivityPanel(QWidget):
    """Curves of all layers.

    Attributes:
        plot: The curves.
        start: Measures, or goes on with it.
        cancel: Stops it.
        note: What the curves show, and how far a running analysis is.
        readout: The point under the mouse in words.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's sensitivity."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self._curves: tuple[Curve, ...] = ()
        self.plot = SensitivityPlot(
            self.tr("Metric against removed share; up and down choose a layer, left and right a point, Return plans it")
        )
        self.plot.label_axis("bottom", self.tr("removed from a layer, %"))
        self.note = label(role="caption", wrap=True)
        self.readout = label(role="caption", wrap=True)
        self._keep_room()
        self.readout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.start = button(self.tr("Resume"))
        self.cancel = button(self.tr("Cancel"))
        self._empty = EmptyState("", "")
        self._drawing = Drawing(
            "sensitivity",
            self.tr("Sensitivity"),
            "sensitivity",
            shown=lambda: bool(self._curves),
            widget=lambda: self.plot,
            table=lambda: sensitivity_table(self.document),
        )
        shown = QWidget()
        top = row_of((self.note, 1), self.start, self.cancel, gap=8)
        column_of(top, (self.plot, 1), self.readout, on=shown, margins=(6, 8, 6, 4), gap=4)
        self._stack = stack_of(self, self._empty, shown)
        offer(self.plot, self._drawing, asks_to_save(self.document))
        self._empty.stepped.connect(self.workbench.sensitivity.start)
        self.start.clicked.connect(self.workbench.sensitivity.start)
        self.cancel.clicked.connect(self._request_cancel)
        theme().changed.connect(self._keep_room)
        self.plot.pointed.connect(self._say_point)
        self.plot.chosen.connect(self._plan_point)
        self.plot.picked.connect(self._select_layer)
        self.document.dispatcher.watch(SHOWN | {Aspect.SELECTION, Aspect.JOBS}, self._show_changes)
        self.refresh()

    @Slot()
    def _keep_room(self) -> None:
        """Of two lines always, so that the plot keeps its size."""
        self.readout.setMinimumHeight(px(30))

    def drawings(self) -> tuple[Drawing, ...]:
        """The curves, to be taken along."""
        return (self._drawing,)

    # What is shown.

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if aspects & SHOWN:
            self.refresh()
            return
        if Aspect.SELECTION in aspects:
            self._show_selected()
        self._show_progress()

    def refresh(self) -> None:
        """Show the curves again."""
        document = self.document
        analysis, known = document.analysis, document.curves
        self._curves = () if analysis is None or known is None else known.all(analysis, document.removed)
        # The layer of each curve, and what of it where several of its sets have one.
        sets = [] if analysis is None else [analysis.sets[curve.set_number] for curve in self._curves]
        counts = Counter(one.module for one in sets)
        self._names = tuple(
            f"{one.module}, {title_of(one.kind)}" if counts[one.module] > 1 else one.module or one.name for one in sets
        )
        self._stack.setCurrentIndex(int(bool(self._curves)))
        self._show_selected()
        self._show_progress()

    def _show_selected(self) -> None:
        document = self.document
        analysis, known = document.analysis, document.curves
        if not self._curves or analysis is None or known is None or known.metric is None:
            return
        numbers = [one.set_number for one in self._curves]
        metric, chosen = known.metric, document.selection.set_number
        self.plot.label_axis("left", f"{metric.name}, %" if metric.percent else metric.name)
        scale = 100.0 if metric.percent else 1.0
        planned = int(np.count_nonzero(document.marked[analysis.sets[chosen].structures])) if chosen >= 0 else 0
        # What may be lost counts from the original, by the metric and on the split of the curves.
        original, goal = document.original, math.nan
        if original is not None:
            measured = [one.metric for (state, _), one in document.contents.curves.items() if state == original.id]
            known_of = (one for one in (*measured, *original.metrics) if one is not None and one.like(metric))
            first = next(known_of, None)
            goal = math.nan if first is None else scale * document.goal.accepted(first)
        level, higher = scale * metric.value, metric.higher_is_better
        shown = Shown(self._curves, self._names, scale, level, goal, planned, higher)
        self.plot.show_curves(shown, numbers.index(chosen) if chosen in numbers else -1)
        self._say_point(self.plot.current)

    def _say_empty(self) -> None:
        title = self.tr("What each layer can lose")
        document = self.document
        if document.analysis is None:
            self._empty.say(title, self.tr("Open a model to see how the metric falls as each layer gets narrower."))
        elif document.task is None:
            words = self.tr("Attach data to measure how much each layer can lose.")
            ask_for_data(self._empty, document, title, words)
        else:
            words = self.tr(
                "Cuts 10 to 90 % of each layer on trial and evaluates it without recovery. Click a point of a curve "
                "to plan that share of its layer."
            )
            if self._job() is not None:
                self._empty.say(title, f"{words}\n{self.tr('Evaluating the first cuts.')}")
                return
            cost = self.workbench.estimator.sensitivity()
            takes = self.tr("{0} cuts, each evaluated on the {1} samples of the val split")
            if not cost.samples:
                takes = self.tr("{0} cuts, each evaluated on the val split")
            takes = takes.format(f"{cost.trials:,}", f"{cost.samples:,}")
            if cost.seconds == cost.seconds:
                takes = self.tr("{0}: about {1}").format(takes, about(cost.seconds))
            takes = self.tr("{0}. Results are kept if you stop.").format(takes)
            self._empty.say(title, f"{words}\n{takes}", self.tr("Measure sensitivity"))

    # Words.

    def _job(self) -> JobView | None:
        """That measures what is shown; another state's is not meant."""
        return self.document.job_about(("sensitivity", self.document.contents.present, self.document.contents.rating))

    def _show_progress(self) -> None:
        """How far it is, and what can be done."""
        job, known = self._job(), self.document.curves
        self.cancel.setVisible(job is not None)
        self.cancel.setEnabled(job is not None and not job.cancelling)
        self.start.setVisible(job is None and known is not None and not known.finished)
        if not self._curves:
            self._say_empty()
        elif known is not None and known.metric is not None:
            words = self.tr("{0} of {1} cuts evaluated").format(f"{known.tried:,}", f"{known.wanted:,}")
            if known.finished:
                words = self.tr(
                    "Each line is a layer, cut by {0} and not recovered; n = {1} of the {2} split. Click a point to "
                    "plan it."
                )
                if not known.metric.count:
                    words = self.tr(
                        "Each line is a layer, cut by {0} and not recovered, evaluated on the {2} split. Click a point "
                        "to plan it."
                    )
                title = engine_words(CRITERIA[self.document.criterion].title)
                words = words.format(title, f"{known.metric.count:,}", known.metric.split)
            elif job is None:
                words = self.tr("Stopped: {0}. Results are kept.").format(words)
            elif job.left >= 0:
                words = self.tr("{0}, {1} left").format(words, duration(job.left))
            self.note.setText(words)

    @Slot(object)
    def _say_point(self, place: tuple[int, int] | None) -> None:
        known, analysis = self.document.curves, self.document.analysis
        if place is None or known is None or known.metric is None or analysis is None:
            self.readout.setText(
                self.tr("Dashed: the current metric and the goal. Bold: the selected layer. Triangle: the plan.")
            )
            return
        curve, point = self._curves[place[0]], place[1]
        one, count = analysis.sets[curve.set_number], int(curve.removed[point])
        here = replace(known.metric, value=float(curve.values[point]), error=float(curve.errors[point]))
        lost = difference_text(here.value - known.metric.value, here.percent, short=False)
        words = self.tr("{0}: {1} of {2} removed ({3}), {4} {5}, {6}")
        value, share = f"{value_text(here)} {error_text(here)}".strip(), percent(curve.shares[point], 0)
        whole = counted(one.kind, curve.total)
        layer = one.module or one.name
        self.readout.setText(words.format(layer, f"{count:,}", whole, share, here.name, value, lost))

    # Gestures.

    @Slot(int, int)
    def _plan_point(self, number: int, point: int) -> None:
        curve = self._curves[number]
        self._select_layer(number)
        self.document.plan.keep(curve.set_number, curve.total - int(curve.removed[point]))

    @Slot(int)
    def _select_layer(self, number: int) -> None:
        analysis, chosen = self.document.analysis, self._curves[number].set_number
        if analysis is not None and self.document.selection.set_number != chosen:
            self.document.select(Selection(analysis.sets[chosen].module, chosen))

    @Slot()
    def _request_cancel(self) -> None:
        if (job := self._job()) is not None:
            self.workbench.runner.request_cancel(job.id)
