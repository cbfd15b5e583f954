"""The item model of the Heads tab: a row for each layer, a column for each query head, over the scores and masks."""

from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind

from ...document.document import Document
from ...text.structures import structure_name
from ...text.translate import sentence
from ...widgets.score_map import ScoreScale
from ..overlay_text import overlay_text


@dataclass(frozen=True, slots=True)
class HeadRow:
    """A row of the map.

    Attributes:
        module: Path of the layer.
        set_number: Coupled set whose structures are its cells, -1 where none of its heads can be removed.
        first: Its first structure.
        count: Its cells.
        span: Query heads that a cell has: more than one for a key/value group.
        inner: Set of the heads within each group, -1 where there is none; its own row follows.
        within: The cells are the heads of every group, and no whole heads.
        reason: Why not, "" where that is not known.
    """

    module: str
    set_number: int
    first: int
    count: int
    span: int = 1
    inner: int = -1
    within: bool = False
    reason: str = ""

    @property
    def columns(self) -> int:
        """How many heads wide it is."""
        return self.count * self.span


def heads_of(analysis: Analysis) -> tuple[HeadRow, ...]:
    """All rows, in the order of the model."""
    sets = list(enumerate(analysis.sets))
    groups = {(s.name, s.dim): n for n, s in sets if s.kind is Kind.KV_GROUP}
    inner = {groups[s.name, s.dim]: n for n, s in sets if s.kind is Kind.HEAD and (s.name, s.dim) in groups}
    rows: list[HeadRow] = []
    for number, one in sets:
        if one.kind is Kind.KV_GROUP:
            within = inner.get(number, -1)
            span = analysis.sets[within].count if within >= 0 else 1
            rows.append(HeadRow(_layer(one), number, one.first, one.count, span, within))
        elif one.kind is Kind.HEAD:
            rows.append(HeadRow(_layer(one), number, one.first, one.count, within=number in inner.values()))
    # A layer of the same class without heads that can be removed has a row too, which says why.
    classes, known = {m.path: m.type_name for m in analysis.modules}, {row.module for row in rows}
    names = {classes[path] for path in known if path in classes}
    reasons: dict[str, str] = {}
    for fixed in analysis.fixed:
        reasons.setdefault(analysis.tensors[fixed.tensor].module, sentence(fixed.reason))
    for path, name in classes.items():
        if name in names and path not in known:
            inside = (r for module, r in reasons.items() if module == path or module.startswith(f"{path}."))
            rows.append(HeadRow(path, -1, -1, 0, reason=next(inside, "")))
    place = {module.path: n for n, module in enumerate(analysis.modules)}
    return tuple(sorted(rows, key=lambda row: place.get(row.module, len(place))))


def _layer(one: CoupledSet) -> str:
    """The module that holds all projections of a set: what their paths have in common."""
    parts = zip(*(path.split(".") for path in (one.module, *one.along)), strict=False)
    alike = takewhile(lambda names: len(set(names)) == 1, parts)
    return ".".join(names[0] for names in alike) or one.module


Index = QModelIndex | QPersistentModelIndex
Place = tuple[int, int]
"""(row, cell); a cell of a key/value group has as many columns as query heads that it serves."""
CELL = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemNeverHasChildren


class HeadsModel(QAbstractTableModel):
    """Heads of the document's model.

    Attributes:
        rows: What is shown.
        scale: From scores to colours.
        words: The states in words.
    """

    def __init__(self, document: Document, parent: QObject | None = None) -> None:
        """Show what the document has."""
        super().__init__(parent)
        self.document = document
        self.rows: tuple[HeadRow, ...] = ()
        self.scale = ScoreScale(1.0)
        self.words = {
            "free": self.tr("free"),
            "marked": self.tr("marked"),
            "locked": self.tr("locked"),
            "removed": self.tr("removed"),
            "fixed": self.tr("fixed"),
        }
        self._columns = 0
        self._values: NDArray[np.float64] | None = None
        self._places: dict[int, Place] = {}

    def reload(self) -> None:
        """Show another model."""
        self.beginResetModel()
        analysis = self.document.analysis
        self.rows = () if analysis is None else heads_of(analysis)
        self._columns = max((row.columns for row in self.rows), default=0)
        cells = ((n, cell) for n, row in enumerate(self.rows) for cell in range(row.count))
        self._places = {self.structure(place): place for place in cells}
        self._take_values()
        self.endResetModel()

    def refresh(self) -> None:
        """Scores or states changed, the rows did not."""
        self._take_values()
        if self.rows and self._columns:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.rows) - 1, self._columns - 1))

    def _take_values(self) -> None:
        """What cells are coloured by, on the scale of the tree: a colour says the same wherever it is seen."""
        self._values = self.document.overlay_values
        self.scale = ScoreScale.of(self._values, self.document.ranked)

    # Cells and structures.

    @property
    def some(self) -> bool:
        """There are heads that can be removed."""
        return bool(self._places)

    def structure(self, place: Place) -> int:
        """The structure of a cell."""
        return self.rows[place[0]].first + place[1]

    def place_of(self, structure: int) -> Place | None:
        """The cell of a structure, None where it is no head."""
        return self._places.get(structure)

    def place(self, index: Index) -> Place | None:
        """The cell at an index, None where there is none."""
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        return (index.row(), index.column() // row.span) if index.column() < row.columns else None

    def at(self, place: Place) -> QModelIndex:
        """The first index of a cell."""
        return self.index(place[0], place[1] * self.rows[place[0]].span)

    def look(self, place: Place) -> tuple[float, str]:
        """A cell's score on the scale, NaN unknown, and its state."""
        structure, scores = self.structure(place), self._values
        score = float("nan") if scores is None else float(scores[structure])
        return self.scale.fraction(score), self._state(structure)

    def _state(self, structure: int) -> str:
        document = self.document
        if document.removed[structure]:
            return "removed"
        if document.marked[structure]:
            return "marked"
        return "locked" if document.locked[structure] else "free"

    def words_of(self, row: int, cell: int) -> str:
        """A cell in words; of a row alone where the cell is -1."""
        one, analysis = self.rows[row], self.document.analysis
        if one.set_number < 0:
            words = self.tr("{0} is fixed: none of its heads can be removed separately. {1}")
            return words.format(one.module, one.reason).strip()
        if cell < 0 or analysis is None:
            return one.module
        structure, scores = self.structure((row, cell)), self._values
        name = structure_name(analysis, structure, analysis.sets[one.set_number])
        name = self.tr("{0} of each group").format(name) if one.within else name
        lines = [f"{one.module}, {name}"]
        if one.span > 1:
            lines.append(self.tr("serves query heads {0} to {1}").format(cell * one.span, (cell + 1) * one.span - 1))
        if scores is not None and np.isfinite(scores[structure]):
            lines.append(overlay_text(self.document).words.format(self.scale.text(float(scores[structure]))))
        state = self._state(structure)
        return "\n".join([*lines, *([self.words[state]] if state != "free" else [])])

    # What Qt asks.

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many layers."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """As many as the widest row has query heads."""
        return 0 if parent.isValid() else self._columns

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Heads can be selected; right of the last head of a row is nothing."""
        return Qt.ItemFlag.NoItemFlags if self.place(index) is None else CELL

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Number, tooltip or words of a cell."""
        if not index.isValid():
            return None
        place, fixed = self.place(index), self.rows[index.row()].set_number < 0
        if role == Qt.ItemDataRole.DisplayRole:
            return str(place[1]) if place is not None else self.words["fixed"] if fixed else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.words_of(index.row(), -1 if place is None else place[1])
        if role == Qt.ItemDataRole.AccessibleTextRole and (place is not None or fixed):
            return self.words_of(index.row(), -1 if place is None else place[1]).replace("\n", ", ")
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Numbers of the query heads, and names of the layers."""
        if orientation is Qt.Orientation.Horizontal:
            return str(section) if role == Qt.ItemDataRole.DisplayRole else None
        if section >= self.rowCount():
            return None
        row = self.rows[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return self.tr("in each group") if row.within else row.module
        return self.words_of(section, -1) if role == Qt.ItemDataRole.ToolTipRole else None
