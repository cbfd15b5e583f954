"""The Layers tab: every layer as a bar, as tall as it is wide, what the plan keeps coloured by its mean score."""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QStackedLayout, QToolTip, QVBoxLayout, QWidget

from ..document import Aspect, Document, Selection
from ..widgets.empty_state import EmptyState
from ..widgets.labels import label
from . import layers_paint as paint
from .tree.figures import Figures, figures_of
from .tree.rows import Rows, rows_of

SHOWN = frozenset({Aspect.MODEL, Aspect.SCORES, Aspect.MARKS, Aspect.STATES})


@dataclass(frozen=True, slots=True)
class Bar:
    """A layer.

    Attributes:
        module: Path.
        set_number: Coupled set that its outputs belong to, -1 for none.
        width: Outputs in the original.
        kept: Outputs that the plan keeps.
        fraction: Mean score on the scale, NaN unknown.
        score: Mean score in words.
        fixed: Its outputs cannot be cut.
    """

    module: str
    set_number: int
    width: int
    kept: int
    fraction: float
    score: str
    fixed: bool


class LayerMap(QWidget):
    """Bars.

    Signals:
        picked: int, a bar was clicked or reached by an arrow key.
    """

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.bars: list[Bar] = []
        self.current = -1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 120)
        self.setAccessibleName(self.tr("Layers as bars; arrow keys go from one to the next"))

    def sizeHint(self) -> QSize:
        """Room for the sketch's map."""
        return QSize(560, 360)

    def bar_area(self, number: int) -> QRectF:
        """Whole height of a bar's column."""
        area = QRectF(self.rect()).adjusted(8, 26, -8, -8)
        width = area.width() / max(1, len(self.bars))
        return QRectF(area.left() + number * width, area.top(), width, area.height())

    def bar_at(self, x: float) -> int:
        """The bar at a place, -1 for none."""
        found = int((x - 8) // max(self.bar_area(0).width(), 0.01))
        return found if 0 <= found < len(self.bars) and x >= 8 else -1

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw all bars and the names of the stages."""
        painter = QPainter(self)
        widest = max((b.width for b in self.bars), default=1)
        for number, bar in enumerate(self.bars):
            paint.bar(painter, self.bar_area(number), bar, widest, number == self.current, self.hasFocus())
        paint.stages(painter, [(b.module.split(".")[0], self.bar_area(n)) for n, b in enumerate(self.bars)])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick a bar."""
        if event.button() is Qt.MouseButton.LeftButton and (found := self.bar_at(event.position().x())) >= 0:
            self.picked.emit(found)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if step and self.bars:
            self.picked.emit(min(max(self.current + step, 0), len(self.bars) - 1))
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Tell a bar's numbers in a tooltip."""
        if event.type() is QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self.bar_at(event.pos().x())
            QToolTip.showText(event.globalPos(), self.words(found) if found >= 0 else "", self)
            return True
        return super().event(event)

    def words(self, number: int) -> str:
        """A bar in words."""
        bar = self.bars[number]
        kept = self.tr("{0} of {1} outputs kept").format(bar.kept, bar.width)
        parts = [bar.module, self.tr("fixed, {0} outputs").format(bar.width) if bar.fixed else kept]
        parts.append(self.tr("mean score {0}").format(bar.score) if bar.score else "")
        return ", ".join(p for p in parts if p)


class Layers(QWidget):
    """The map with its legend.

    Attributes:
        map: The bars.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's model."""
        super().__init__(parent)
        self.document = document
        self._rows: Rows | None = None
        self.map = LayerMap()
        shown = QWidget()
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 8, 6, 6)
        inner.addWidget(self.map, 1)
        legend = self.tr(
            "Height: outputs of a layer. Colour: mean score of what is kept, blue low, yellow high. "
            "Faint: removed or marked."
        )
        inner.addWidget(label(legend, "caption", wrap=True))
        self._stack = QStackedLayout(self)
        words = self.tr("Open a model: every layer becomes a bar that shows its width and what the plan keeps of it.")
        self._stack.addWidget(EmptyState(self.tr("Layers"), words))
        self._stack.addWidget(shown)
        self.map.picked.connect(self._pick)
        document.views.watch(SHOWN | {Aspect.SELECTION}, self._changed)
        self._changed(SHOWN)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self._rows = None if self.document.analysis is None else rows_of(self.document.analysis)
            self._stack.setCurrentIndex(int(self._rows is not None))
        if aspects & SHOWN:
            self.refresh()
        self._show_current()

    def _show_current(self) -> None:
        modules = [b.module for b in self.map.bars]
        chosen = self.document.selection.module
        self.map.current = modules.index(chosen) if chosen in modules else -1
        self.map.update()

    def refresh(self) -> None:
        """Count all bars anew."""
        document, rows = self.document, self._rows
        analysis, plan = document.analysis, document.plan_costs
        self.map.bars = []
        if analysis is None or rows is None or plan is None:
            return
        figures = figures_of(analysis, rows, document.removed, document.marked, document.scores, plan)
        for node in range(rows.module_count):
            if (width := _width(document, rows, node)) > 0:
                self.map.bars.append(_bar(rows, figures, node, width))

    @Slot(int)
    def _pick(self, number: int) -> None:
        bar = self.map.bars[number]
        self.document.select(Selection(bar.module, bar.set_number))


def _width(document: Document, rows: Rows, node: int) -> int:
    """Outputs of a row in the original, 0 where it has none of its own."""
    analysis, axis, fixed = document.analysis, int(rows.axis[node]), int(rows.fixed[node])
    assert analysis is not None
    if axis >= 0:
        return int(analysis.axis_start[axis + 1] - analysis.axis_start[axis])
    return analysis.fixed[fixed].count if fixed >= 0 else 0


def _bar(rows: Rows, figures: Figures, node: int, width: int) -> Bar:
    axis, number = int(rows.axis[node]), int(max(rows.owner[node], rows.lead[node]))
    score = figures.node_scores[rows.set_node[number]] if number >= 0 else float("nan")
    kept = int(figures.outputs[axis]) if axis >= 0 else width
    fraction = float(figures.scale.fractions(np.array([score]))[0])
    return Bar(rows.modules[node], number, width, kept, fraction, figures.scale.text(float(score)), number < 0)
