"""Any two models side by side by their layers: shapes, parameters, MACs, and what differs."""

import csv
import io
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Slot
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout

from secateur.engine.structures.costs import LayerRow, ModelLayers

from ..text.format import change, scaled
from ..text.translate import counted
from ..theme import px, tokens
from ..widgets.buttons import Chip, button
from ..widgets.labels import label
from ..widgets.table import RowsTable
from .window_api import WindowApi

Index = QModelIndex | QPersistentModelIndex
NOWHERE = QModelIndex()
SIZE = (900, 600)
"""Of the dialog at first, with text of the first size and in a window that is larger; in device-independent pixels."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer of the left model, of the right one, or of both."""

    left: LayerRow | None
    right: LayerRow | None

    @property
    def path(self) -> str:
        """What it is called."""
        found = self.left or self.right
        return "" if found is None else found.path

    @property
    def alike(self) -> bool:
        """Whether shapes and costs are the same."""
        left, right = self.left, self.right
        if left is None or right is None:
            return False
        return (left.shapes, left.parameters, left.macs) == (right.shapes, right.parameters, right.macs)


def pairs_of(left: ModelLayers, right: ModelLayers) -> tuple[Pair, ...]:
    """The layers of two models, those of one name as a pair, in the order of both."""
    ours, theirs = {row.path: row for row in left.rows}, {row.path: row for row in right.rows}
    found: list[Pair] = []
    paired: set[str] = set()
    for _, begin, end, first, last in SequenceMatcher(None, [*ours], [*theirs], autojunk=False).get_opcodes():
        for path in (*[*ours][begin:end], *[*theirs][first:last]):
            if path not in paired:
                paired.add(path)
                found.append(Pair(ours.get(path), theirs.get(path)))
    return tuple(found)


class Column(IntEnum):
    """Columns of the table."""

    NAME = 0
    LEFT_SHAPE = 1
    RIGHT_SHAPE = 2
    LEFT_PARAMETERS = 3
    RIGHT_PARAMETERS = 4
    LEFT_MACS = 5
    RIGHT_MACS = 6
    DIFFERENCE = 7


class PairsModel(QAbstractTableModel):
    """Rows of a comparison.

    Attributes:
        pairs: All layers.
        shown: Those that are shown.
        names: What the models are called.
    """

    def __init__(self, left: ModelLayers, right: ModelLayers, parent: QObject | None = None) -> None:
        """Put two models side by side."""
        super().__init__(parent)
        self.names = (left.name, right.name)
        self.pairs = self.shown = pairs_of(left, right)

    def show_only(self, only: bool) -> None:
        """Show what differs, or all."""
        self.beginResetModel()
        self.shown = tuple(pair for pair in self.pairs if not (only and pair.alike))
        self.endResetModel()

    def rowCount(self, parent: Index = NOWHERE) -> int:
        """One row a layer."""
        return 0 if parent.isValid() else len(self.shown)

    def columnCount(self, parent: Index = NOWHERE) -> int:
        """Name, both sides, difference."""
        return 0 if parent.isValid() else len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, colour or tooltip of a cell."""
        pair, column = self.shown[index.row()], Column(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self.text(pair, column)
            case Qt.ItemDataRole.ToolTipRole:
                return "\n".join(one for one in (_describe(pair.left), _describe(pair.right)) if one)
            case Qt.ItemDataRole.ForegroundRole:
                return QColor(tokens().muted if pair.alike else tokens().text)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _side(column)
            case _:
                return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Headings: layer, shape left, shape right, ..., difference; None beyond the columns."""
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _side(Column(section))
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        shape, parameters, macs = self.tr("Shape"), self.tr("Parameters"), self.tr("MACs")
        sides = [
            f"{title} {side}" for title in (shape, parameters, macs) for side in (self.tr("left"), self.tr("right"))
        ]
        return (self.tr("Layer"), *sides, self.tr("Difference"))[section]

    def text(self, pair: Pair, column: Column) -> str:
        """The text of a cell."""
        if column is Column.NAME:
            return pair.path or self.tr("the model itself")
        if column is Column.DIFFERENCE:
            return self.difference(pair)
        row = pair.left if column % 2 else pair.right
        if row is None:
            return "\u2013"
        if column <= Column.RIGHT_SHAPE:
            return _shape(row)
        number = row.parameters if column <= Column.RIGHT_PARAMETERS else row.macs
        return str(number) if number < 1000 else scaled(number)

    def difference(self, pair: Pair) -> str:
        """How the sides differ, in words."""
        if pair.left is None or pair.right is None:
            return self.tr("only left") if pair.right is None else self.tr("only right")
        if pair.alike:
            return self.tr("equal")
        return change(pair.left.parameters, pair.right.parameters) or self.tr("other shape or costs")

    def summary(self) -> str:
        """How many layers are alike, and how many are not."""
        alike = sum(pair.alike for pair in self.pairs)
        left, right = sum(pair.right is None for pair in self.pairs), sum(pair.left is None for pair in self.pairs)
        differ = len(self.pairs) - alike - left - right
        words = self.tr("{alike} equal, {differ}, {left} only left, {right} only right.")
        differing = counted(differ, self.tr("{count} layer differs"), self.tr("{count} layers differ"))
        return words.format(alike=alike, differ=differing, left=left, right=right)

    def as_csv(self) -> str:
        """What is shown, with exact numbers."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow([self.headerData(section, Qt.Orientation.Horizontal) for section in Column])
        for pair in self.shown:
            sides = (pair.left, pair.right)
            shapes = ["" if one is None else _shape(one) for one in sides]
            numbers = ["" if one is None else getattr(one, name) for name in ("parameters", "macs") for one in sides]
            writer.writerow([pair.path, *shapes, *numbers, self.difference(pair)])
        return out.getvalue()


def _side(column: Column) -> Qt.AlignmentFlag:
    """Numbers are at the right of their column, words at the left."""
    side = Qt.AlignmentFlag.AlignRight if column >= Column.LEFT_PARAMETERS else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


def _shape(row: LayerRow) -> str:
    """Of its first parameter, which is the largest as a rule: 64 x 3 x 7 x 7."""
    return " x ".join(map(str, row.shapes[0][1])) if row.shapes else "\u2013"


def _describe(row: LayerRow | None) -> str:
    """Its type, and the shapes of its parameters."""
    if row is None:
        return ""
    shapes = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in row.shapes)
    return f"{row.type_name}: {shapes}" if shapes else row.type_name


class CompareModels(QDialog):
    """The dialog.

    Attributes:
        model: The rows.
        table: Shows them.
        only: Show only what differs.
    """

    def __init__(self, window: WindowApi, left: ModelLayers, right: ModelLayers) -> None:
        """Show two models over a window."""
        super().__init__(window.as_widget())
        self._document = window.document
        self.setWindowTitle(self.tr("Two models"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.model = PairsModel(left, right, self)
        names, columns = self.tr("Layers of both models"), self.tr("Columns of the comparison")
        self.table = RowsTable(self.model, names, columns, wide=Column.DIFFERENCE)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.only = Chip(self.tr("Differences only"))
        self.copy, self.close_button = button(self.tr("Copy as CSV")), button(self.tr("Close"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(8)
        for side, one, other in ((self.tr("Left"), left, None), (self.tr("Right"), right, left)):
            layout.addWidget(label(f"{side}: {self._costs(one, other)}", "strong", wrap=True))
        words = self.tr("Layers of one name stand beside each other. MACs are of one sample.")
        if left.inputs != right.inputs:
            words = self.tr("Layers of one name stand beside each other. MACs are of inputs of different shapes.")
        layout.addWidget(label(f"{self.model.summary()} {words}", "muted", wrap=True))
        layout.addWidget(self.table, 1)
        row = QHBoxLayout()
        row.addWidget(self.only)
        row.addStretch(1)
        row.addWidget(self.copy)
        row.addWidget(self.close_button)
        layout.addLayout(row)
        self.only.clicked.connect(self.model.show_only)
        self.copy.clicked.connect(self._copy)
        self.close_button.clicked.connect(self.accept)
        room = window.as_widget().size()
        self.resize(min(px(SIZE[0]), room.width()), min(px(SIZE[1]), room.height()))
        self.table.setFocus()

    def _costs(self, one: ModelLayers, other: ModelLayers | None) -> str:
        """Name and costs of a model, with the change against another one."""
        said = [one.name]
        for number, before, unit in (
            (one.parameters, other and other.parameters, self.tr("parameters")),
            (one.macs, other and other.macs, self.tr("MACs")),
        ):
            less = change(before, number) if before is not None and before != number else ""
            said.append(f"{scaled(number)} {unit}" + (f" ({less})" if less else ""))
        return ", ".join(said)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.model.as_csv())
        self._document.tell(self.tr("Comparison copied as CSV."))
