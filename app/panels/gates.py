"""The Masks tab: expected against target number of open gates, by kind and step, while masks are learned."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from secateur.engine.masks.learned_gates import GateCount
from secateur.engine.structures.analysis import Kind

from ..dialogs.save_plot import asks_to_save
from ..document.aspects import Aspect
from ..jobs.workbench import Workbench
from ..text.structures import many_of
from ..theme import px, theme
from ..widgets.buttons import button
from ..widgets.card import EmptyState
from ..widgets.labels import label
from ..widgets.plot import Plot, colour_of, line
from ..widgets.plot_export import Drawing, offer
from ..widgets.score_map import HEIGHT, CaptionLine
from .panel_layout import column_of, row_of, scroll_area, stack_of
from .plot_tables import gates_table

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
        below = [
            tuple(
                sum(np.allclose(one[which], drawn[place][which], atol=NEAR) for one in drawn[:place])
                for which in (0, 1)
            )
            for place in range(len(drawn))
        ]
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


class KindName(CaptionLine):
    """The name of a kind, after a piece of its curve."""

    def __init__(self, place: int, parent: QWidget | None = None) -> None:
        """The kind's place among those that are shown."""
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(px(NAME))
        self._place, self.words = place, ""

    def set_words(self, words: str, numbers: str) -> None:
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


SHOWN = frozenset({Aspect.MODEL, Aspect.GATES, Aspect.JOBS})


ROOMY = 640
"""Width from which planned and undecided have columns, in device-independent pixels; tooltips have them always."""
SPARE = (1, 3)
"""Numbers that are left out below that."""
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class GatesPanel(QWidget):
    """Curves at the left, numbers of each kind at the right.

    Attributes:
        curves: The plot.
        names: Of the kinds.
        numbers: Of each kind, what is right of its name: open now, planned to be, target in the end, undecided.
        text: What is shown, and how far it is.
        cancel: Stops; what was learned is kept.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's masks."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.curves = GateCurves(self.tr("Open gates by step"))
        self.curves.label_axis("left", self.tr("open gates, %"))
        self.names: list[KindName] = []
        self.numbers: list[tuple[QLabel, ...]] = []
        self._heads: list[QLabel] = []
        self.text = label(role="caption", wrap=True)
        self.cancel = button(self.tr("Cancel"), tip=self.tr("Stop. What was learned is kept, and gone on with."))
        document, title = self.document, self.tr("Gates of learned masks")
        self._drawing = Drawing(
            "gates",
            title,
            "gates",
            shown=lambda: document.contents.gates.latest is not None,
            widget=lambda: self.curves,
            table=lambda: gates_table(document.contents.gates.points),
        )
        words = self.tr("Masks learn which structures stay, together with the weights. Their gates appear here.")
        empty = EmptyState(self.tr("Learned masks"), words, self.tr("Target shape..."))
        empty.stepped.connect(self._open_shape)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(0, 1)
        heads = (self.tr("now"), self.tr("planned now"), self.tr("target"), self.tr("undecided"))
        tips = (
            self.tr("Gates that are open on average"),
            self.tr("How many should be open at this step"),
            self.tr("Structures that stay in the end, of how many"),
            self.tr("Gates that are often open and often closed"),
        )
        for column, (words, tip) in enumerate(zip(heads, tips, strict=True), start=1):
            head = label(words, "caption")
            head.setToolTip(tip)
            self._heads.append(head)
            self._grid.addWidget(head, 0, column, RIGHT)
        page, shown = QWidget(), QWidget()
        column_of(self.text, self._grid, None, on=page, margins=(0, 0, 4, 0), gap=3)
        right = column_of((scroll_area(page, self.tr("Open gates of each kind")), 1), self.cancel)
        row_of((self.curves, 2), (right, 3), on=shown, margins=(6, 6, 6, 6), gap=12)
        self._stack = stack_of(self, empty, shown)
        offer(self.curves, self._drawing, asks_to_save(self.document))
        self.cancel.clicked.connect(self._request_cancel)
        self.document.dispatcher.watch(SHOWN, self._show_changes)
        self.refresh()

    def drawings(self) -> tuple[Drawing, ...]:
        """The curves, to be taken along."""
        return (self._drawing,)

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if aspects & {Aspect.MODEL, Aspect.GATES}:
            self.refresh()
        else:
            self._show_job()

    def refresh(self) -> None:
        """Show curves and numbers again."""
        gates = self.document.contents.gates
        self._stack.setCurrentIndex(int(gates.latest is not None))
        if gates.latest is not None:
            self.curves.show_points(gates.points, gates.latest.steps)
            while len(self.names) < len(gates.latest.counts):
                self.names.append(KindName(len(self.names)))
                self.numbers.append(tuple(label("", "caption") for _ in range(4)))
                self._grid.addWidget(self.names[-1], len(self.names), 0)
                for column, cell in enumerate(self.numbers[-1], start=1):
                    self._grid.addWidget(cell, len(self.names), column, RIGHT)
            # Rows of an earlier model stay, hidden, where it had more kinds.
            for name, cells, count in zip(self.names, self.numbers, gates.latest.counts, strict=False):
                final = self.tr("{0} of {1}").format(f"{count.final:,}", f"{count.whole:,}")
                numbers = f"{count.expected:,.1f}", f"{count.target:,.1f}", final, f"{count.undecided:,}"
                heads = (f"{head.text()} {number}" for head, number in zip(self._heads, numbers, strict=True))
                name.set_words(many_of(count.kind), ", ".join(heads))
                for cell, words in zip(cells, numbers, strict=True):
                    cell.setText(words)
            self._share_room()
        self._show_job()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window fewer numbers have columns."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        gates, roomy = self.document.contents.gates.latest, self.width() >= px(ROOMY)
        count = 0 if gates is None else len(gates.counts)
        for place, (name, cells) in enumerate(zip(self.names, self.numbers, strict=True)):
            name.setVisible(place < count)
            for column, cell in enumerate(cells):
                cell.setVisible(place < count and (roomy or column not in SPARE))
        for column, head in enumerate(self._heads):
            head.setVisible(roomy or column not in SPARE)

    def _show_job(self) -> None:
        learning, latest = self.document.learned_gates is not None, self.document.contents.gates.latest
        if latest is not None:
            if not learning and latest.step >= latest.steps:
                words = self.tr("All {1} steps are done, and what stays is chosen. Dashed: how many should be open.")
            elif not learning:
                words = self.tr("Stopped at step {0} of {1}. The same target shape goes on from what is kept.")
            elif latest.chosen:
                words = self.tr("Step {0} of {1}. What stays is chosen; the weights go on learning.")
            else:
                words = self.tr("Step {0} of {1}. Dashed: how many should be open.")
            self.text.setText(words.format(f"{latest.step:,}", f"{latest.steps:,}"))
        job = next(iter(self.document.jobs), None)
        self.cancel.setVisible(learning)
        self.cancel.setEnabled(job is not None and not job.cancelling)

    @Slot()
    def _request_cancel(self) -> None:
        if self.document.jobs:
            self.workbench.runner.request_cancel(self.document.jobs[0].id)

    @Slot()
    def _open_shape(self) -> None:
        self.document.requested.emit(lambda window: window.run_command("edit.shape"))
