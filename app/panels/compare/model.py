"""The item model of a comparison: one for both trees, each of which shows the columns of its side."""

from enum import IntEnum
from typing import Any

import numpy as np
from PySide6.QtCore import QCoreApplication, QObject, Qt

from secateur.engine.structures.analysis import Analysis, Kind

from ...text.format import count
from ...text.structures import structure_name
from ..tree.query import with_ancestors
from ..tree.row_order import Arrangement
from ..tree.rows import Rows, rows_of
from ..tree.rows_model import Index, RowsModel
from .difference import SAME, Difference, change_words, difference_of, structure_words, tip
from .sides import Model

say = QCoreApplication.translate


class Column(IntEnum):
    """Columns of both trees."""

    NAME = 0
    KEEPS_LEFT = 1
    MACS_LEFT = 2
    KEEPS_RIGHT = 3
    MACS_RIGHT = 4
    CHANGE = 5


class Cells:
    """Texts of rows; rows are numbered as the arrangement does (nodes, then structures)."""

    def __init__(self, analysis: Analysis, rows: Rows, found: Difference, titles: tuple[str, str]) -> None:
        """Take a difference, and what the two models are called."""
        self._analysis, self._rows, self._found, self._titles = analysis, rows, found, titles

    def text(self, row: int, column: int) -> str:
        """What a cell shows."""
        if column == Column.NAME:
            return self.name(row)
        if column == Column.CHANGE:
            return self.change(row)
        side = int(column >= Column.KEEPS_RIGHT)
        return self.keeps(row, side) if column in (Column.KEEPS_LEFT, Column.KEEPS_RIGHT) else self.macs(row, side)

    def name(self, row: int) -> str:
        """Name of a row."""
        if (structure := row - self._rows.count) >= 0:
            return structure_name(self._analysis, structure, self._analysis.sets[self._rows.set_of[structure]])
        return self._rows.names[row]

    def keeps(self, row: int, side: int) -> str:
        """How many a model keeps of a layer; a word for what is removed or fixed."""
        if row >= self._rows.count:
            return say("compare", "none") if self.gone(row, side) else ""
        kept, owner = int(self._found.kept[side, row]), int(self._rows.owner[row])
        if kept < 0:
            return say("compare", "fixed") if self._rows.fixed[row] >= 0 else ""
        if owner >= 0 and self._analysis.sets[owner].count == 1:
            return "" if kept else say("compare", "none")
        return f"{kept:,}"

    def macs(self, row: int, side: int) -> str:
        """Multiply-accumulates in or below a row."""
        if row >= self._rows.count or not self._found.macs[:, row].any():
            return ""
        return count(int(self._found.macs[side, row]))

    def change(self, row: int) -> str:
        """How the right model differs."""
        if row >= self._rows.count:
            return structure_words(self.kind(row))
        return change_words(self._found, row, self._kind_of(row))

    def kind(self, row: int) -> int:
        """The same as one of the kinds of differences."""
        number = self._rows.count
        return int(self._found.structures[row - number] if row >= number else self._found.kinds[row])

    def gone(self, row: int, side: int) -> bool:
        """Whether a row is no longer there in a model."""
        if row >= self._rows.count:
            return bool(self._found.gone[side, row - self._rows.count])
        costs = self._found.macs[:, row] + self._found.parameters[:, row]
        return self._found.kept[side, row] == 0 or bool(costs[side] == 0 and costs[1 - side] > 0)

    def tip(self, row: int) -> str:
        """All numbers of a row."""
        if row >= self._rows.count:
            return ", ".join(filter(None, (self.name(row), self.change(row))))
        return tip(self._found, row, self._kind_of(row), self._rows.modules[row], self._titles)

    def _kind_of(self, row: int) -> Kind:
        """What a row keeps: structures of its own set, else channels that another set decides."""
        owner = int(self._rows.owner[row])
        kind = self._analysis.sets[owner].kind if owner >= 0 else Kind.CHANNEL
        return Kind.CHANNEL if kind is Kind.WIDTH else kind

    def spoken(self, row: int) -> str:
        """The whole row for a screen reader."""
        parts = [self.name(row)]
        for side, title in enumerate(self._titles):
            if text := self.keeps(row, side):
                parts.append(say("compare", "{0} in {1}").format(text, title))
        return ", ".join([*parts, *filter(None, [self.change(row)])])


class CompareModel(RowsModel):
    """Rows of two models.

    Attributes:
        difference: How they differ, None before two are shown.
        cells: Texts of the rows, None before two are shown.
        titles: What they are called.
        only: Only what differs is shown.
    """

    columns = len(Column)

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.difference: Difference | None = None
        self.titles = ("", "")
        self.only = False
        self.cells: Cells | None = None

    def show_models(self, analysis: Analysis | None, left: Model | None, right: Model | None) -> None:
        """Show two models of an analysis."""
        self.beginResetModel()
        if analysis is not self.analysis:
            self.analysis = analysis
            self.rows = None if analysis is None else rows_of(analysis)
        if analysis is None or self.rows is None or left is None or right is None:
            self.difference = self._arrangement = self.cells = None
        else:
            self.titles = (left.title, right.title)
            self.difference = difference_of(analysis, self.rows, (left.gone, left.costs), (right.gone, right.costs))
            self.cells = Cells(analysis, self.rows, self.difference, self.titles)
            self._arrange(self.rows, self.difference)
        self.endResetModel()

    def show_only(self, only: bool) -> None:
        """Show only what differs, or all."""
        self.beginResetModel()
        self.only = only
        if self.rows is not None and self.difference is not None:
            self._arrange(self.rows, self.difference)
        self.endResetModel()

    def _arrange(self, rows: Rows, found: Difference) -> None:
        assert self.analysis is not None
        structures, nodes = np.ones(self.analysis.count, np.bool_), np.ones(rows.count, np.bool_)
        if self.only:
            structures = found.structures != SAME
            nodes = with_ancestors(found.differing_rows, rows)
        self._arrangement = Arrangement(self.analysis, rows, structures, nodes, None)

    # What Qt asks.

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, difference or tooltip of a cell."""
        if self.cells is None or not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cells.text(index.internalId(), index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.cells.tip(index.internalId())
        return self.cells.spoken(index.internalId()) if role == Qt.ItemDataRole.AccessibleTextRole else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            keeps, macs = self.tr("Keeps"), self.tr("MACs")
            return (self.tr("Structure"), keeps, macs, keeps, macs, self.tr("Difference"))[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and Column.NAME < section < Column.CHANGE:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None
