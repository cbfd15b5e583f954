"""A list of slices, painted: quick enough to follow the mouse over the tree."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from secateur.engine.structures.analysis import Analysis, Kind

from ...theme import px, tokens
from ...widgets.labels import tell_whole

SHORT = {"running_mean": "mean", "running_var": "var", "num_batches_tracked": "batches"}
FEW = 4
"""Indices written out before a set is abbreviated."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the list: tensors of a module and the part that goes ("" for all of it)."""

    name: str
    pattern: str


def indices_text(indices: NDArray[np.int64]) -> str:
    """42, 8:16, 0:64:4, or "1, 5, 9, 12 and 44 more"."""
    numbers = [int(i) for i in indices]
    if len(numbers) <= 2:
        return ", ".join(map(str, numbers)) if len(numbers) < 2 else f"{{{numbers[0]}, {numbers[1]}}}"
    steps = np.diff(indices)
    if (steps == steps[0]).all() and steps[0] > 0:
        step = int(steps[0])
        return f"{numbers[0]}:{numbers[-1] + step}" + ("" if step == 1 else f":{step}")
    if len(numbers) <= FEW:
        return "{" + ", ".join(map(str, numbers)) + "}"
    return "{" + ", ".join(map(str, numbers[:FEW])) + f", \u2026 {len(numbers)} in all}}"


def pattern(rank: int, dim: int, indices: NDArray[np.int64]) -> str:
    """[:, 42, :, :]."""
    return "[" + ", ".join(indices_text(indices) if d == dim else ":" for d in range(rank)) + "]"


def lines(analysis: Analysis, structure: int) -> list[Line]:
    """Everything that is removed with a structure; for a block the tensors that vanish."""
    if analysis.set_of(structure).kind is Kind.BLOCK:
        parts = [(*_split(name), "") for name in analysis.block_tensors(structure)]
    else:
        ranks = {t.name: len(t.shape) for t in analysis.tensors}
        parts = [(*_split(s.tensor), pattern(ranks[s.tensor], s.dim, s.indices)) for s in analysis.slices(structure)]
    joined: list[Line] = []
    for (module, where), same in groupby(parts, key=lambda p: (p[0], p[2])):
        leaves = list(dict.fromkeys(leaf for _, leaf, _ in same))
        name = f"{module}.{leaves[0]}".lstrip(".")
        if len(leaves) > 1:
            name = f"{module}  {', '.join(SHORT.get(leaf, leaf) for leaf in leaves)}"
        joined.append(Line(name, where))
    return joined


def _split(name: str) -> tuple[str, str]:
    module, _, leaf = name.rpartition(".")
    return module, leaf


ROW = 18
"""Height of a line in device-independent pixels."""


class SliceList(QWidget):
    """Names at the left, elided in the middle where they must be; patterns right after."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.lines: list[Line] = []
        self.setProperty("role", "small")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_lines(self, lines: list[Line]) -> None:
        """Show these."""
        self.lines = lines
        said = "; ".join(f"{line.name} {line.pattern}" for line in lines)
        self.setAccessibleName(self.tr("Removed with it: {0}").format(said))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As tall as all lines."""
        return QSize(160, px(ROW) * len(self.lines))

    def event(self, event: QEvent) -> bool:
        """A line under the mouse in full."""
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            number = event.pos().y() // px(ROW)
            line = self.lines[number] if 0 <= number < len(self.lines) else Line("", "")
            return tell_whole(event, self, f"{line.name} {line.pattern}".strip())
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the lines that are visible."""
        painter, measure, look = QPainter(self), self.fontMetrics(), tokens()
        left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        tall = px(ROW)
        first, last = event.rect().top() // tall, event.rect().bottom() // tall + 1
        for number in range(first, min(last, len(self.lines))):
            line = self.lines[number]
            where = QRect(QPoint(0, number * tall), QSize(self.width(), tall))
            wanted = measure.horizontalAdvance(line.pattern)
            room = max(self.width() // 2, self.width() - wanted - 10)
            name = measure.elidedText(line.name, Qt.TextElideMode.ElideMiddle, room)
            painter.setPen(QColor(look.muted))
            painter.drawText(where, left, name)
            rest = where.adjusted(measure.horizontalAdvance(name) + 8, 0, 0, 0)
            painter.setPen(QColor(look.text))
            pattern = measure.elidedText(line.pattern, Qt.TextElideMode.ElideMiddle, rest.width() + 1)
            painter.drawText(rest, left, pattern)
