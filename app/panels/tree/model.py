"""The tree's item model: row numbers and flat arrays become what the view asks for; edits go to the document."""

from enum import IntEnum
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Qt, Signal

from ...document.document import Document
from ...text.structures import many_of
from ..overlay_text import overlay_text
from .cell_text import Cells
from .figures import Figures, figures_of, with_scores
from .query import Facts, Query, matches
from .row_order import Arrangement
from .rows import rows_of
from .rows_model import Index, RowsModel


class Column(IntEnum):
    """Columns of the tree."""

    NAME = 0
    KEEPS = 1
    SCORE = 2
    SHARE = 3
    TIME = 4
    PARAMETERS = 5
    SHAPE = 6


BRANCH = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
LEAF, EDITABLE = BRANCH | Qt.ItemFlag.ItemNeverHasChildren, BRANCH | Qt.ItemFlag.ItemIsEditable
"""What rows can do; made once, because a tree asks for every row that it lays out."""


class TreeModel(RowsModel):
    """Modules, coupled sets and structures of the document's model.

    Attributes:
        cells: Texts and states of the rows.
        hits: How many structures and layers the filter lets through.

    Signals:
        refused: A sentence: what was typed cannot be.
        figures_changed: Numbers or states of any rows changed; repaint.
    """

    refused = Signal(str)
    figures_changed = Signal()
    columns = len(Column)

    def __init__(self, document: Document, parent: QObject | None = None) -> None:
        """Show what the document has."""
        super().__init__(parent)
        self.document = document
        self.figures: Figures | None = None
        self.cells: Cells | None = None
        self._counted: tuple[object, ...] = (None,) * 5
        self._titles = self.titles()
        self.query = Query()
        self.hits = (0, 0)
        self.reload()

    def reload(self) -> None:
        """Show another model."""
        self.beginResetModel()
        self.analysis = self.document.analysis
        self.rows = None if self.analysis is None else rows_of(self.analysis)
        self._count()
        self._arrange()
        self.endResetModel()

    def refresh(self) -> None:
        """Numbers or states changed, the rows did not (but what a filter lets through may)."""
        self._count()
        if (titles := self.titles()) != self._titles:
            self._titles = titles
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, Column.KEEPS, Column.SCORE)
        if self.query.states or self.query.scores:
            self.set_query(self.query)
        elif (last := self.rowCount()) > 0:
            self.dataChanged.emit(self.index(0, 0), self.index(last - 1, len(Column) - 1))
        self.figures_changed.emit()

    def set_query(self, query: Query) -> None:
        """Show only what matches."""
        self.beginResetModel()
        self.query = query
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows of each node by a column, or as the model has them (by name); structures by score only."""
        ascending = order is Qt.SortOrder.AscendingOrder
        self.document.contents.listing.sorting = None if column == Column.NAME else (column, ascending)
        # No reset: the view keeps its selection and what is open by persistent indexes.
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        self._arrange()
        self.changePersistentIndexList(before, [self.at(i.internalId(), i.column()) for i in before])
        self.layoutChanged.emit()

    def few(self, most: int) -> list[int]:
        """Numbers of the rows to open so that every hit is seen, from the top down; none where there are too many."""
        if self._arrangement is None or self.rows is None:
            return []
        shown = self._arrangement.nodes_shown()
        # Many structures stay folded in their layers; so many layers are not opened at all.
        leaves = self.hits[0] <= most
        opened = [int(row) for row in shown if leaves or not self._arrangement.holds_structures(int(row))]
        return opened if len(shown) <= 4 * most else []

    def facts(self) -> Facts:
        """What filters look at."""
        document = self.document
        return Facts(document.scores, document.removed, document.marked, document.locked)

    def _count(self) -> None:
        plan = self.document.plan_costs
        if self.analysis is None or self.rows is None or plan is None:
            self.figures = self.cells = None
            return
        facts = self.facts()
        contents, shown, ranked = self.document.contents, self.document.overlay_values, self.document.ranked
        # A change puts new arrays in place of the old ones: where these are the same, only scores changed.
        counted = (self.rows, facts.removed, facts.marked, plan, contents.table)
        if self.figures is not None and all(a is b for a, b in zip(counted, self._counted, strict=True)):
            self.figures = with_scores(self.figures, self.analysis, self.rows, facts.removed, shown, ranked)
        else:
            self.figures = figures_of(
                self.analysis, self.rows, facts.removed, facts.marked, shown, plan, contents.times(), ranked
            )
        self._counted = counted
        gates = self.document.learned_gates
        self.cells = Cells(self.analysis, self.rows, self.figures, facts, overlay_text(self.document), gates)

    def _arrange(self) -> None:
        if self.analysis is None or self.rows is None or self.figures is None:
            self._arrangement = None
            return
        structures, found, shown = matches(self.query, self.analysis, self.rows, self.facts())
        self.hits = (int(np.count_nonzero(structures)), int(np.count_nonzero(found)))
        column, ascending = self.document.contents.listing.sorting or (Column.NAME, True)
        figures, rows, sign = self.figures, self.rows, 1.0 if ascending else -1.0
        keys = sign * figures.scores if column == Column.SCORE else None
        # What the rows of a node are sorted by, NaN last; without any they are in the model's own order.
        sizes = np.array([*(one.count for one in self.analysis.sets), 1], np.float64)
        kept = np.append(figures.kept, 1) / sizes
        by = {
            Column.KEEPS: np.where(rows.owner >= 0, kept[rows.owner], np.nan),
            Column.SCORE: figures.node_scores,
            Column.SHARE: figures.shares,
            Column.TIME: figures.times,
            Column.PARAMETERS: figures.parameters.astype(np.float64),
        }.get(Column(column))
        node_keys = None if by is None else sign * by
        self._arrangement = Arrangement(self.analysis, self.rows, structures, shown, keys, node_keys)

    # What Qt asks.

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, state or number of a cell."""
        if self.cells is None or not index.isValid():
            return None
        row = index.internalId()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cells.text(row, index.column())
        if role == Qt.ItemDataRole.EditRole and index.column() == Column.KEEPS:
            return self.cells.kept(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.cells.tooltip(row)
        return self.cells.spoken(row) if role == Qt.ItemDataRole.AccessibleTextRole else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.titles()[section]
        if role == Qt.ItemDataRole.ToolTipRole and section == Column.SHARE:
            return self.tr(
                "Share of the plan's multiply-accumulates, exact. For one structure, with everything that is removed "
                "with it."
            )
        if role == Qt.ItemDataRole.ToolTipRole and section == Column.TIME:
            return self.tr(
                "Share of the plan's latency on the target, predicted from measured cut models. To measure them, use "
                "Run > Measure latency savings."
            )
        if role == Qt.ItemDataRole.TextAlignmentRole and section not in (Column.NAME, Column.SCORE):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def titles(self) -> tuple[str, ...]:
        """Headings of all columns."""
        keeps = self.tr("Keeps") if self.document.learned_gates is None else self.tr("Open")
        first = (self.tr("Structure"), keeps, overlay_text(self.document).title, self.tr("MACs"))
        return (*first, self.tr("Time"), self.tr("Parameters"), self.tr("Shape"))

    def flags(self, index: Index) -> Qt.ItemFlag:
        """All can be selected; "keeps" of what can be cut can be edited."""
        if not index.isValid() or self._arrangement is None or self.cells is None:
            return Qt.ItemFlag.NoItemFlags
        row = index.internalId()
        if row >= self._arrangement.nodes:
            return LEAF
        return EDITABLE if index.column() == Column.KEEPS and self.cells.editable(row) else BRANCH

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Keep as many as was typed: "48" or "48 of 64"."""
        if role != Qt.ItemDataRole.EditRole or self.cells is None or not self.cells.editable(index.internalId()):
            return False
        assert self.rows is not None and self.analysis is not None
        number = int(self.rows.owner[index.internalId()])
        one = self.analysis.sets[number]
        most = one.count - int(np.count_nonzero(self.document.removed[one.structures]))
        words = str(value).split()
        wanted = int(words[0]) if words and words[0].isdecimal() else None
        if wanted is None or not 1 <= wanted <= most:
            sentence = self.tr("Enter a whole number from 1 to {0} for the {1} of {2}.")
            self.refused.emit(sentence.format(most, many_of(one.kind), one.module or self.tr("the model")))
            return False
        if wanted != self.cells.kept(index.internalId()):
            self.document.plan.keep(number, wanted)
        return True

    def widest_keeps(self) -> str:
        """The longest text that "keeps" can show: its column is made for it."""
        if self.analysis is None or self.rows is None:
            return ""
        axes = np.unique(self.rows.axis[self.rows.axis >= 0])
        lengths = np.diff(self.analysis.axis_start)[axes]
        most = max([*(s.count for s in self.analysis.sets), *(int(n) for n in lengths)], default=0)
        return self.tr("{0} of {1}").format(most, most)
