"""The Compare panel: which two models stand beside each other, their trees, and the table of all runs."""

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QSignalBlocker, Qt, Slot
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ...document.document import Aspect, Document, Side
from ...text.format import change, scaled
from ...text.metrics import latency_text, measured_tip, target_text, timing_of, value_text
from ...text.translate import counted
from ...widgets.buttons import Chip, button
from ...widgets.empty_state import EmptyState
from ...widgets.fields import ComboBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.table import RowsTable
from .difference_text import summary
from .model import CompareModel
from .runs import LATENCY, MADE, PARAMETERS, SIZE, Run, RunsModel, Sorted, as_csv, runs_of
from .sides import Model, Models, default_sides, same, side_title, sides_of
from .view import TwoTrees

SHOWN = frozenset({Aspect.MODEL, Aspect.STATES, Aspect.MARKS, Aspect.TARGET, Aspect.TASK, Aspect.COMPARED})
LOW = 300
"""Height from which sentence and costs above the rows are shown, in device-independent pixels."""
MODELS, RUNS = "models", "runs"
Flag = QItemSelectionModel.SelectionFlag


class ComparePanel(QWidget):
    """Two models, or all runs.

    Attributes:
        pages: Chips that choose what is shown, by name.
        boxes: Which model stands at the left, and which at the right.
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
        self.table = self._table()
        self.copy = button(self.tr("Copy as CSV"))
        self._lay_out()
        self._connect()
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._changed)
        self.refresh()

    def _table(self) -> QTableView:
        name, columns = self.tr("All runs; Return goes to the state"), self.tr("Columns of the runs; click to sort")
        table = RowsTable(self.runs, name, columns, wide=MADE, optional=(PARAMETERS, SIZE, MADE, LATENCY))
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setSortingEnabled(True)
        table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        return table

    def _lay_out(self) -> None:
        head = FlowLayout()
        group = QButtonGroup(self)
        for chip in self.pages.values():
            group.addButton(chip)
            head.addWidget(chip)
        self.pages[MODELS].setChecked(True)
        self._with = label(self.tr("versus"), "caption")
        for each in (self.boxes[0], self._with, self.boxes[1], self.only, self.copy):
            head.addWidget(each)
        self._pages = QStackedLayout()
        shown = QWidget()
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 8, 6, 4)
        inner.setSpacing(6)
        inner.addLayout(head)
        inner.addWidget(self._said)
        inner.addLayout(self._pages, 1)  # first: a stack without a parent shows its first page as a window
        self._pages.addWidget(self.trees)
        self._pages.addWidget(self.table)
        words = self.tr("Open a model to compare two of its states or plans, and to list all runs.")
        self._stack = QStackedLayout(self)
        self._stack.addWidget(EmptyState(self.tr("Compare"), words))
        self._stack.addWidget(shown)

    def _connect(self) -> None:
        for box in self.boxes:
            box.activated.connect(self._choose)
        for chip in self.pages.values():
            chip.clicked.connect(self._show_page)
        self.only.clicked.connect(self.model.show_only)
        self.copy.clicked.connect(self.copy_csv)
        self.table.clicked.connect(self._open)
        self.table.activated.connect(self._open)
        copying = QAction(self.tr("Copy as CSV"), self.table)
        copying.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        copying.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copying.triggered.connect(self.copy_csv)
        self.table.addAction(copying)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self._show_page()

    def _changed(self, aspects: frozenset[Aspect]) -> None:
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
        self._fill()
        chosen = [self._sides[box.currentIndex()] for box in self.boxes]
        left, right = (self._models.of(side) for side in chosen)
        self.model.show_models(document.analysis, left, right)
        self._show_runs(runs_of(document))
        if left is not None and right is not None and self.model.difference is not None:
            heads = ((left, self._costs(left, None)), (right, self._costs(right, left)))
            self.trees.say(tuple((words, self._known(one, words)) for one, words in heads))
            for box, (one, words) in zip(self.boxes, heads, strict=True):
                box.setToolTip(self._known(one, words))
        self._say()

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
        known = [] if one.planned else [*([value_text(metric)] if metric else [])]
        known += [latency_text(timing)] if timing is not None and not one.planned else []
        counts = (one.costs.macs, one.costs.parameters)
        before = counts if other is None else (other.costs.macs, other.costs.parameters)
        titles = (self.tr("{0} MACs"), self.tr("{0} parameters"))
        for words, now, then in list(zip(titles, counts, before, strict=True))[: 1 if known else 2]:
            less = change(then, now) if now != then else ""
            known.append(words.format(scaled(now)) + (f" ({less})" if less else ""))
        return ", ".join(known)

    def _known(self, one: Model, costs: str) -> str:
        """What is measured of a model, and how each of these numbers is known."""
        if one.planned:
            return costs
        document, timing = self.document, timing_of(one.state, self.document.target)
        how = measured_tip(one.state, document.metric(one.state), timing, document.evaluation_split)
        return "\n".join(filter(None, (costs, how)))

    def _fill(self) -> None:
        """Offer every state and plan; what was chosen stays chosen."""
        document, usual = self.document, default_sides(self.document)
        wanted = [chosen or other for chosen, other in zip(document.compared, usual, strict=True)]
        found = sides_of(document, document.compared[0])
        found += tuple(s for s in sides_of(document, document.compared[1]) if not any(same(s, one) for one in found))
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

    def _say(self) -> None:
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
        for each in (*self.boxes, self._with, self.only):
            each.setVisible(not runs)
        self.copy.setVisible(runs)
        self._share_room()
        self._say()

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
