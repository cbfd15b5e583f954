"""The legend of the trade-off: every mark with its word. What is not made yet is offered: one click makes it."""

from collections.abc import Callable, Sequence

import pyqtgraph as pg
from pyqtgraph.graphicsItems.ScatterPlotItem import drawSymbol
from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from secateur.engine.baselines.protocol import Baseline, BaselineKind

from ...text.baselines import name_of, needs_of, question_of, title_of
from ...theme import tokens
from ...widgets.buttons import button
from ...widgets.flow import FlowLayout
from .plot import MARKS

SIGN = 14
"""Width and height of a mark, in device-independent pixels."""


class Legend(QWidget):
    """Baselines that are there, and those that are offered.

    Attributes:
        entries: A button for each.

    Signals:
        asked_about: str, the id of a baseline that is there.
        wanted: str, a kind of baseline to make.
    """

    asked_about = Signal(str)
    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._row = FlowLayout(self, gap=2)
        self._shown: object = None
        self._roomy = True
        self.entries: list[QPushButton] = []
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def show_entries(
        self, made: Sequence[Baseline], offered: Sequence[BaselineKind], cost: Callable[[BaselineKind], str]
    ) -> None:
        """Show what is there and what is offered; `cost` says what making one costs, in words."""
        content = ([(one.id, name_of(one)) for one in made], [(kind, cost(kind)) for kind in offered], tokens())
        if content == self._shown:
            return
        self._shown = content
        for entry in self.entries:
            self._row.removeWidget(entry)
            entry.hide()
            entry.deleteLater()
        self.entries = []
        for one in made:
            self._add(name_of(one), str(one.asked.kind), question_of(one.asked.kind), self.asked_about.emit, one.id)
        for kind in offered:
            tip = " ".join(filter(None, (question_of(kind), needs_of(kind), cost(kind))))
            self._add(self.tr("+ {0}").format(title_of(kind)), "", tip, self.wanted.emit, str(kind))
        self.setVisible(self._roomy and bool(self.entries))
        self.updateGeometry()

    def give_room(self, on: bool) -> None:
        """Show it, unless there is nothing in it or no room for it."""
        self._roomy = on
        self.setVisible(on and bool(self.entries))

    def _add(self, text: str, mark: str, tip: str, told: Callable[[str], None], what: str) -> None:
        entry = button(text, "mark" if mark else "offer", tip)
        if mark:
            entry.setIcon(QIcon(sign(MARKS[mark], tokens().muted)))
            entry.setIconSize(QSize(SIGN, SIGN))
        entry.clicked.connect(lambda: told(what))
        self._row.addWidget(entry)
        self.entries.append(entry)


def sign(symbol: str, colour: str) -> QPixmap:
    """A mark of the plot as a picture."""
    scale = 2
    made = QPixmap(SIGN * scale, SIGN * scale)
    made.setDevicePixelRatio(scale)
    made.fill(Qt.GlobalColor.transparent)
    painter = QPainter(made)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(QPointF(SIGN / 2, SIGN / 2))
    drawSymbol(painter, symbol, SIGN - 4, pg.mkPen(QColor(colour)), pg.mkBrush(QColor(colour)))
    painter.end()
    return made
