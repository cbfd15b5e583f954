"""The states as a tree with the plans that branch off, and the steps of the present branch; a click goes there.

States that follow one another stand below one another, however many rounds there are; only branches are indented.
"""

from collections import Counter

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Slot
from PySide6.QtGui import QResizeEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHBoxLayout,
    QHeaderView,
    QListWidget,
    QListWidgetItem,
    QStackedLayout,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from secateur.engine.export.usage import place_of
from secateur.engine.session.states import State, StateKind

from ...document.document import Aspect, Document, Side
from ...document.job_state import Receipt
from ...text.format import rough, scaled, size
from ...text.metrics import (
    error_text,
    kind_text,
    latency_text,
    measured_tip,
    timing_of,
    value_text,
    verified_tip,
)
from ...text.receipts import format_called, receipt_facts
from ...widgets.buttons import button
from ...widgets.empty_state import EmptyState
from ...widgets.labels import label
from ...widgets.table import elide_titles
from .rows import PlanRow, Plans, plan_name, plan_tip, receipts

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.STATES, Aspect.MARKS, Aspect.GOAL})
STATE_NAME, LATENCY, MACS, PARAMETERS, VERIFIED = 0, 2, 3, 4, 5
ROOM = {LATENCY: 360, MACS: 380, VERIFIED: 470, PARAMETERS: 560}
"""Widths from which a column is shown, in device-independent pixels."""
STEPS = 190
"""Width of the list of steps."""
WIDE = ROOM[LATENCY] + STEPS
"""Width from which the steps are shown: beside them the latency has room."""
STATE, PLACE, SIDE, RECEIPT = (Qt.ItemDataRole.UserRole + n for n in (1, 2, 3, 4))


class HistoryPanel(QWidget):
    """All states and plans, and the steps between them.

    Attributes:
        view: The tree.
        steps: The steps of the present branch.
        comparison: Puts what is selected beside each other.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's states."""
        super().__init__(parent)
        self.document = document
        self._plans = Plans()
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
        self._lay_out()
        self.view.clicked.connect(self._clicked)
        self.view.activated.connect(self._go)
        self.view.selectionModel().selectionChanged.connect(self._say_comparison)
        self.steps.itemClicked.connect(self._step)
        self.steps.itemActivated.connect(self._step)
        self.comparison.clicked.connect(self._compare)
        document.dispatcher.watch(SHOWN, self._changed)
        self.refresh()

    def _lay_out(self) -> None:
        self._beside = QWidget()
        beside = QVBoxLayout(self._beside)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(2)
        title = label(self.tr("Steps of this branch"), "caption")
        title.setContentsMargins(4, 4, 4, 2)
        beside.addWidget(title)
        beside.addWidget(self.steps, 1)
        self._beside.setFixedWidth(STEPS)
        shown = QWidget()
        outer = QVBoxLayout(shown)
        outer.setContentsMargins(6, 0, 6, 6)
        outer.setSpacing(4)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.view, 1)
        row.addWidget(self._beside)
        outer.addLayout(row, 1)
        below = QHBoxLayout()
        hint = label(self.tr("Click to go there; nothing is lost. Ctrl+click selects a second one."), "caption", True)
        below.addWidget(hint, 1)
        below.addWidget(self.comparison)
        outer.addLayout(below)
        words = self.tr("Every cut and every recovery adds a state that you can return to.")
        self._stack = QStackedLayout(self)
        self._stack.addWidget(EmptyState(self.tr("History"), words))
        self._stack.addWidget(shown)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self._plans.forget()
        self.refresh()

    def refresh(self) -> None:
        """Show all states, plans and steps again."""
        self._model.clear()
        titles = (self.tr("State"), self.tr("Metric"), self.tr("Latency"), self.tr("MACs"), self.tr("Parameters"))
        titles = (*titles, self.tr("Cut verified"))
        self._model.setHorizontalHeaderLabels(titles)
        rows: dict[str, QStandardItem] = {}
        self._present = None
        plans = self._plans.rows(self.document)
        following = Counter(state.parent for state in self.document.states)
        branched, in_line = set[str](), set[str]()
        for state in self.document.states:
            first, before = state.parent not in branched, rows.get(state.parent)
            branched.add(state.parent)
            items = self._items(state, named_origin=not first and before is not None)
            if before is not None and following[state.parent] == 1:
                in_line.add(state.id)
                if state.parent in in_line:  # states that follow one another stand below one another
                    before = before.parent()
            rows[state.id] = items[0]
            (self._model.invisibleRootItem() if before is None else before).appendRow(items)
            for receipt in receipts(state):
                items[0].appendRow(self._file_items(receipt))
            for plan in plans:
                if plan.state == state.id:
                    items[0].appendRow(self._plan_items(plan))
        self.view.expandAll()
        if self._present is not None:  # keys begin where one is
            here = QItemSelectionModel.SelectionFlag.NoUpdate
            self.view.selectionModel().setCurrentIndex(self._present.index(), here)
        self._show_steps()
        header = self.view.header()
        header.setAccessibleName(self.tr("Columns of the history"))
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(STATE_NAME, QHeaderView.ResizeMode.Stretch)  # elided where the room ends
        self._share_room()
        self._stack.setCurrentIndex(int(bool(rows)))
        self._say_comparison()

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

    def _items(self, state: State, named_origin: bool = False) -> list[QStandardItem]:
        """The cells of a state; what it was made from is named where the row above is another branch."""
        document, verified = self.document, state.verification
        present, name = state is document.state and not document.marked.any(), _named(state)
        before = document.contents.states.get(state.parent)
        shown = self.tr("{0} from {1}").format(name, _named(before)) if named_origin and before is not None else name
        metric, timing = document.metric(state), timing_of(state, document.target)
        texts = (
            self.tr("{0}, current").format(shown) if present else shown,
            self._metric(state),
            self.tr("not measured") if timing is None else latency_text(timing),
            scaled(state.macs),
            scaled(state.parameters),
            "" if verified is None else rough(verified.difference),
        )
        tip = measured_tip(state, metric, timing, document.evaluation_split)
        if before is not None:
            tip = "\n".join(filter(None, (self.tr("{0}, made from {1}.").format(name, _named(before)), tip)))
        items = _row(texts, tip, present, (state.id, -1, Side(state.id)))
        self._present = items[0] if present else self._present
        items[-1].setToolTip(verified_tip(document.states, state) if verified is not None else "")
        return items

    def _plan_items(self, plan: PlanRow) -> list[QStandardItem]:
        counted, name = self._plans.costs(self.document, plan), plan_name(plan)
        texts = (
            self.tr("{0}, current").format(name) if plan.present else name,
            self.tr("not cut"),
            "",
            "" if counted is None else scaled(counted.macs),
            "" if counted is None else scaled(counted.parameters),
            "",
        )
        items = _row(texts, plan_tip(plan), plan.present, (plan.state, plan.place, plan.side))
        self._present = items[0] if plan.present else self._present
        return items

    def _file_items(self, receipt: Receipt) -> list[QStandardItem]:
        """A file that was written of a state; a click brings its receipt."""
        exported, metric = receipt.exported, receipt.exported.metric
        name = self.tr("{0}, {1}").format(place_of(exported).name, size(exported.bytes))
        texts = (name, "" if metric is None else f"{value_text(metric)} {error_text(metric)}", "", "", "", "")
        facts = receipt_facts(exported, self.document.contents.states.get(receipt.state), self.document.target)
        tip = self.tr("{0}, {1}: {2}. Click for the receipt.").format(
            format_called(exported), place_of(exported), facts
        )
        items = _row(texts, tip, False, (receipt.state, -1, Side(receipt.state)))
        for item in items:
            item.setData(receipt, RECEIPT)
            item.setForeground(self.palette().placeholderText())
        return items

    def _show_steps(self) -> None:
        history = self.document.history
        self.steps.clear()
        begun = True
        for place in history.line():
            text = history.entries[place - 1].text if place else self.tr("opened")
            item = QListWidgetItem(text)
            item.setData(PLACE, place)
            item.setToolTip(text)
            present = place == history.position
            font = item.font()
            font.setBold(present)
            item.setFont(font)
            if not begun:
                item.setForeground(self.palette().placeholderText())
                item.setToolTip(self.tr("{0}, undone").format(text))
            self.steps.addItem(item)
            if present:
                self.steps.setCurrentItem(item)
                self.steps.scrollToItem(item)
                begun = False

    # What a hand does.

    @Slot(QModelIndex)
    def _clicked(self, index: QModelIndex) -> None:
        """A click goes there; one that selects a second row goes nowhere."""
        if not QApplication.keyboardModifiers() & (
            Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        ):
            self._go(index)

    def _metric(self, state: State) -> str:
        if (metric := self.document.metric(state)) is None:
            return self.tr("not measured")
        words = f"{value_text(metric)} {error_text(metric)}"
        return self.tr("{0}, stale").format(words) if state.stale else words

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


def _named(state: State) -> str:
    """Recovered s2."""
    return kind_text(state.kind) if state.kind is StateKind.ORIGINAL else f"{kind_text(state.kind)} {state.id}"


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
