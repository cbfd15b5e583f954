"""Curves of gates by step, a pair for each kind: open on average, and how many should be."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from secateur.engine.masks.learned_gates import GateCount
from secateur.engine.structures.analysis import Kind

from ...theme import px, theme
from ...widgets.plot import Plot, colour_of, line
from ...widgets.score_map import HEIGHT, CaptionLine

NEAR = 0.5
"""Per cent up to which a curve covers another."""
SWATCH = 18
"""Width of the line before a kind's name, in device-independent pixels."""
NAME = 76
"""Least width of a name with its line."""
ABOVE = 104.0
"""Per cent at the upper end of the axis."""
DASH, SPACE, PIECE = 4, 2, 6
"""Of a dashed line, and a piece of a line that shares its place with another, in widths of the line."""


class GateCurves(Plot):
    """Share of each kind's gates that are open, in per cent; dashed what it should be.

    Attributes:
        kinds: Those that are shown, in the order of their colours.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Start without a curve."""
        self.kinds: tuple[Kind, ...] = ()
        self._pairs: list[tuple[Any, Any]] = []
        self._below: list[tuple[int, ...]] = []
        super().__init__(name, parent)
        self.setMinimumSize(120, 60)
        theme().changed.connect(self._dress)

    def show_points(self, points: list[tuple[int, tuple[GateCount, ...]]], steps: int) -> None:
        """Show these (step, counts); the axis goes to `steps`."""
        kinds = tuple(one.kind for one in points[-1][1]) if points else ()
        if kinds != self.kinds:
            for pair in self._pairs:
                for item in pair:
                    self.removeItem(item)
            self.kinds, self._pairs = kinds, [(pg.PlotDataItem(), pg.PlotDataItem()) for _ in kinds]
            for target, expected in self._pairs:
                self.addItem(target)
                self.addItem(expected)
            self._below = [(0, 0) for _ in kinds]
            self._dress()
        points = [one for one in points if len(one[1]) == len(kinds)]
        x = np.array([step for step, _ in points], float)
        drawn: list[tuple[NDArray[np.float64], ...]] = []
        for place, pair in enumerate(self._pairs):
            counts = [one[place] for _, one in points]
            whole = np.array([max(one.whole, 1) for one in counts], float)
            targets, open = np.array([one.target for one in counts]), np.array([one.expected for one in counts])
            drawn.append((100 * targets / whole, 100 * open / whole))
            for item, values in zip(pair, drawn[-1], strict=True):
                item.setData(x, values)
        below = [tuple(_alike(drawn[:place], which, drawn[place]) for which in (0, 1)) for place in range(len(drawn))]
        if below != self._below:
            self._below = below
            self._dress()
        box: Any = self.getViewBox()
        box.setXRange(0, max(steps, 1), padding=0.02)
        box.setYRange(0, ABOVE, padding=0)

    @Slot()
    def _dress(self) -> None:
        for place, (target, expected) in enumerate(self._pairs):
            dashed, whole = line(colour_of(place), dashed=True, width=3), line(colour_of(place))
            for_target, for_expected = self._below[place]
            dashed.setDashPattern([DASH, SPACE + (DASH + SPACE) * for_target])
            if for_expected:
                whole.setDashPattern([PIECE, PIECE * for_expected])
            target.setPen(dashed)
            expected.setPen(whole)


def _alike(below: list[tuple[NDArray[np.float64], ...]], which: int, values: tuple[NDArray[np.float64], ...]) -> int:
    """How many of the curves below one lie where it lies: it leaves room for each of them to be seen."""
    return sum(np.allclose(one[which], values[which], atol=NEAR) for one in below)


class KindName(CaptionLine):
    """The name of a kind, after a piece of its curve."""

    def __init__(self, place: int, parent: QWidget | None = None) -> None:
        """The kind's place among those that are shown."""
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(px(NAME))
        self._place, self.words = place, ""

    def tell(self, words: str, numbers: str) -> None:
        """Name a kind; its numbers stand in the tooltip, too."""
        if words != self.words:
            self.words = words
            self.update()
        self.setAccessibleName(f"{words}: {numbers}")
        self.setToolTip(self.accessibleName())

    def room(self) -> float:
        """Curve and words."""
        return SWATCH + 6 + self.width_of(self.words)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both."""
        painter = QPainter(self)
        painter.fillRect(QRectF(0, px(HEIGHT) / 2 - 1, SWATCH, 2), QColor(colour_of(self._place)))
        room = int(self.width() - SWATCH - 6)
        self.say(painter, SWATCH + 6, self.fontMetrics().elidedText(self.words, Qt.TextElideMode.ElideRight, room))
