"""The tree's item model: row numbers and flat arrays become what the view asks for; edits go to the document."""

from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from secateur.engine.structures.analysis import Analysis

from ...document import Document
from ..kinds import many_of
from .arrangement import Arrangement
from .cells import Cells
from .figures import Figures, figures_of
from .query import Facts, Query, matches
from .rows import Rows, rows_of

Index = QModelIndex | QPersistentModelIndex


class Column(IntEnum):
    """Columns of the tree."""

    NAME = 0
    KEEPS = 1
    SCORE = 2
    SHARE = 3


class Role(IntEnum):
    """What the delegate reads besides texts."""

    STATE = Qt.ItemDataRole.UserRole + 1
    FRACTION = Qt.ItemDataRole.UserRole + 2
    DETAIL = Qt.ItemDataRole.UserRole + 3


class TreeModel(QAbstractItemModel):
    """Modules, coupled sets and structures of the document's model.

    Attributes:
        analysis: What is shown, None in an empty window.
        cells: Texts and states of the rows.

    Signals:
        refused: A sentence: what was typed cannot be.
        figures_changed: Numbers or states of any rows changed; repaint.
    """

    _answers = MappingProxyType(
        {
            int(Role.STATE): Cells.state,
            int(Role.FRACTION): Cells.fraction,
            int(Role.DETAIL): Cells.detail,
            int(Qt.ItemDataRole.ToolTipRole): Cells.tooltip,
            int(Qt.ItemDataRole.AccessibleTextRole): Cells.spoken,
        }
    )
    refused = Signal(str)
    figures_changed = Signal()

    def __init__(self, document: Document, parent: QObject | None = None) -> None:
        """Show what the document has."""
        super().__init__(parent)
        self.document = document
        self.analysis: Analysis | None = None
        self.rows: Rows | None = None
        self.figures: Figures | None = None
        self.cells: Cells | None = None
        self.query = Query()
        self._arrangement: Arrangement | None = None
        self._by_score: Qt.SortOrder | None = None
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
        if self.query.states or self.query.scores:
            self.set_query(self.query)
        elif (last := self.rowCount()) > 0:
            self.dataChanged.emit(self.index(0, 0), self.index(last - 1, Column.SHARE))
        self.figures_changed.emit()

    def set_query(self, query: Query) -> None:
        """Show only what matches."""
        self.beginResetModel()
        self.query = query
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order structures within their set by score, or as the model has them."""
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        self._by_score = order if column == Column.SCORE else None
        self._arrange()
        self.changePersistentIndexList(before, [self._at(i.internalId(), i.column()) for i in before])
        self.layoutChanged.emit()

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
        self.figures = figures_of(self.analysis, self.rows, facts.removed, facts.marked, facts.scores, plan)
        self.cells = Cells(self.analysis, self.rows, self.figures, facts)

    def _arrange(self) -> None:
        if self.analysis is None or self.rows is None or self.figures is None:
            self._arrangement = None
            return
        structures, nodes = matches(self.query, self.analysis, self.rows, self.facts())
        keys = None
        if self._by_score is not None:
            keys = self.figures.scores if self._by_score is Qt.SortOrder.AscendingOrder else -self.figures.scores
        self._arrangement = Arrangement(self.analysis, self.rows, structures, nodes, keys)

    # What Qt asks.

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        """The index at a place."""
        if self._arrangement is None or not 0 <= column < len(Column) or not 0 <= row < self.rowCount(parent):
            return QModelIndex()
        return self.createIndex(row, column, self._arrangement.below(self._number(parent), row))

    def parent(self, index: Index) -> QModelIndex:  # type: ignore[override]
        """The index above."""
        if self._arrangement is None or not index.isValid():
            return QModelIndex()
        return self._at(self._arrangement.above(index.internalId()), 0)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many rows lie below."""
        if self._arrangement is None or parent.column() > 0:
            return 0
        return self._arrangement.count(self._number(parent))

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Four."""
        return len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, state or number of a cell."""
        if self.cells is None or not index.isValid():
            return None
        row = index.internalId()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cells.text(row, index.column())
        if role == Qt.ItemDataRole.EditRole and index.column() == Column.KEEPS:
            return self.cells.kept(row)
        answer = self._answers.get(role)
        return None if answer is None else answer(self.cells, row)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return (self.tr("Structure"), self.tr("Keeps"), self.tr("Score"), self.tr("MACs"))[section]
        if role == Qt.ItemDataRole.ToolTipRole and section == Column.SHARE:
            return self.tr(
                "Share of the plan's multiply-accumulates, exact; for one structure, with everything that goes along"
            )
        if role == Qt.ItemDataRole.TextAlignmentRole and section in (Column.KEEPS, Column.SHARE):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """All can be selected; "keeps" of what can be cut can be edited."""
        flags = super().flags(index)
        if index.isValid() and self._arrangement is not None and index.internalId() >= self._arrangement.nodes:
            flags |= Qt.ItemFlag.ItemNeverHasChildren
        if (
            index.isValid()
            and index.column() == Column.KEEPS
            and self.cells
            and self.cells.editable(index.internalId())
        ):
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Keep as many as was typed: "48" or "48 of 64"."""
        if role != Qt.ItemDataRole.EditRole or self.cells is None or not self.cells.editable(index.internalId()):
            return False
        assert self.rows is not None and self.analysis is not None
        number = int(self.rows.owner[index.internalId()])
        one = self.analysis.sets[number]
        most = one.count - int(np.count_nonzero(self.document.removed[one.structures]))
        wanted = _typed(str(value))
        if wanted is None or not 1 <= wanted <= most:
            sentence = self.tr("Keep a whole number from 1 to {0} of the {1} of {2}.")
            self.refused.emit(sentence.format(most, many_of(one.kind), one.module or self.tr("the model")))
            return False
        if wanted != self.cells.kept(index.internalId()):
            self.document.keep(number, wanted)
        return True

    def widest_keeps(self) -> str:
        """The longest text that "keeps" can show: its column is made for it."""
        if self.analysis is None or self.rows is None:
            return ""
        axes = np.unique(self.rows.axis[self.rows.axis >= 0])
        lengths = np.diff(self.analysis.axis_start)[axes]
        most = max([*(s.count for s in self.analysis.sets), *(int(n) for n in lengths)], default=0)
        return self.tr("{0} of {1}").format(most, most)

    # Numbers of rows.

    def structures(self, index: Index) -> tuple[int, ...]:
        """The structures that a row *is*: one for a structure or a whole block, none for layers and sets."""
        if self.rows is None or self.analysis is None or not index.isValid():
            return ()
        row = index.internalId()
        if row >= self.rows.count:
            return (row - self.rows.count,)
        owner = int(self.rows.owner[row])
        whole = owner >= 0 and self.analysis.sets[owner].count == 1
        return (self.analysis.sets[owner].first,) if whole else ()

    def owned(self, index: Index) -> int:
        """The coupled set that a row belongs to, -1 for none."""
        if self.rows is None or not index.isValid():
            return -1
        row = index.internalId()
        if row >= self.rows.count:
            return int(self.rows.set_of[row - self.rows.count])
        return int(max(self.rows.owner[row], self.rows.lead[row]))

    def module(self, index: Index) -> str:
        """Path of the module that a row belongs to."""
        if self.rows is None or not index.isValid():
            return ""
        row = index.internalId()
        return self.rows.modules[row if row < self.rows.count else int(self.rows.set_node[self.owned(index)])]

    def index_of(self, module: str, set_number: int = -1, structure: int = -1) -> QModelIndex:
        """The row of a structure, else of a set, else of a module; invalid when it is filtered away."""
        if self._arrangement is None or self.rows is None:
            return QModelIndex()
        if structure >= 0:
            return self._at(self._arrangement.row_of_structure(structure), 0)
        if set_number >= 0 and (self.analysis and self.analysis.sets[set_number].module == module):
            return self._at(int(self.rows.set_node[set_number]), 0)
        return self._at(self.rows.modules.index(module), 0) if module in self.rows.modules else QModelIndex()

    def _at(self, row: int, column: int) -> QModelIndex:
        place = -1 if row < 0 or self._arrangement is None else self._arrangement.place(row)
        return QModelIndex() if place < 0 else self.createIndex(place, column, row)

    @staticmethod
    def _number(index: Index) -> int:
        return index.internalId() if index.isValid() else -1


def _typed(text: str) -> int | None:
    words = text.split()
    return int(words[0]) if words and words[0].isdecimal() else None
