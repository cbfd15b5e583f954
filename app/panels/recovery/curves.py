"""Two live curves, loss and metric: items made once and given new data, so that drawing stays cheap."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from secateur.engine.tasks.protocol import Metric

from ...document.job_state import CurvePoint
from ...theme import theme, tokens
from ...widgets.labels import ElidedLabel
from ...widgets.plot import Plot, line
from ...widgets.plot_export import Drawing, offer

FEWEST = 10
"""Steps that the metric's axis shows at least."""
LEAST = 2.0
"""Points of a percentage that it shows at least, or per cent of another metric."""


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
        self._loss_title, self._metric_title = (
            ElidedLabel(self.tr("loss"), "caption"),
            ElidedLabel(self.tr("metric"), "caption"),
        )
        self.loss, self.measured = pg.PlotDataItem(), pg.PlotDataItem(symbol="o", symbolSize=5)
        self.before = pg.PlotDataItem(pen=None, symbol="o", symbolSize=6)
        self._original = pg.InfiniteLine(angle=0)
        self._original.setVisible(False)
        self._loss_plot.addItem(self.loss)
        self._metric_plot.addItem(self._original)
        self._metric_plot.addItem(self.measured)
        self._metric_plot.addItem(self.before)
        self._metric_plot.setToolTip(self.tr("Hollow: after the cut, before BatchNorm was recalibrated"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        self._loss_side, metric_side = QWidget(), QWidget()
        for side, title, plot in (
            (self._loss_side, self._loss_title, self._loss_plot),
            (metric_side, self._metric_title, self._metric_plot),
        ):
            column = QVBoxLayout(side)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(2)
            column.addWidget(title)
            column.addWidget(plot, 1)
            plot.setMinimumSize(90, 60)
            row.addWidget(side, 1)
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
        last = np.ones(len(measured), np.bool_)
        last[:-1] = measured[1:, 0] != measured[:-1, 0]
        self.measured.setData(measured[last, 0], measured[last, 2])
        self.before.setData(measured[~last, 0], measured[~last, 2])
        steps: Any = self._metric_plot.getViewBox()
        steps.setXRange(0, max(FEWEST, *(p.step for p in points), 0), padding=0.04)
        self._original.setVisible(level is not None)
        if level is not None:
            self._original.setValue(level.value * scale)
        percent = original is None or original.percent
        self._show_range(table[:, 2], None if level is None else level.value * scale, percent)
        self._loss_plot.show_values(bottom=bool(len(losses)), left=bool(len(losses)))
        self._metric_plot.show_values(bottom=bool(len(measured)), left=bool(len(measured)) or level is not None)
        if original is not None:
            unit = ", %" if original.percent else ""
            self._metric_title.setText(self.tr("{0} on val{1}").format(original.name, unit))

    def _show_range(self, values: np.ndarray, original: float | None, percent: bool) -> None:
        """Both the curve and the original's line, which pyqtgraph's own range leaves out."""
        known = [*values[np.isfinite(values)], *([] if original is None else [original])]
        if not known:
            return
        span, least = max(known) - min(known), LEAST * (1.0 if percent else max(abs(known[-1]), 1e-9) / 100)
        pad = max(0.12 * span, (least - span) / 2)
        box: Any = self._metric_plot.getViewBox()
        box.setYRange(min(known) - pad, max(known) + pad, padding=0)

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
