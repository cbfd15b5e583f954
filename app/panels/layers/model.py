"""The item model of the Layers tab: a row for each layer, over flat arrays."""

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from ...document.document import Document
from ..tree.figures import Figures, figures_of
from ..tree.rows import Rows, rows_of
from .cell_text import Cells, Column, Measured, heading
from .rows import Layers, Plan, layers_of, plan_of

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
        learning: Masks are learned: bars and colours show open gates.
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
        self.timed = self.learning = False

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
        before = self.learning
        self._count()
        if self.learning != before:
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
            analysis, rows, document.removed, document.marked, document.shown_scores, costs
        )
        gates = document.learned_gates
        self.learning = gates is not None
        self.plan = plan_of(analysis, rows, layers, document.removed, document.locked, figures, costs, gates)
        times, savings, known = document.contents.times(), document.contents.saved, document.curves
        curves = () if known is None else known.all(analysis, document.removed)
        costly = {} if known is None else {curve.set_number: known.lost(curve) for curve in curves}
        self.lost = {number: lost for number, lost in costly.items() if lost == lost}
        self.timed = bool(times)
        metric = None if known is None else known.metric
        self.cells = Cells(analysis, layers, self.plan, Measured(times, savings, self.lost, metric))

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
            return "" if section == Column.TIES else heading(section, self.learning)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return heading(section, self.learning)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None
