"""Tables of changes as an item model over arrays: sorted and filtered by numpy, written only where they are shown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QCoreApplication, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from secateur.engine.inspection.changes import Changes, GroupTable, chance, group_change

from ...text.format import percent, three_digits
from ...text.translate import counted
from ...theme import tokens

say = QCoreApplication.translate
CONTEXT = "changes"
Index = QModelIndex | QPersistentModelIndex
Titles = tuple[str, str]
"""What the models before and after are called."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        keys: [N] what it is sorted by; NaN comes last.
        text: The cell of a row.
        tip: Of its heading.
        left: Words, which begin at the left; else numbers, which end at the right.
    """

    title: str
    keys: NDArray[Any]
    text: Callable[[int], str]
    tip: str = ""
    left: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """A table as it is shown.

    Attributes:
        columns: From left to right.
        worse: [N] rows in the colour of what is lost.
        better: [N] rows in the colour of what is gained.
    """

    columns: tuple[Column, ...]
    worse: NDArray[np.bool_]
    better: NDArray[np.bool_]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.worse)


class ChangesModel(QAbstractTableModel):
    """A table, of which some rows are shown in some order.

    Attributes:
        rows: All of them.
        shown: [n] numbers of the rows that are shown, in order.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        nothing = np.zeros(0, np.bool_)
        self.rows = Rows((), nothing, nothing)
        self.shown = np.zeros(0, np.int64)
        self._filter: NDArray[np.bool_] | None = None
        self._sorting = (-1, Qt.SortOrder.AscendingOrder)

    def show_rows(self, rows: Rows, only: NDArray[np.bool_] | None = None) -> None:
        """Show another table, or other rows of it; it is sorted as before where it has that column.

        Args:
            rows: The table.
            only: [N] which rows; None for all.
        """
        self.beginResetModel()
        self.rows, self._filter = rows, only
        self._order()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 for the order that the table has."""
        self.layoutAboutToBeChanged.emit()
        before = self.shown
        self._sorting = (column, order)
        self._order()
        # The current row goes where its sample goes.
        places = np.full(len(self.rows), -1)
        places[self.shown] = np.arange(len(self.shown))
        old = self.persistentIndexList()
        new = [self.index(int(places[before[one.row()]]), one.column()) for one in old]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _order(self) -> None:
        shown = np.arange(len(self.rows)) if self._filter is None else np.flatnonzero(self._filter)
        column, order = self._sorting
        if 0 <= column < len(self.rows.columns):
            keys = self.rows.columns[column].keys[shown]
            unknown = np.isnan(keys) if keys.dtype.kind == "f" else np.zeros(len(keys), np.bool_)
            ranks = np.unique(keys[~unknown], return_inverse=True)[1]
            ranked = np.zeros(len(keys), np.int64)
            ranked[~unknown] = ranks if order is Qt.SortOrder.AscendingOrder else -ranks
            shown = shown[np.lexsort((ranked, unknown))]
        self.shown = shown

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many rows are shown."""
        return 0 if parent.isValid() else len(self.shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many columns there are."""
        return 0 if parent.isValid() else len(self.rows.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell."""
        if not index.isValid():
            return None
        row, column = int(self.shown[index.row()]), self.rows.columns[index.column()]
        found: Any = None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                found = column.text(row)
            case Qt.ItemDataRole.ToolTipRole:
                found = "\n".join(f"{one.title}: {words}" for one in self.rows.columns if (words := one.text(row)))
            case Qt.ItemDataRole.TextAlignmentRole:
                side = Qt.AlignmentFlag.AlignLeft if column.left else Qt.AlignmentFlag.AlignRight
                found = side | Qt.AlignmentFlag.AlignVCenter
            case Qt.ItemDataRole.ForegroundRole if self.rows.worse[row]:
                found = QColor(tokens().marked)
            case Qt.ItemDataRole.ForegroundRole if self.rows.better[row]:
                found = QColor(tokens().accent)
            case _:
                pass
        return found

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings."""
        if orientation is not Qt.Orientation.Horizontal or section >= len(self.rows.columns):
            return None
        column = self.rows.columns[section]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column.title
            case Qt.ItemDataRole.ToolTipRole:
                return column.tip or None
            case Qt.ItemDataRole.TextAlignmentRole:
                side = Qt.AlignmentFlag.AlignLeft if column.left else Qt.AlignmentFlag.AlignRight
                return side | Qt.AlignmentFlag.AlignVCenter
            case _:
                return None


def measure_text(changes: Changes, value: float) -> str:
    """A measure of a group: per cent where it is a share."""
    if value != value:
        return "\u2013"
    return percent(value) if changes.measure in ("accuracy", "IoU") else three_digits(value)


def group_title(by: str) -> str:
    """What samples are grouped by, as a heading."""
    return say(CONTEXT, "Class") if by == "class" else by[:1].upper() + by[1:]


def group_rows(changes: Changes, group: GroupTable, titles: Titles) -> Rows:
    """A row for each class or slice; those that lose more than the rest are marked, in colour and in words."""
    sign = 1.0 if changes.higher_is_better else -1.0
    marked = say(CONTEXT, "worse than the rest")
    paired = say(CONTEXT, "After less before, with the standard error of pairs: each sample is compared with itself.")
    tip = say(
        CONTEXT,
        "How likely chance alone would make a group lose so much more than the others, corrected for the number of "
        "groups (Holm).",
    )
    names = np.array(group.names, np.str_)
    # Class numbers sort as numbers, whatever they are called.
    keys = np.arange(len(names)) if group.by == "class" else names
    columns = (
        Column(group_title(group.by), keys, lambda row: group.names[row], left=True),
        Column(say(CONTEXT, "n"), group.counts, lambda row: f"{group.counts[row]:,}", say(CONTEXT, "Samples")),
        Column(titles[0], group.before, lambda row: measure_text(changes, float(group.before[row]))),
        Column(titles[1], group.after, lambda row: measure_text(changes, float(group.after[row]))),
        Column(
            say(CONTEXT, "Difference"), sign * group.differences, lambda row: group_change(changes, group, row), paired
        ),
        Column(say(CONTEXT, "Chance"), group.p, lambda row: chance(float(group.p[row])), tip),
        Column("", ~group.worse, lambda row: marked if group.worse[row] else "", left=True),
    )
    return Rows(columns, group.worse, np.zeros(len(names), np.bool_))


def confusion_rows(changes: Changes, titles: Titles) -> Rows:
    """A row for each class and what it is taken for; what became more is marked."""
    found = changes.confusions
    assert found is not None
    change = found.after - found.before
    right, taken = ([changes.class_name(int(one)) for one in column] for column in (found.right, found.predicted))
    columns = (
        Column(say(CONTEXT, "Class"), found.right, lambda row: right[row], left=True),
        Column(say(CONTEXT, "Taken for"), found.predicted, lambda row: taken[row], left=True),
        Column(titles[0], found.before, lambda row: f"{found.before[row]:,}"),
        Column(titles[1], found.after, lambda row: f"{found.after[row]:,}"),
        Column(say(CONTEXT, "Change"), -change, lambda row: f"{change[row]:+,}".replace("-", "\u2212")),
    )
    return Rows(columns, change > 0, change < 0)


def sample_rows(changes: Changes, titles: Titles) -> Rows:
    """A row for each sample: what happened to it, both predictions, and how sure they are."""
    found = changes.samples
    assert found is not None
    words = {-1: say(CONTEXT, "lost"), 1: say(CONTEXT, "gained"), 0: ""}
    rows, outcomes = found.rows, found.outcomes

    def class_of(numbers: NDArray[np.int64]) -> Callable[[int], str]:
        return lambda row: changes.class_name(int(numbers[row]))

    def value_of(numbers: NDArray[np.float64], share: bool) -> Callable[[int], str]:
        return lambda row: percent(float(numbers[row])) if share else three_digits(float(numbers[row]))

    columns = [Column(say(CONTEXT, "Sample"), rows, lambda row: f"{rows[row]:,}", say(CONTEXT, "Place in the split"))]
    if changes.mcnemar is not None:
        first, second = found.predicted[:, 0], found.predicted[:, 1]
        tip = say(CONTEXT, "Lost: right before and wrong after. Gained: the other way round.")
        columns += [
            Column(say(CONTEXT, "Outcome"), outcomes, lambda row: words[int(outcomes[row])], tip, left=True),
            Column(say(CONTEXT, "Class"), found.targets, class_of(found.targets), left=True),
            Column(titles[0], first, class_of(first), say(CONTEXT, "What it predicts"), left=True),
            Column(titles[1], second, class_of(second), say(CONTEXT, "What it predicts"), left=True),
        ]
    share = changes.mcnemar is not None
    measure = say(CONTEXT, "right class") if share else changes.measure
    tip = say(CONTEXT, "Confidence in the right class") if share else changes.measure
    before, after = found.values[:, 0], found.values[:, 1]
    columns += [
        Column(f"{measure}, {titles[0]}", before, value_of(before, share), tip),
        Column(f"{measure}, {titles[1]}", after, value_of(after, share), tip),
    ]
    return Rows(tuple(columns), outcomes < 0, outcomes > 0)


def count_words(count: int) -> str:
    """How many samples are listed."""
    return counted(count, say(CONTEXT, "{count} sample"), say(CONTEXT, "{count} samples"))
