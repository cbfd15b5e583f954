"""Two live curves of domains of text: what each loses beside its reference, and how often it is drawn."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from secateur.engine.recovery.training_curve import DomainPoint

from ...document.job_state import CurvePoint
from ...text.format import percent, three_digits
from ...theme import theme
from ...widgets.labels import ElidedLabel, label
from ...widgets.plot import Plot, colour_of, line
from ...widgets.plot_export import Drawing, offer

SYMBOLS = (("o", "\u25cf"), ("s", "\u25a0"), ("t1", "\u25b2"), ("d", "\u25c6"), ("t", "\u25bc"))
"""Marks of the points of a domain by its place, as pyqtgraph and as text has them."""
LOW = 44
"""Height of a plot at least, in device-independent pixels."""
FEWEST = 10
"""Steps that the axes show at least."""


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
        self._captions: list[QWidget] = []
        self._loss_plot, self._share_plot = Plot(self.tr("Loss of domains by step")), Plot(self.tr("Shares by step"))
        self.legend = label(role="caption", wrap=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        row = QHBoxLayout()
        row.setSpacing(10)
        self._share_side = QWidget()
        for title, plot, side in (
            (self.tr("loss; dashed: reference"), self._loss_plot, QWidget()),
            (self.tr("share, %"), self._share_plot, self._share_side),
        ):
            column = QVBoxLayout(side)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(2)
            self._captions.append(ElidedLabel(title, "caption"))
            column.addWidget(self._captions[-1])
            column.addWidget(plot, 1)
            plot.setMinimumSize(90, LOW)
            plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)  # as high as there is room
            row.addWidget(side, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(row, 1)
        whole.addWidget(self.legend)
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
        told = [(point.step, dict(point.domains)) for point in points if point.domains]
        names = tuple(told[-1][1]) if told else ()
        if names != self.names:
            self._make(names)
        told = [one for one in told if set(one[1]) == set(names)]
        steps = np.array([step for step, _ in told], float)
        for name, loss, reference, share in zip(names, self.losses, self.references, self.shares, strict=True):
            table = np.array([(one[name].loss, 100 * one[name].share) for _, one in told])
            known = np.isfinite(table[:, 0])
            loss.setData(steps[known], table[known, 0])
            share.setData(steps, table[:, 1])
            level = told[-1][1][name].reference
            reference.setVisible(bool(np.isfinite(level)))
            if np.isfinite(level):
                reference.setValue(level)
        self._latest = [told[-1][1][name] for name in names]
        self._show_ranges([one for _, some in told for one in some.values()], max(FEWEST, *steps, 0))
        self._recolour()

    def _make(self, names: tuple[str, ...]) -> None:
        """Curves for other domains."""
        for plot, items in ((self._loss_plot, (*self.losses, *self.references)), (self._share_plot, self.shares)):
            for item in items:
                plot.removeItem(item)
        self.names = names
        self.losses, self.shares = ([pg.PlotDataItem(symbolSize=6) for _ in names] for _ in range(2))
        self.references = [pg.InfiniteLine(angle=0) for _ in names]
        for plot, items in ((self._loss_plot, (*self.references, *self.losses)), (self._share_plot, self.shares)):
            for item in items:
                plot.addItem(item)

    def _show_ranges(self, seen: Sequence[DomainPoint], steps: float) -> None:
        levels = [value for one in seen for value in (one.loss, one.reference) if np.isfinite(value)]
        for plot in (self._loss_plot, self._share_plot):
            box: Any = plot.getViewBox()
            box.setXRange(0, steps, padding=0.04)
            plot.show_values(bottom=bool(seen), left=bool(levels) if plot is self._loss_plot else bool(seen))
        shown: Any = self._share_plot.getViewBox()
        shown.setYRange(0, min(100.0, 110 * max((one.share for one in seen), default=1.0)), padding=0)
        if levels:
            pad = max(0.08 * (max(levels) - min(levels)), 0.01)
            box = self._loss_plot.getViewBox()
            box.setYRange(min(levels) - pad, max(levels) + pad, padding=0)

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
