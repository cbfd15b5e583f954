"""The Compare panel: which two models are compared, their trees, and the table of all runs."""

from collections.abc import Callable, Iterable

from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSignalBlocker,
    Qt,
    Slot,
)
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHeaderView,
    QSizePolicy,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from ...document.aspects import Aspect, Selection, Side
from ...document.document import Document
from ...text.format import change, scaled
from ...text.metrics import latency_text, measured_tip, target_text, timing_of, value_text
from ...text.translate import counted
from ...theme import px, tokens
from ...widgets.buttons import Chip, button
from ...widgets.card import EmptyState
from ...widgets.fields import ComboBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import ElidedLabel, label, shortened
from ...widgets.painting import chevron
from ...widgets.table import RowsTable, elide_titles
from ..panel_layout import column_of, row_of, stack_of
from ..tree.rows_model import OpenRows
from .difference import ADDED, NARROWER, REMOVED, SAME, WIDER, summary
from .model import Column, CompareModel
from .runs import LATENCY, MADE, PARAMETERS, SIZE, Run, RunsModel, Sorted, as_csv, runs_of
from .sides import Model, Models, default_sides, same, side_title, sides_of

SIDE_COLUMNS = (
    (Column.NAME, Column.KEEPS_LEFT, Column.MACS_LEFT),
    (Column.NAME, Column.KEEPS_RIGHT, Column.MACS_RIGHT, Column.CHANGE),
)
WIDTHS = {
    **{Column.KEEPS_LEFT: 46, Column.KEEPS_RIGHT: 46, Column.MACS_LEFT: 58, Column.MACS_RIGHT: 58},
    Column.CHANGE: 124,
}
"""Of columns but the names, in pixels at the first size of text."""
NARROW, LEAST = 520, 74
"""Width of both below which the MACs are left to the tooltip; that of the differences then."""


class CompareDelegate(QStyledItemDelegate):
    """Colours what differs; what is gone is struck out, and the words are in a column of their own."""

    def __init__(self, right: bool, view: QTreeView, model: CompareModel) -> None:
        """Draw one side."""
        super().__init__(view)
        self._side = int(right)
        self._keeps = Column.KEEPS_RIGHT if right else Column.KEEPS_LEFT
        self._view, self._model = view, model

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Draw one cell; a name takes the room of "keeps" too where that says nothing."""
        cells, row = self._model.cells, index.internalId()
        if cells is None:
            return
        look, kind, gone = tokens(), cells.kind(row), cells.gone(row, self._side)
        rect, alone = option.rect, not index.sibling(index.row(), self._keeps).data()
        if alone and index.column() == self._keeps:
            return
        if alone and index.column() == Column.NAME:
            rect = rect.adjusted(0, 0, self._view.columnWidth(self._keeps), 0)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, QColor(look.selection))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, QColor(look.hover))
        less, more = (REMOVED, NARROWER), (ADDED, WIDER)
        colour = look.marked if kind in less else look.accent if kind in more else look.text
        if kind == SAME or (index.column() == Column.NAME and not gone):
            colour = look.text if kind != SAME else look.muted
        area = QRectF(rect).adjusted(3, 0, -3, 0)
        painter.save()
        painter.setPen(QColor(colour))
        font = QFont(option.font)
        font.setStrikeOut(gone and index.column() == Column.NAME)
        painter.setFont(font)
        left = index.column() in (Column.NAME, Column.CHANGE)
        side = Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight
        text, measure = index.data() or "", painter.fontMetrics()
        if index.column() == Column.NAME:
            text = shortened(text, area.width(), measure)
        elif index.column() == Column.CHANGE:
            text = shorten_to_fit(text, area.width(), measure.horizontalAdvance)
        text = measure.elidedText(text, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | side, text)
        painter.restore()


class CompareTree(QTreeView):
    """One side."""

    def __init__(self, model: CompareModel, right: bool, parent: QWidget | None = None) -> None:
        """Show the columns of a side."""
        super().__init__(parent)
        self.setModel(model)
        self.setItemDelegate(CompareDelegate(right, self, model))
        self.setUniformRowHeights(True)
        self.setAnimated(False)
        self.setIndentation(12)
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.header()
        header.setStretchLastSection(False)
        elide_titles(header)
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        for column in Column:
            self.setColumnHidden(column, column not in SIDE_COLUMNS[int(right)])

    def drawBranches(self, painter: QPainter, rect: QRect, index: QModelIndex) -> None:
        """An arrow where there is something below, and the row's colour behind it."""
        look = tokens()
        if self.selectionModel().isSelected(index):
            painter.fillRect(rect, look.selection)
        if self.model().hasChildren(index):
            centre = QPointF(rect.right() - self.indentation() / 2 + 1, rect.center().y() + 0.5)
            chevron(painter, centre, "down" if self.isExpanded(index) else "right", look.muted)


class TwoTrees(QWidget):
    """Both sides.

    Attributes:
        left: The tree of the left model.
        right: The tree of the right model.
    """

    def __init__(self, document: Document, model: CompareModel, parent: QWidget | None = None) -> None:
        """Show a comparison."""
        super().__init__(parent)
        self.document, self.rows = document, model
        self.left, self.right = CompareTree(model, False), CompareTree(model, True)
        self._costs = (ElidedLabel(role="caption", tells=False), ElidedLabel(role="caption", tells=False))
        self._row = row_of(on=self, margins=(0, 0, 0, 0), gap=10)
        for number, tree in enumerate((self.left, self.right)):
            tree.setMinimumWidth(0)
            tree.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
            self._row.addLayout(column_of(self._costs[number], (tree, 1), gap=1), 1)
        self.left.setAccessibleName(self.tr("Left model"))
        self.right.setAccessibleName(self.tr("Right model, with the differences"))
        for tree in (self.left, self.right):
            tree.header().setAccessibleName(self.tr("Columns of {0}").format(tree.accessibleName()))
        # What one tree does, the other does.
        self.right.setSelectionModel(self.left.selectionModel())
        for one, other in ((self.left, self.right), (self.right, self.left)):
            one.expanded.connect(other.expand)
            one.collapsed.connect(other.collapse)
            one.verticalScrollBar().valueChanged.connect(other.verticalScrollBar().setValue)
        self._open = OpenRows(self.left, self.rows)
        self.left.selectionModel().currentChanged.connect(self._select_current)
        self.rows.modelReset.connect(self._restore_selection)

    def show_heads(self, heads: Iterable[tuple[str, str]]) -> None:
        """Head each tree with (what its model costs, the same with how it is known)."""
        for each, (text, tip) in zip(self._costs, heads, strict=True):
            each.setText(text)
            each.setToolTip(tip)

    def show_costs(self, shown: bool) -> None:
        """With or without the heads: in a low window rows are worth more."""
        for each in self._costs:
            each.setVisible(shown)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window the MACs make room for names."""
        super().resizeEvent(event)
        self._share_room()

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other columns."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "_row"):
            self._share_room()

    def _share_room(self) -> None:
        """Columns as wide as the text needs them, and as much room for the names on both sides."""
        narrow = self.width() < px(NARROW)
        self.left.setColumnHidden(Column.MACS_LEFT, narrow)
        self.right.setColumnHidden(Column.MACS_RIGHT, narrow)
        for tree in (self.left, self.right):
            for column, width in WIDTHS.items():
                if not tree.isColumnHidden(column):
                    tree.header().resizeSection(column, px(LEAST if narrow and column is Column.CHANGE else width))
        needed = [
            sum(tree.columnWidth(column) for column in WIDTHS if not tree.isColumnHidden(column))
            for tree in (self.left, self.right)
        ]
        names = max((self.width() - self._row.spacing() - sum(needed)) // 2, 1)
        for number, width in enumerate(needed):
            self._row.setStretch(number, names + width)

    def show_selection(self, selection: Selection) -> None:
        """Make the document's selection the current row of both."""
        index = self.rows.index_of(selection.module, selection.set_number, selection.structure)
        if index.isValid() and index != self.left.currentIndex().siblingAtColumn(0):
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.left.selectionModel().setCurrentIndex(index, flags)
            self.left.scrollTo(index)

    @Slot(QModelIndex, QModelIndex)
    def _select_current(self, current: QModelIndex, _before: QModelIndex) -> None:
        if current.isValid():
            self.document.select_alone(self.rows.selection(current))

    @Slot()
    def _restore_selection(self) -> None:
        self.show_selection(self.document.selection)


def shorten_to_fit(text: str, room: float, width: Callable[[str], int]) -> str:
    """A difference in as many words as there is room for, and at least two: "24 fewer" of "24 fewer channels"."""
    while width(text) > room and text.count(" ") > 1:
        text = text.rpartition(" ")[0]
    return text


SHOWN = frozenset({Aspect.MODEL, Aspect.STATES, Aspect.MARKS, Aspect.TARGET, Aspect.TASK, Aspect.COMPARED})
LOW = 300
"""Height from which sentence and costs above the rows are shown, in device-independent pixels."""
MODELS, RUNS = "models", "runs"
Flag = QItemSelectionModel.SelectionFlag


class ComparePanel(QWidget):
    """Two models, or all runs.

    Attributes:
        pages: Chips that choose what is shown, by name.
        boxes: Which model is at the left, and which at the right.
        only: Show only what differs.
        model: The rows of both trees.
        trees: The trees.
        table: All runs.
        runs: Their model, sorted.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Compare what the document has."""
        super().__init__(parent)
        self.document = document
        self._models = Models(document)
        self._sides: tuple[Side, ...] = ()
        self.model = CompareModel(self)
        self.trees = TwoTrees(document, self.model)
        self.boxes = (ComboBox(self.tr("Left model")), ComboBox(self.tr("Right model")))
        self.only = Chip(self.tr("Differences only"))
        self.pages = {MODELS: Chip(self.tr("Two models")), RUNS: Chip(self.tr("All runs"))}
        self._said = label(role="caption", wrap=True)
        self._source = RunsModel(self)
        self.runs = Sorted(self._source, self)
        name, columns = self.tr("All runs; Return goes to the state"), self.tr("Columns of the runs; click to sort")
        self.table = RowsTable(self.runs, name, columns, wide=MADE, optional=(PARAMETERS, SIZE, MADE, LATENCY))
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.copy = button(self.tr("Copy as CSV"))
        self._versus = label(self.tr("versus"), "caption")
        head, group = FlowLayout(), QButtonGroup(self)
        for chip in self.pages.values():
            group.addButton(chip)
            head.addWidget(chip)
            chip.clicked.connect(self._show_page)
        self.pages[MODELS].setChecked(True)
        for each in (self.boxes[0], self._versus, self.boxes[1], self.only, self.copy):
            head.addWidget(each)
        # Pages come after the layout has its widget: a stack without one shows its first page as a window.
        self._pages, shown = QStackedLayout(), QWidget()
        column_of(head, self._said, (self._pages, 1), on=shown, margins=(6, 8, 6, 4), gap=6)
        self._pages.addWidget(self.trees)
        self._pages.addWidget(self.table)
        words = self.tr("Open a model to compare two of its states or plans, and to list all runs.")
        self._stack = stack_of(self, EmptyState(self.tr("Compare"), words), shown)
        for box in self.boxes:
            box.activated.connect(self._choose)
        self.only.clicked.connect(self.model.show_only)
        self.copy.clicked.connect(self.copy_csv)
        self.table.clicked.connect(self._open)
        self.table.activated.connect(self._open)
        self.table.offer_copy(self.tr("Copy as CSV"), self.copy_csv)
        self._show_page()
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._show_changes)
        self.refresh()

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.COMPARED in aspects:
            self.pages[MODELS].setChecked(True)
            self._show_page()
        if aspects & SHOWN:
            self.refresh()
        if Aspect.SELECTION in aspects:
            self.trees.show_selection(self.document.selection)

    def refresh(self) -> None:
        """Show both models and all runs again."""
        document = self.document
        self._stack.setCurrentIndex(int(document.analysis is not None))
        if document.analysis is None:
            self.model.show_models(None, None, None)
            self._show_runs([])
            return
        # What was chosen stays chosen, wherever the list of states and plans has it now.
        wanted = [one or usual for one, usual in zip(document.contents.compared, default_sides(document), strict=True)]
        found = sides_of(document, document.contents.compared[0])
        found += tuple(
            s for s in sides_of(document, document.contents.compared[1]) if not any(same(s, one) for one in found)
        )
        self._sides = found
        for box, want in zip(self.boxes, wanted, strict=True):
            with QSignalBlocker(box):
                box.clear()
                for side in found:
                    box.addItem(side_title(document, side))
                at = next((n for n, side in enumerate(found) if same(side, want)), -1)
                stated = next((n for n, side in enumerate(found) if side.state == want.state), 0)
                box.setCurrentIndex(at if at >= 0 else stated)
            box.updateGeometry()
        chosen = [self._sides[box.currentIndex()] for box in self.boxes]
        left, right = (self._models.of(side) for side in chosen)
        self.model.show_models(document.analysis, left, right)
        self._show_runs(runs_of(document))
        if left is not None and right is not None and self.model.difference is not None:
            heads = ((left, self._costs(left, None)), (right, self._costs(right, left)))
            self.trees.show_heads(tuple((words, self._sources(one, words)) for one, words in heads))
            for box, (one, words) in zip(self.boxes, heads, strict=True):
                box.setToolTip(self._sources(one, words))
        self._say_what_is_shown()

    def _show_runs(self, runs: list[Run]) -> None:
        """Show other rows; the current one and those that are selected stay so."""
        if runs == self._source.runs:
            return
        selection, before = self.table.selectionModel(), self.runs.runs()
        selected = {before[index.row()].id for index in selection.selectedRows()}
        current = self.table.currentIndex()
        present = before[current.row()].id if current.isValid() else ""
        self._source.show_runs(runs)
        for row, run in enumerate(self.runs.runs()):
            if run.id == present:
                selection.setCurrentIndex(self.runs.index(row, current.column()), Flag.NoUpdate)
            if run.id in selected:
                selection.select(self.runs.index(row, 0), Flag.Select | Flag.Rows)

    def _costs(self, one: Model, other: Model | None) -> str:
        """What is measured of a model, and its exact costs with the change against another one."""
        metric, timing = self.document.metric(one.state), timing_of(one.state, self.document.target)
        known = [value_text(metric)] if metric is not None and not one.planned else []
        known += [latency_text(timing)] if timing is not None and not one.planned else []
        counts = (one.costs.macs, one.costs.parameters)
        before = counts if other is None else (other.costs.macs, other.costs.parameters)
        titles = (self.tr("{0} MACs"), self.tr("{0} parameters"))
        for words, now, then in list(zip(titles, counts, before, strict=True))[: 1 if known else 2]:
            less = change(then, now) if now != then else ""
            known.append(words.format(scaled(now)) + (f" ({less})" if less else ""))
        return ", ".join(known)

    def _sources(self, one: Model, costs: str) -> str:
        """What is measured of a model, and how each of these numbers is known."""
        if one.planned:
            return costs
        document, timing = self.document, timing_of(one.state, self.document.target)
        how = measured_tip(one.state, document.metric(one.state), timing, document.evaluation_split)
        return "\n".join(filter(None, (costs, how)))

    def _say_what_is_shown(self) -> None:
        if self.pages[RUNS].isChecked():
            words = self.tr("Click a row to go to its state, a heading to sort. \u2248: predicted. Latency: {0}.")
            self._said.setText(words.format(target_text(self.document.target)))
        elif self.model.difference is not None:
            self._said.setText(summary(self.model.difference, self.model.titles))

    @Slot(int)
    def _choose(self, _number: int) -> None:
        left, right = (self._sides[box.currentIndex()] for box in self.boxes)
        self.document.compare(left, right)

    @Slot()
    def _show_page(self) -> None:
        runs = self.pages[RUNS].isChecked()
        self._pages.setCurrentIndex(int(runs))
        for each in (*self.boxes, self._versus, self.only):
            each.setVisible(not runs)
        self.copy.setVisible(runs)
        self._share_room()
        self._say_what_is_shown()

    def _share_room(self) -> None:
        for show in (self._said.setVisible, self.trees.show_costs):
            show(self.height() >= LOW)

    def resizeEvent(self, event) -> None:  # noqa: ANN001
        """In a low window what the ledger says anyway makes room."""
        super().resizeEvent(event)
        self._share_room()

    @Slot(QModelIndex)
    def _open(self, index: QModelIndex) -> None:
        """Go to the state of a row; a baseline is no state."""
        modified = QGuiApplication.keyboardModifiers() & (
            Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        )
        run = self.runs.runs()[index.row()]
        if run.state and not modified:
            self.document.plan.go_to(run.state)

    @Slot()
    def copy_csv(self) -> None:
        """Put the table into the clipboard: the selected rows where there are several, else all, as shown."""
        runs = self.runs.runs()
        rows = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        chosen = [runs[row] for row in rows] if len(rows) > 1 else runs
        QGuiApplication.clipboard().setText(as_csv(chosen))
        words = counted(len(chosen), self.tr("{count} run copied as CSV"), self.tr("{count} runs copied as CSV"))
        self.document.announced.emit(words)
