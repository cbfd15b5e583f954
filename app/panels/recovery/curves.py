"""Two live curves, loss and metric: items made once and given new data, so that drawing stays cheap."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QSizePolicy, QWidget

from secateur.engine.recovery.training_curve import DomainPoint
from secateur.engine.tasks.protocol import Metric

from ...document.job_state import CurvePoint
from ...text.format import percent, three_digits
from ...theme import theme, tokens
from ...widgets.labels import ElidedLabel, label
from ...widgets.plot import Plot, colour_of, line
from ...widgets.plot_export import Drawing, offer
from ..panel_layout import column_of, row_of

FEWEST = 10
"""Steps that the metric's axis shows at least."""
LEAST = 2.0
"""Points of a percentage that it shows at least, or per cent of another metric."""


def _plot_with_title(title: QWidget, plot: Plot) -> QWidget:
    """A plot under its title."""
    side = QWidget()
    column_of(title, (plot, 1), on=side, margins=(0, 0, 0, 0), gap=2)
    return side


class Curves(QWidget):
    """Loss at the left, metric with the original's dashed line at the right.

    Attributes:
        loss: Curve of the loss.
        measured: Curve of the metric, by the last measurement of each step.
        before: What an earlier measurement of the same step said: as cut, before BatchNorm was measured again.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make empty plots."""
        super().__init__(parent)
        self._loss_plot, self._metric_plot = Plot(self.tr("Loss by step")), Plot(self.tr("Metric by step"))
        self._metric_title = ElidedLabel(self.tr("metric"), "caption")
        self.loss, self.measured = pg.PlotDataItem(), pg.PlotDataItem(symbol="o", symbolSize=5)
        self.before = pg.PlotDataItem(pen=None, symbol="o", symbolSize=6)
        self._original = pg.InfiniteLine(angle=0)
        self._original.setVisible(False)
        self._loss_plot.addItem(self.loss)
        self._metric_plot.addItem(self._original)
        self._metric_plot.addItem(self.measured)
        self._metric_plot.addItem(self.before)
        self._metric_plot.setToolTip(self.tr("Hollow: after the cut, before BatchNorm was recalibrated"))
        self._loss_side = _plot_with_title(ElidedLabel(self.tr("loss"), "caption"), self._loss_plot)
        metric_side = _plot_with_title(self._metric_title, self._metric_plot)
        for plot in (self._loss_plot, self._metric_plot):
            plot.setMinimumSize(90, 60)
        row_of((self._loss_side, 1), (metric_side, 1), on=self, margins=(0, 0, 0, 0), gap=10)
        self._recolour()
        theme().changed.connect(self._recolour)

    def offer(self, drawing: Drawing, save: Callable[[Drawing], None]) -> None:
        """Offer both in the context menu of each; `save` asks where to."""
        for plot in (self._loss_plot, self._metric_plot):
            offer(plot, drawing, save)

    def show_loss(self, on: bool) -> None:
        """Show both curves, or the metric's alone: where there is room for one, that is what matters."""
        self._loss_side.setVisible(on)

    def show_points(self, points: tuple[CurvePoint, ...], original: Metric | None, level: Metric | None) -> None:
        """Show these points; metrics that are fractions are drawn in per cent.

        Args:
            points: Their metrics are of the val split.
            original: A metric of the original, for name and unit.
            level: That on the val split, to be drawn as a line; None where it was not measured there.
        """
        scale = 100.0 if original is None or original.percent else 1.0
        table = np.array([(p.step, p.loss, p.metric * scale) for p in points], dtype=float).reshape(-1, 3)
        losses, measured = table[np.isfinite(table[:, 1])], table[np.isfinite(table[:, 2])]
        self.loss.setData(losses[:, 0], losses[:, 1])
        # Of measurements at one step the last counts; earlier ones were made before BatchNorm was recalibrated.
        last = np.ones(len(measured), np.bool_)
        last[:-1] = measured[1:, 0] != measured[:-1, 0]
        self.measured.setData(measured[last, 0], measured[last, 2])
        self.before.setData(measured[~last, 0], measured[~last, 2])
        box: Any = self._metric_plot.getViewBox()
        box.setXRange(0, max(FEWEST, *(p.step for p in points), 0), padding=0.04)
        self._original.setVisible(level is not None)
        if level is not None:
            self._original.setValue(level.value * scale)
        # Curve and original's line are both in the range; pyqtgraph's own leaves the line out.
        known = [*measured[:, 2], *([] if level is None else [level.value * scale])]
        if known:
            least = LEAST if scale > 1 else LEAST * max(abs(known[-1]), 1e-9) / 100
            span = max(known) - min(known)
            pad = max(0.12 * span, (least - span) / 2)
            box.setYRange(min(known) - pad, max(known) + pad, padding=0)
        self._loss_plot.show_values(bottom=bool(len(losses)), left=bool(len(losses)))
        self._metric_plot.show_values(bottom=bool(len(measured)), left=bool(len(measured)) or level is not None)
        if original is not None:
            unit = ", %" if original.percent else ""
            self._metric_title.setText(self.tr("{0} on val{1}").format(original.name, unit))

    @Slot()
    def _recolour(self) -> None:
        look = tokens()
        self.loss.setPen(line(look.accent))
        self.measured.setPen(line(look.accent))
        self.measured.setSymbolBrush(look.accent)
        self.measured.setSymbolPen(line(look.panel, width=1))
        self.before.setSymbolBrush(look.panel)
        self.before.setSymbolPen(line(look.accent, width=1))
        self._original.setPen(line(look.muted, dashed=True, width=1))


SYMBOLS = (("o", "\u25cf"), ("s", "\u25a0"), ("t1", "\u25b2"), ("d", "\u25c6"), ("t", "\u25bc"))
"""Marks of the points of a domain by its place, as pyqtgraph and as text has them."""
LOW = 44
"""Height of a plot at least, in device-independent pixels."""


class DomainCurves(QWidget):
    """Loss of each domain at the left, dashed what it should come to; its share at the right; what is what below.

    Attributes:
        names: Of the domains, in the order of their colours.
        losses: A curve for each.
        references: A line for each.
        shares: A curve for each, in per cent.
        legend: Names, with the latest numbers.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make empty plots."""
        super().__init__(parent)
        self.names: tuple[str, ...] = ()
        self.losses: list[pg.PlotDataItem] = []
        self.references: list[pg.InfiniteLine] = []
        self.shares: list[pg.PlotDataItem] = []
        self._latest: list[DomainPoint] = []
        self._roomy = True
        self._loss_plot, self._share_plot = Plot(self.tr("Loss of domains by step")), Plot(self.tr("Shares by step"))
        self.legend = label(role="caption", wrap=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        for plot in (self._loss_plot, self._share_plot):
            plot.setMinimumSize(90, LOW)
            # As high as there is room.
            plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        loss, share = self.tr("loss; dashed: reference"), self.tr("share, %")
        self._captions = [ElidedLabel(title, "caption") for title in (loss, share)]
        loss_side = _plot_with_title(self._captions[0], self._loss_plot)
        self._share_side = _plot_with_title(self._captions[1], self._share_plot)
        plots = row_of((loss_side, 1), (self._share_side, 1), gap=10)
        column_of((plots, 1), self.legend, on=self, margins=(0, 0, 0, 0), gap=2)
        theme().changed.connect(self._recolour)

    def show_shares(self, on: bool) -> None:
        """Show both curves with their numbers; where there is little room the losses alone, the rest in a tooltip."""
        for each in (self._share_side, *self._captions):
            each.setVisible(on)
        if on != self._roomy:
            self._roomy = on
            self._recolour()

    def offer(self, drawing: Drawing, save: Callable[[Drawing], None]) -> None:
        """Offer both in the context menu of each; `save` asks where to."""
        for plot in (self._loss_plot, self._share_plot):
            offer(plot, drawing, save)

    def show_points(self, points: Sequence[CurvePoint]) -> None:
        """Show those points that tell of domains."""
        tracked = [(point.step, dict(point.domains)) for point in points if point.domains]
        names = tuple(tracked[-1][1]) if tracked else ()
        if names != self.names:
            for plot, items in ((self._loss_plot, (*self.losses, *self.references)), (self._share_plot, self.shares)):
                for item in items:
                    plot.removeItem(item)
            self.names = names
            self.losses, self.shares = ([pg.PlotDataItem(symbolSize=6) for _ in names] for _ in range(2))
            self.references = [pg.InfiniteLine(angle=0) for _ in names]
            for plot, items in ((self._loss_plot, (*self.references, *self.losses)), (self._share_plot, self.shares)):
                for item in items:
                    plot.addItem(item)
        tracked = [one for one in tracked if set(one[1]) == set(names)]
        steps = np.array([step for step, _ in tracked], float)
        for name, loss, reference, share in zip(names, self.losses, self.references, self.shares, strict=True):
            table = np.array([(one[name].loss, 100 * one[name].share) for _, one in tracked])
            known = np.isfinite(table[:, 0])
            loss.setData(steps[known], table[known, 0])
            share.setData(steps, table[:, 1])
            level = tracked[-1][1][name].reference
            reference.setVisible(bool(np.isfinite(level)))
            if np.isfinite(level):
                reference.setValue(level)
        self._latest = [tracked[-1][1][name] for name in names]
        seen = [one for _, some in tracked for one in some.values()]
        levels = [value for one in seen for value in (one.loss, one.reference) if np.isfinite(value)]
        for plot in (self._loss_plot, self._share_plot):
            box: Any = plot.getViewBox()
            box.setXRange(0, max(FEWEST, *steps, 0), padding=0.04)
            plot.show_values(bottom=bool(seen), left=bool(levels) if plot is self._loss_plot else bool(seen))
        box = self._share_plot.getViewBox()
        box.setYRange(0, min(100.0, 110 * max((one.share for one in seen), default=1.0)), padding=0)
        if levels:
            pad = max(0.08 * (max(levels) - min(levels)), 0.01)
            box = self._loss_plot.getViewBox()
            box.setYRange(min(levels) - pad, max(levels) + pad, padding=0)
        self._recolour()

    @Slot()
    def _recolour(self) -> None:
        words, tips = list[str](), list[str]()
        for place, (name, now) in enumerate(zip(self.names, self._latest, strict=True)):
            colour, (symbol, sign) = colour_of(place), SYMBOLS[place % len(SYMBOLS)]
            for curve in (self.losses[place], self.shares[place]):
                curve.setPen(line(colour))
                curve.setSymbol(symbol)
                curve.setSymbolBrush(colour)
                curve.setSymbolPen(line(colour, width=1))
            self.references[place].setPen(line(colour, dashed=True, width=1))
            loss, level = (three_digits(one) if np.isfinite(one) else "\u2013" for one in (now.loss, now.reference))
            numbers = self.tr("{0} ({1}), {2}").format(loss, level, percent(now.share))
            tips.append(f"{name} {numbers}")
            one = escape(tips[-1] if self._roomy else f"{name} {loss}").replace(" ", "\u00a0")
            words.append(f'<span style="color: {colour}">{sign}</span>\u00a0{one}')
        self.legend.setText("\u2003 ".join(words))
        what = self.tr("Of each domain: loss on val in nats a token (reference, dashed), share drawn from now on")
        self.legend.setToolTip("\n".join((what, *tips)))
