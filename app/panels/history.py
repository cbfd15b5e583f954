"""The states as a tree with the plans that branch off, and the steps of the present branch; a click goes there.

States that follow one another stand below one another, however many rounds there are; only branches are indented.
"""

from collections import Counter
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QItemSelectionModel, QModelIndex, Qt, Slot
from PySide6.QtGui import QResizeEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QListWidget,
    QListWidgetItem,
    QTreeView,
    QWidget,
)

from secateur.engine.export.usage import place_of
from secateur.engine.session.states import State, StateKind
from secateur.engine.structures.analysis import Mask
from secateur.engine.structures.costs import Costs, costs

from ..document.aspects import Aspect, Side
from ..document.document import Document
from ..document.job_state import Receipt
from ..text.format import rough, scaled, size
from ..text.metrics import error_text, latency_text, measured_tip, timing_of, value_text, verified_tip
from ..text.receipts import format_title, receipt_facts
from ..widgets.buttons import button
from ..widgets.card import EmptyState
from ..widgets.labels import label
from ..widgets.table import elide_titles
from .compare.sides import state_title
from .panel_layout import column_of, row_of, stack_of

say = QCoreApplication.translate


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan that was made on a state and not cut.

    Attributes:
        place: Where the history has it.
        marked: How many structures it marks.
        steps: Words of the steps that led to it, the newest first.
        side: State and plan; live where it is the present plan.
    """

    place: int
    marked: int
    steps: tuple[str, ...]
    side: Side


def plan_rows(document: Document) -> list[PlanRow]:
    """The plans that no cut carried out, in the order in which they were made."""
    history, states = document.history, document.contents.states
    after: dict[int, list[int]] = {}
    for number, parent in enumerate(history.parents):
        after.setdefault(parent, []).append(number + 1)

    def is_left(place: int, state: str) -> bool:
        """Whether the plan at a place was left as it is: nothing went on with it, and no cut was made of it."""
        for one in after.get(place, []):
            led = states.get(history.entries[one - 1].after.state)
            if led is None or led.id == state:
                return False
            if led.parent == state and led.kind is StateKind.CUT and history.entries[one - 1].before.state == state:
                return False
        return True

    found: list[PlanRow] = []
    for place in range(1, len(history.entries) + 1):
        snapshot, present = history.entries[place - 1].after, place == history.position
        if snapshot.marked.any() and (present or is_left(place, snapshot.state)):
            # What was done on this state up to there, the newest first.
            steps, step = list[str](), place
            while step and history.entries[step - 1].after.state == snapshot.state:
                steps.append(history.entries[step - 1].text)
                step = history.parents[step - 1]
            side = Side(snapshot.state, snapshot.marked, live=present)
            found.append(PlanRow(place, int(snapshot.marked.sum()), tuple(steps), side))
    return found


def plan_tip(row: PlanRow) -> str:
    """How it was made, and what a click does."""
    lines = [say("history", "A plan that was not cut. Its steps, newest first:"), *row.steps[:8]]
    if len(row.steps) > 8:
        lines.append(say("history", "and {0} more").format(len(row.steps) - 8))
    return "\n".join(lines)


SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.STATES, Aspect.MARKS, Aspect.GOAL})
STATE_NAME, LATENCY, MACS, PARAMETERS, VERIFIED = 0, 2, 3, 4, 5
ROOM = {LATENCY: 360, MACS: 380, VERIFIED: 470, PARAMETERS: 560}
"""Widths from which a column is shown, in device-independent pixels."""
STEPS = 190
"""Width of the list of steps."""
WIDE = ROOM[LATENCY] + STEPS
"""Width from which the steps are shown: next to them the latency has room."""
STATE, PLACE, SIDE, RECEIPT = (Qt.ItemDataRole.UserRole + n for n in (1, 2, 3, 4))


class HistoryPanel(QWidget):
    """All states and plans, and the steps between them.

    Attributes:
        view: The tree.
        steps: The steps of the present branch.
        comparison: Compares what is selected.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's states."""
        super().__init__(parent)
        self.document = document
        self._plan_costs: dict[tuple[str, int], tuple[Mask, Costs]] = {}
        self._present: QStandardItem | None = None
        self._model = QStandardItemModel(self)
        self.view = QTreeView()
        self.view.setModel(self._model)
        self.view.setAccessibleName(self.tr("States and plans; Return goes to the selected one"))
        self.view.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setItemsExpandable(False)
        self.view.setIndentation(10)
        self.view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.view.setRootIsDecorated(False)
        self.view.setAllColumnsShowFocus(True)
        self.steps = QListWidget()
        self.steps.setProperty("role", "steps")
        self.steps.setAccessibleName(self.tr("Steps of this branch; Return goes to the selected one"))
        self.comparison = button(self.tr("Compare with the original"))
        elide_titles(self.view.header())
        self._beside, shown = QWidget(), QWidget()
        title = label(self.tr("Steps of this branch"), "caption")
        title.setContentsMargins(4, 4, 4, 2)
        column_of(title, (self.steps, 1), on=self._beside, margins=(0, 0, 0, 0), gap=2)
        self._beside.setFixedWidth(STEPS)
        hint = label(self.tr("Click to go there; nothing is lost. Ctrl+click selects a second one."), "caption", True)
        above, below = row_of((self.view, 1), self._beside, gap=8), row_of((hint, 1), self.comparison)
        column_of((above, 1), below, on=shown, margins=(6, 0, 6, 6), gap=4)
        words = self.tr("Every cut and every recovery adds a state that you can return to.")
        self._stack = stack_of(self, EmptyState(self.tr("History"), words), shown)
        self.view.clicked.connect(self._go_unless_selecting)
        self.view.activated.connect(self._go)
        self.view.selectionModel().selectionChanged.connect(self._say_comparison)
        self.steps.itemClicked.connect(self._step)
        self.steps.itemActivated.connect(self._step)
        self.comparison.clicked.connect(self._compare)
        document.dispatcher.watch(SHOWN, self._show_changes)
        self.refresh()

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self._plan_costs.clear()
        self.refresh()

    def refresh(self) -> None:
        """Show all states, plans and steps again."""
        self._model.clear()
        titles = (self.tr("State"), self.tr("Metric"), self.tr("Latency"), self.tr("MACs"), self.tr("Parameters"))
        self._model.setHorizontalHeaderLabels((*titles, self.tr("Cut verified")))
        rows: dict[str, QStandardItem] = {}
        self._present = None
        plans = plan_rows(self.document)
        following = Counter(state.parent for state in self.document.states)
        branched, in_line = set[str](), set[str]()
        for state in self.document.states:
            first, before = state.parent not in branched, rows.get(state.parent)
            branched.add(state.parent)
            items = self._state_items(state, named_origin=not first and before is not None)
            if before is not None and following[state.parent] == 1:
                in_line.add(state.id)
                # States that follow one another stand below one another.
                if state.parent in in_line:
                    before = before.parent()
            rows[state.id] = items[0]
            (self._model.invisibleRootItem() if before is None else before).appendRow(items)
            # Of a place that was written to again, what is there now.
            for exported in {one.files: one for one in state.exports}.values():
                items[0].appendRow(self._file_items(Receipt(state.id, exported)))
            for plan in plans:
                if plan.side.state == state.id:
                    items[0].appendRow(self._plan_items(plan))
        self.view.expandAll()
        # Keys begin at the present state.
        if self._present is not None:
            here = QItemSelectionModel.SelectionFlag.NoUpdate
            self.view.selectionModel().setCurrentIndex(self._present.index(), here)
        self._show_steps()
        header = self.view.header()
        header.setAccessibleName(self.tr("Columns of the history"))
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        # The name takes the rest, and is elided where the room ends.
        header.setSectionResizeMode(STATE_NAME, QHeaderView.ResizeMode.Stretch)
        self._share_room()
        self._stack.setCurrentIndex(int(bool(rows)))
        self._say_comparison()

    def _show_steps(self) -> None:
        history = self.document.history
        self.steps.clear()
        done = True
        for place in history.line():
            text = history.entries[place - 1].text if place else self.tr("opened")
            item = QListWidgetItem(text)
            item.setData(PLACE, place)
            item.setToolTip(text)
            present = place == history.position
            font = item.font()
            font.setBold(present)
            item.setFont(font)
            if not done:
                item.setForeground(self.palette().placeholderText())
                item.setToolTip(self.tr("{0}, undone").format(text))
            self.steps.addItem(item)
            if present:
                self.steps.setCurrentItem(item)
                self.steps.scrollToItem(item)
                done = False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window what the ledger says anyway makes room."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        self._beside.setVisible(self.width() >= WIDE)
        room = self.width() - (STEPS if self.width() >= WIDE else 0)
        target, states = self.document.target, self.document.states
        timed = any(timing_of(state, target) is not None for state in states)
        for column, least in ROOM.items():
            self.view.setColumnHidden(column, room < least or (column == LATENCY and not timed))

    def _state_items(self, state: State, named_origin: bool) -> list[QStandardItem]:
        """The cells of a state; what it was made from is named where the row above is another branch."""
        document, verified = self.document, state.verification
        present, name = state is document.state and not document.marked.any(), state_title(state)
        before = document.contents.states.get(state.parent)
        shown = (
            self.tr("{0} from {1}").format(name, state_title(before)) if named_origin and before is not None else name
        )
        metric, timing = document.metric(state), timing_of(state, document.target)
        measured = self.tr("not measured")
        if metric is not None:
            measured = f"{value_text(metric)} {error_text(metric)}"
            measured = self.tr("{0}, stale").format(measured) if state.stale else measured
        texts = (
            self.tr("{0}, current").format(shown) if present else shown,
            measured,
            self.tr("not measured") if timing is None else latency_text(timing),
            scaled(state.macs),
            scaled(state.parameters),
            "" if verified is None else rough(verified.difference),
        )
        tip = measured_tip(state, metric, timing, document.evaluation_split)
        if before is not None:
            tip = "\n".join(filter(None, (self.tr("{0}, made from {1}.").format(name, state_title(before)), tip)))
        items = _row(texts, tip, present, (state.id, -1, Side(state.id)))
        self._present = items[0] if present else self._present
        items[-1].setToolTip(verified_tip(document.states, state) if verified is not None else "")
        return items

    def _plan_items(self, plan: PlanRow) -> list[QStandardItem]:
        side, analysis, counted = plan.side, self.document.analysis, None
        if analysis is not None and side.plan is not None:
            # Exact costs take a while: each plan is counted once, and known by its array.
            key = side.state, id(side.plan)
            if key not in self._plan_costs or self._plan_costs[key][0] is not side.plan:
                gone = self.document.contents.removed_in(side.state) | side.plan
                self._plan_costs[key] = side.plan, costs(analysis, gone)
            counted = self._plan_costs[key][1]
        name = say("history", "plan, {count} marked").format(count=f"{plan.marked:,}")
        texts = (
            self.tr("{0}, current").format(name) if side.live else name,
            self.tr("not cut"),
            "",
            "" if counted is None else scaled(counted.macs),
            "" if counted is None else scaled(counted.parameters),
            "",
        )
        items = _row(texts, plan_tip(plan), side.live, (side.state, plan.place, side))
        self._present = items[0] if side.live else self._present
        return items

    def _file_items(self, receipt: Receipt) -> list[QStandardItem]:
        """A file that was written of a state; a click brings its receipt."""
        exported, metric = receipt.exported, receipt.exported.metric
        name = self.tr("{0}, {1}").format(place_of(exported).name, size(exported.bytes))
        texts = (name, "" if metric is None else f"{value_text(metric)} {error_text(metric)}", "", "", "", "")
        facts = receipt_facts(exported, self.document.contents.states.get(receipt.state), self.document.target)
        tip = self.tr("{0}, {1}: {2}. Click for the receipt.").format(format_title(exported), place_of(exported), facts)
        items = _row(texts, tip, False, (receipt.state, -1, Side(receipt.state)))
        for item in items:
            item.setData(receipt, RECEIPT)
            item.setForeground(self.palette().placeholderText())
        return items

    # What a hand does.

    @Slot(QModelIndex)
    def _go_unless_selecting(self, index: QModelIndex) -> None:
        """A click goes there; one that selects a second row goes nowhere."""
        if not QApplication.keyboardModifiers() & (
            Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        ):
            self._go(index)

    @Slot(QModelIndex)
    def _go(self, index: QModelIndex) -> None:
        state, place, receipt = str(index.data(STATE)), int(index.data(PLACE)), index.data(RECEIPT)
        if receipt is not None:
            self.document.show_receipt(receipt)
        elif place >= 0:
            self.document.plan.jump(place)
        elif state != self.document.contents.present or self.document.marked.any():
            self.document.plan.go_to(state)

    @Slot(QListWidgetItem)
    def _step(self, item: QListWidgetItem) -> None:
        self.document.plan.jump(int(item.data(PLACE)))

    def chosen(self) -> list[Side]:
        """The models of the selected rows, from the top."""
        rows = self.view.selectionModel().selectedRows()
        return [index.data(SIDE) for index in sorted(rows, key=lambda i: self.view.visualRect(i).top())]

    @Slot()
    def _say_comparison(self) -> None:
        """Word the button with what it will compare."""
        words = {2: self.tr("Compare both"), 1: self.tr("Compare with current")}
        text = words.get(len(self.chosen()), self.tr("Compare with the original"))
        self.comparison.setText(text)
        self.comparison.setAccessibleName(text)
        self.comparison.setEnabled(len(self.chosen()) <= 2 and self.document.analysis is not None)

    @Slot()
    def _compare(self) -> None:
        chosen = self.chosen()
        if len(chosen) == 2:
            self.document.compare(chosen[0], chosen[1])
        else:
            self.document.compare(chosen[0] if chosen else None, None)


def _row(texts: tuple[str, ...], tip: str, present: bool, data: tuple[str, int, Side]) -> list[QStandardItem]:
    """A row whose every cell knows where it leads."""
    items = [QStandardItem(text) for text in texts]
    for item in items:
        for role, value in zip((STATE, PLACE, SIDE), data, strict=True):
            item.setData(value, role)
        item.setToolTip(tip)
        item.setAccessibleDescription(tip)
        font = item.font()
        font.setBold(present)
        item.setFont(font)
    return items
