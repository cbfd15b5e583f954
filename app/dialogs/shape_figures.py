"""What a target shape comes to, as a small table: original, shape, and what is left of each cost."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from secateur.engine.structures.costs import Costs
from secateur.engine.workflows.shape_answer import ShapeAnswer

from ..text.format import count, milliseconds, share, size
from ..text.translate import sentence
from ..widgets.labels import label

RIGHT = Qt.AlignmentFlag.AlignRight
CACHE = 2
"""The row of the key/value cache, which only decoders have."""
HALF = 2
"""Bytes of a cached number in 16 bits."""
NANOSECONDS = 1e6
"""In a millisecond."""


class ShapeFigures(QWidget):
    """The table, with remarks below it; it keeps its place while the engine is asked.

    Attributes:
        cells: By row and column, the words.
        remarks: What else goes, and what the result cannot be.
        notes: Further hints.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the rows."""
        super().__init__(parent)
        self._titles = (
            self.tr("Parameters"),
            self.tr("MACs"),
            self.tr("Key/value cache, 16 bits a number"),
            self.tr("Latency, predicted"),
        )
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 1)
        for column, words in enumerate(("", self.tr("original"), self.tr("with this shape"), self.tr("kept"))):
            grid.addWidget(label(words, "caption"), 0, column, RIGHT)
        self.cells: list[list[QLabel]] = []
        self._named: list[QLabel] = []
        for row, title in enumerate(self._titles, start=1):
            self._named.append(label(title))
            grid.addWidget(self._named[-1], row, 0)
            self.cells.append([label("\u2013"), label("\u2013", "strong"), label("", "muted")])
            for column, cell in enumerate(self.cells[-1], start=1):
                grid.addWidget(cell, row, column, RIGHT)
        self._show_row(CACHE, False)
        outer.addLayout(grid)
        self.remarks, self.notes = label("", wrap=True), label("", "muted", wrap=True)
        outer.addWidget(self.remarks)
        outer.addWidget(self.notes)

    def show_original(self, costs: Costs) -> None:
        """Show what the original costs, whatever the shape is."""
        for cells, cost in zip(self.cells, (costs.parameters, costs.macs), strict=False):
            cells[0].setText(count(cost))

    def clear(self) -> None:
        """Show nothing of a shape any more; the original stays."""
        for cells in self.cells:
            _write(cells, None, None)
        self._remark("")
        self.notes.setText("")

    def show_answer(self, answer: ShapeAnswer, remark: str = "") -> None:
        """Show what the engine says, with a remark; of a shape that no plan has nothing."""
        plan, latency = answer.plan, answer.latency
        pairs = (None, None, None) if plan is None else (plan.parameters, plan.macs, plan.cached)
        per_token = self.tr("{0} a token")
        written = (count, count, lambda number: per_token.format(size(HALF * number)))
        for cells, pair, write in zip(self.cells, pairs, written, strict=False):
            _write(cells, None if pair is None else (write(pair[0]), write(pair[1])), pair)
        if plan is not None:
            self._show_row(CACHE, plan.cached is not None)
        timed = None if latency is None else tuple(milliseconds(one / NANOSECONDS) for one in latency)
        _write(self.cells[3], timed, latency)
        unknown = [] if latency is not None else [self.tr("Run > Measure latency savings predicts the latency.")]
        self._remark(" ".join(map(sentence, plan.notes)) if plan is not None else "")
        self.notes.setText(" ".join(one for one in (remark, *unknown) if one))

    def _remark(self, words: str) -> None:
        self.remarks.setText(words)
        self.remarks.setVisible(bool(words))

    def _show_row(self, row: int, on: bool) -> None:
        for each in (self._named[row], *self.cells[row]):
            each.setVisible(on)


def _write(cells: list[QLabel], words: tuple[str, ...] | None, pair: tuple[int, int] | None) -> None:
    dash = "\u2013"
    before, after = words or (cells[0].text(), dash)
    cells[0].setText(before)
    cells[1].setText(after)
    cells[2].setText(share(pair[1] / pair[0]) if pair is not None and pair[0] else "")
