"""The item model of a comparison: one for both trees, each of which shows the columns of its side."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Qt

from secateur.engine.structures.analysis import Analysis

from ..tree.query import with_ancestors
from ..tree.row_order import Arrangement
from ..tree.rows import Rows, rows_of
from ..tree.rows_model import Index, RowsModel
from .cell_text import Cells, Column
from .difference import SAME, Difference, difference_of
from .sides import Model


class Role(IntEnum):
    """What the delegate reads besides texts."""

    KIND = Qt.ItemDataRole.UserRole + 1
    GONE_LEFT = Qt.ItemDataRole.UserRole + 2
    GONE_RIGHT = Qt.ItemDataRole.UserRole + 3


class CompareModel(RowsModel):
    """Rows of two models.

    Attributes:
        difference: How they differ, None before two are shown.
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
        self._cells: Cells | None = None

    def show_models(self, analysis: Analysis | None, left: Model | None, right: Model | None) -> None:
        """Show two models of an analysis."""
        self.beginResetModel()
        if analysis is not self.analysis:
            self.analysis = analysis
            self.rows = None if analysis is None else rows_of(analysis)
        if analysis is None or self.rows is None or left is None or right is None:
            self.difference = self._arrangement = self._cells = None
        else:
            self.titles = (left.title, right.title)
            self.difference = difference_of(analysis, self.rows, (left.gone, left.costs), (right.gone, right.costs))
            self._cells = Cells(analysis, self.rows, self.difference, self.titles)
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
            nodes = with_ancestors(found.differing, rows)
        self._arrangement = Arrangement(self.analysis, rows, structures, nodes, None)

    # What Qt asks.

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, difference or tooltip of a cell."""
        if self._cells is None or not index.isValid():
            return None
        cells, row = self._cells, index.internalId()
        answers: dict[int, Callable[[], Any]] = {
            int(Qt.ItemDataRole.DisplayRole): lambda: cells.text(row, index.column()),
            int(Role.KIND): lambda: cells.kind(row),
            int(Role.GONE_LEFT): lambda: cells.gone(row, 0),
            int(Role.GONE_RIGHT): lambda: cells.gone(row, 1),
            int(Qt.ItemDataRole.ToolTipRole): lambda: cells.tip(row),
            int(Qt.ItemDataRole.AccessibleTextRole): lambda: cells.spoken(row),
        }
        return answers[role]() if role in answers else None

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
