"""The item model of the Layers tab: a row for each layer, over flat arrays."""

from enum import IntEnum
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QCoreApplication, QModelIndex, QObject, QPersistentModelIndex, Qt

from secateur.engine.targets.latency_table import Saving

from ...document.document import Document
from ...document.sensitivity_curves import HALF
from ...text.format import share
from ...text.metrics import difference_text
from ...text.structures import title_of
from ..overlay_text import overlay_text
from ..tree.figures import Figures, figures_of
from ..tree.rows import Rows, rows_of
from .rows import Layers, Plan, layers_of, plan_of

say = QCoreApplication.translate


class Column(IntEnum):
    """Columns of the table."""

    TIES = 0
    NAME = 1
    WIDTH = 2
    KEEPS = 3
    SCORE = 4
    MACS = 5
    TIME = 6
    PARAMETERS = 7
    SENSITIVITY = 8


def heading(document: Document, column: int) -> str:
    """What a column is called: that of scores by what is shown in place of them."""
    gates = document.learned_gates is not None
    return (
        say("layers", "Coupled layers"),
        say("layers", "Layer"),
        say("layers", "Width"),
        say("layers", "Open") if gates else say("layers", "Keeps"),
        overlay_text(document).title,
        say("layers", "MACs"),
        say("layers", "Time"),
        say("layers", "Parameters"),
        say("layers", "Sensitivity"),
    )[column]


class Cells:
    """Texts of rows for the numbers of one moment; made again when they change."""

    def __init__(self, document: Document, layers: Layers, plan: Plan, lost: dict[int, float]) -> None:
        """Take the numbers; `lost` is what the metric loses where half of a coupled set goes, by its number."""
        assert document.analysis is not None
        self._analysis, self._layers, self._plan, self._lost = document.analysis, layers, plan, lost
        self._document, self._overlay = document, overlay_text(document)
        self._metric = None if document.curves is None else document.curves.metric
        # Share of the latency on the target by module path, and what half of a coupled set saves there, by its key.
        self._times, self._savings = document.contents.times(), document.contents.saved
        self._widest = max(float(layers.width.max(initial=0)), 1.0)
        self._most = {
            Column.MACS: max(float(plan.macs.max(initial=0.0)), 1e-12),
            Column.PARAMETERS: max(float(plan.parameters.max(initial=0.0)), 1e-12),
            Column.TIME: max([*self._times.values(), 1e-12]),
            Column.SENSITIVITY: max([*lost.values(), 0.0]),
        }

    def text(self, row: int, column: int) -> str:
        """What a cell shows."""
        match column:
            case Column.NAME:
                return self._layers.modules[row]
            case Column.KEEPS:
                whole, kept = f"{int(self._layers.width[row]):,}", f"{int(self._plan.kept[row]):,}"
                keeps = say("layers", "{0} of {1}").format(kept, whole) if kept != whole else whole
                return say("layers", "{0} fixed").format(whole) if self.fixed(row) else keeps
            case Column.SCORE:
                return self._plan.scale.text(float(self._plan.scores[row]))
            case Column.SENSITIVITY:
                return self._lost_words(row)
            case Column.MACS | Column.TIME | Column.PARAMETERS:
                part = self._share(row, column)
                return "" if part != part else share(part)
            case _:
                return ""

    def part(self, row: int, column: int) -> float:
        """How long the bar under a share is, 0..1 of the most in its column."""
        most = self._most[Column(column)]
        part = self._share(row, column)
        return part / most if part == part and most > 0 else 0.0

    def _share(self, row: int, column: int) -> float:
        """The number of a cell with a bar, NaN where it is not known."""
        match column:
            case Column.MACS:
                return float(self._plan.macs[row])
            case Column.PARAMETERS:
                return float(self._plan.parameters[row])
            case Column.TIME:
                return self._times.get(self._layers.modules[row], float("nan"))
            case _:
                return self._lost.get(int(self._layers.sets[row]), float("nan"))

    def detail(self, row: int) -> str:
        """A few words after the name."""
        return self._layers.details[row]

    def locked(self, row: int) -> int:
        """How many of its structures are locked."""
        return int(self._plan.locked[row])

    def fixed(self, row: int) -> bool:
        """Its outputs cannot be cut."""
        return bool(self._layers.axis[row] < 0)

    def bar(self, row: int) -> tuple[float, float, float]:
        """Lengths of the bar for the original, the present state and the plan, as parts of the widest layer's.

        The whole bar goes by the square root of the width, so that 64 outputs can be read next to 2,048; what is left
        of it is in proportion.
        """
        plan, whole = self._plan, max(int(self._layers.width[row]), 1)
        length = float(np.sqrt(self._layers.width[row] / self._widest))
        return length, length * float(plan.present[row]) / whole, length * float(plan.kept[row]) / whole

    def fraction(self, row: int) -> float:
        """The mean score on the scale, NaN where it is not known."""
        return float(self._plan.fractions[row])

    def flat(self, row: int) -> bool:
        """Removal buys no time on the target."""
        saving = self._saving(row)
        return saving is not None and saving.flat

    def _saving(self, row: int) -> Saving | None:
        """What half of its coupled set saves on the target, None where that is not known."""
        number = int(self._layers.sets[row])
        return None if number < 0 else self._savings.get(self._analysis.sets[number].key)

    def widest_keeps(self) -> str:
        """The longest text on what is kept."""
        count = f"{self._layers.width.max(initial=0):,}"
        return max(say("layers", "{0} fixed").format(count), say("layers", "{0} of {1}").format(count, count), key=len)

    def _lost_words(self, row: int) -> str:
        """By what the metric changes where half of its coupled set goes."""
        lost, metric = self._lost.get(int(self._layers.sets[row])), self._metric
        if lost is None or metric is None:
            return ""
        return difference_text(-lost if metric.higher_is_better else lost, metric.percent)

    def words(self, row: int) -> str:
        """All of a row, a line for each fact."""
        layers, plan = self._layers, self._plan
        whole, kept = int(layers.width[row]), int(plan.kept[row])
        lines = [layers.modules[row]]
        lines.append(
            say("layers", "fixed, {0} outputs").format(whole)
            if self.fixed(row)
            else say("layers", "{0} of {1} outputs kept").format(kept, whole)
        )
        if self.locked(row):
            lines.append(say("layers", "{0} locked").format(f"{self.locked(row):,}"))
        if plan.final[row] >= 0:
            # While masks are learned, only the gates say what a layer will keep.
            words = say("layers", "{0} of {1} gates open on average, {2} stay")
            count = self._analysis.sets[int(layers.sets[row])].count
            lines = [lines[0], words.format(f"{plan.open[row]:,.1f}", f"{count:,}", f"{plan.final[row]:,}")]
        elif np.isfinite(plan.scores[row]):
            words = self._overlay.words.format(self.text(row, Column.SCORE))
            lines.append(say("layers", "{0} on average").format(words))
        if lost := self._lost_words(row):
            lines.append(say("layers", "{0} if {1:.0%} is removed, without recovery").format(lost, HALF))
        if time := self.text(row, Column.TIME):
            lines.append(say("layers", "{0} of the latency on the target, predicted").format(time))
        if (saving := self._saving(row)) is not None:
            words = say("layers", "removal saves no time here: half of it saves {0} of the latency and {1} of the MACs")
            words = words if saving.flat else say("layers", "half of it saves {0} of the latency and {1} of the MACs")
            lines.append(words.format(share(max(saving.time, 0.0)), share(saving.macs)))
        return "\n".join([*lines, *self._tie_lines(row)])

    def spoken(self, row: int, column: int) -> str:
        """A cell for a screen reader: all of the row with its name, else the heading and the text."""
        if column == Column.NAME:
            return self.words(row).replace("\n", ", ")
        text = ", ".join(self._tie_lines(row)) if column == Column.TIES else self.text(row, column)
        if column == Column.WIDTH:
            text = str(int(self._layers.width[row]))
        return f"{heading(self._document, column)}: {text}" if text else ""

    def _tie_lines(self, row: int) -> list[str]:
        found: list[str] = []
        for tie in self._layers.ties_of(row):
            names = [self._layers.modules[one] for one in tie.rows]
            more = say("layers", " and {0} more").format(len(names) - 4) if len(names) > 4 else ""
            shown = ", ".join(names[:4]) + more
            if tie.joined:
                found.append(say("layers", "concatenated: {0}").format(shown))
            else:
                kind = title_of(self._analysis.sets[tie.sets[0]].kind)
                found.append(say("layers", "coupled, same {0}: {1}").format(kind, shown))
        return found


Index = QModelIndex | QPersistentModelIndex


class LayersModel(QAbstractTableModel):
    """Layers of the document's model.

    Attributes:
        rows: The rows of the tree, None in an empty window.
        figures: Their numbers.
        layers: What they are, None in an empty window.
        plan: What the plan makes of them.
        cells: Texts of the rows.
        lost: What the metric loses where half of a coupled set goes, by its number.
        timed: There are times to show.
        title: Heading of the scores, or of what is shown in place of them.
    """

    def __init__(self, document: Document, parent: QObject | None = None) -> None:
        """Show what the document has."""
        super().__init__(parent)
        self.document = document
        self.rows: Rows | None = None
        self.figures: Figures | None = None
        self.layers: Layers | None = None
        self.plan: Plan | None = None
        self.cells: Cells | None = None
        self.lost: dict[int, float] = {}
        self.timed, self.title = False, ""

    def reload(self) -> None:
        """Show another model."""
        self.beginResetModel()
        analysis = self.document.analysis
        self.rows = None if analysis is None else rows_of(analysis)
        self.layers = None if analysis is None or self.rows is None else layers_of(analysis, self.rows)
        self._count()
        self.endResetModel()

    def refresh(self) -> None:
        """Numbers changed, the rows did not."""
        before = self.title
        self._count()
        if self.title != before:
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, Column.KEEPS, Column.SCORE)
        if last := self.rowCount():
            self.dataChanged.emit(self.index(0, 0), self.index(last - 1, len(Column) - 1))

    def _count(self) -> None:
        document, rows, layers = self.document, self.rows, self.layers
        analysis, costs = document.analysis, document.plan_costs
        if analysis is None or rows is None or layers is None or costs is None:
            self.figures = self.plan = self.cells = None
            return
        self.figures = figures = figures_of(
            analysis,
            rows,
            document.removed,
            document.marked,
            document.overlay_values,
            costs,
            ranked=document.ranked,
        )
        gates = document.learned_gates
        self.title = overlay_text(document).title
        self.plan = plan_of(analysis, rows, layers, document.removed, document.locked, figures, costs, gates)
        known = document.curves
        curves = () if known is None else known.all(analysis, document.removed)
        costly = {} if known is None else {curve.set_number: known.lost(curve) for curve in curves}
        self.lost = {number: lost for number, lost in costly.items() if lost == lost}
        self.timed = bool(document.contents.times())
        self.cells = Cells(document, layers, self.plan, self.lost)

    # What Qt asks.

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many layers."""
        return 0 if parent.isValid() or self.layers is None or self.cells is None else len(self.layers.modules)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """As many as there are."""
        return 0 if parent.isValid() else len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, tooltip or words of a cell."""
        if self.cells is None or not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cells.text(index.row(), index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.cells.words(index.row())
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self.cells.spoken(index.row(), index.column())
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings; that of the lines is only spoken, because they have little room, and so are those of rows."""
        if orientation is not Qt.Orientation.Horizontal:
            shown = role == Qt.ItemDataRole.DisplayRole and section < self.rowCount()
            return self.layers.modules[section] if shown and self.layers is not None else None
        if section >= self.columnCount():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return "" if section == Column.TIES else heading(self.document, section)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return heading(self.document, section)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None
