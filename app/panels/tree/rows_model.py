"""What item models over the rows of a model have in common: places, numbers and the selection that a row means."""

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Slot
from PySide6.QtWidgets import QTreeView

from secateur.engine.structures.analysis import Analysis

from ...document.aspects import Selection
from .row_order import Arrangement
from .rows import Rows

Index = QModelIndex | QPersistentModelIndex


class RowsModel(QAbstractItemModel):
    """Rows in flat arrays; a subclass says what their cells show.

    Attributes:
        analysis: What is shown, None in an empty window.
        rows: Its rows.
        columns: How many columns there are.
    """

    columns = 1

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.analysis: Analysis | None = None
        self.rows: Rows | None = None
        self._arrangement: Arrangement | None = None

    # What Qt asks.

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        """The index at a place; asked for every row of what is opened, so it is kept short."""
        if self._arrangement is None:
            return QModelIndex()
        below = self._arrangement.children(parent.internalId() if parent.isValid() else -1)
        if 0 <= row < len(below) and 0 <= column < self.columns and parent.column() <= 0:
            return self.createIndex(row, column, below[row])
        return QModelIndex()

    def parent(self, index: Index) -> QModelIndex:  # type: ignore[override]
        """The index above."""
        if self._arrangement is None or not index.isValid():
            return QModelIndex()
        return self.at(self._arrangement.above(index.internalId()))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many rows are below."""
        if self._arrangement is None or parent.column() > 0:
            return 0
        return self._arrangement.count(parent.internalId() if parent.isValid() else -1)

    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: B008
        """Whether rows are below."""
        return self.rowCount(parent) > 0

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """As many as there are."""
        return self.columns

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

    def set_number(self, index: Index) -> int:
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
        return self.rows.modules[row if row < self.rows.count else int(self.rows.set_node[self.set_number(index)])]

    def selection(self, index: Index) -> Selection:
        """What the document selects for a row."""
        own = self.structures(index)
        return Selection(self.module(index), self.set_number(index), own[0] if own else -1)

    def index_of(self, module: str, set_number: int = -1, structure: int = -1) -> QModelIndex:
        """The row of a structure, else of a set, else of a module; invalid when it is filtered away."""
        if self._arrangement is None or self.rows is None:
            return QModelIndex()
        if structure >= 0:
            return self.at(self._arrangement.row_of_structure(structure))
        if set_number >= 0 and (self.analysis and self.analysis.sets[set_number].module == module):
            return self.at(int(self.rows.set_node[set_number]))
        return self.at(self.rows.modules.index(module)) if module in self.rows.modules else QModelIndex()

    def at(self, row: int, column: int = 0) -> QModelIndex:
        """The index of a row by its number; invalid when it is filtered away."""
        place = -1 if row < 0 or self._arrangement is None else self._arrangement.place(row)
        return QModelIndex() if place < 0 else self.createIndex(place, column, row)


class OpenRows(QObject):
    """Opens again what was open before its model was reset.

    Attributes:
        open: Numbers of the open rows.
        counting: Rows that open now count among them; not those that a filter opens to show what it found.
    """

    def __init__(self, view: QTreeView, model: RowsModel) -> None:
        """Follow a view."""
        super().__init__(view)
        self._view, self._model = view, model
        self.open: set[int] = set()
        self.counting = True
        self._analysis = model.analysis
        view.expanded.connect(self._remember_row)
        view.collapsed.connect(self._forget_row)
        model.modelReset.connect(self._reopen_rows)

    @Slot(QModelIndex)
    def _remember_row(self, index: QModelIndex) -> None:
        if self.counting:
            self.open.add(index.internalId())

    @Slot(QModelIndex)
    def _forget_row(self, index: QModelIndex) -> None:
        self.open.discard(index.internalId())

    @Slot()
    def _reopen_rows(self) -> None:
        if self._model.analysis is not self._analysis:
            self._analysis = self._model.analysis
            self.open.clear()
        # From the top down; after a filter, some of these rows are not shown.
        for row in sorted(self.open):
            index = self._model.at(row)
            if index.isValid():
                self._view.setExpanded(index, True)
