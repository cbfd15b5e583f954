"""The states as a tree: each with what is known of it; a click or Return goes there."""

from PySide6.QtCore import QModelIndex, Qt, Slot
from PySide6.QtGui import QResizeEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QHeaderView, QStackedLayout, QTreeView, QWidget

from secateur.engine.session.states import State, StateKind

from ..document import Aspect, Document
from ..widgets.empty_state import EmptyState
from ..widgets.numbers import rough, scaled
from .measures import error_text, kind_text, latency_text, metric_text, timing_of, value_text
from .verified import verified_tip

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.STATES})
STATE_NAME, MACS, PARAMETERS = 0, 3, 4
ROOMY = 540
"""Width from which all columns are shown, in device-independent pixels."""
STATE = Qt.ItemDataRole.UserRole + 1


class History(QWidget):
    """All states.

    Attributes:
        view: The tree.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's states."""
        super().__init__(parent)
        self.document = document
        self._model = QStandardItemModel(self)
        self.view = QTreeView()
        self.view.setModel(self._model)
        self.view.setAccessibleName(self.tr("States; Return goes to one"))
        self.view.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.view.setItemsExpandable(False)
        self.view.setIndentation(10)
        self.view.setRootIsDecorated(False)
        self.view.setAllColumnsShowFocus(True)
        self._stack = QStackedLayout(self)
        words = self.tr("Every cut and every recovery becomes a state that you can come back to.")
        self._stack.addWidget(EmptyState(self.tr("History"), words))
        self._stack.addWidget(self.view)
        self.view.clicked.connect(self._go)
        self.view.activated.connect(self._go)
        document.views.watch(SHOWN, self._changed)
        self.refresh()

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Show all states anew."""
        self._model.clear()
        titles = (self.tr("State"), self.tr("Metric"), self.tr("Latency"), self.tr("MACs"), self.tr("Parameters"))
        titles = (*titles, self.tr("Cut verified"))
        self._model.setHorizontalHeaderLabels(titles)
        rows: dict[str, QStandardItem] = {}
        for state in self.document.states:
            items = self._items(state)
            rows[state.id] = items[0]
            (rows[state.parent] if state.parent in rows else self._model.invisibleRootItem()).appendRow(items)
        self.view.expandAll()
        header = self.view.header()
        header.setAccessibleName(self.tr("Columns of the history"))
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(STATE_NAME, QHeaderView.ResizeMode.Stretch)  # elided where the room ends
        self._share_room()
        self._stack.setCurrentIndex(int(bool(rows)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window what the ledger says anyway makes room."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        self.view.setColumnHidden(PARAMETERS, self.width() < ROOMY)
        self.view.setColumnHidden(MACS, self.width() < ROOMY)

    def _items(self, state: State) -> list[QStandardItem]:
        document, present, verified = self.document, state is self.document.state, state.verification
        name = kind_text(state.kind) if state.kind is StateKind.ORIGINAL else f"{kind_text(state.kind)} {state.id}"
        metric, timing = document.metric(state), timing_of(state, document.target)
        texts = (
            self.tr("{0}, present").format(name) if present else name,
            self._metric(state),
            self.tr("not measured") if timing is None else latency_text(timing),
            scaled(state.macs),
            scaled(state.parameters),
            "" if verified is None else rough(verified.difference),
        )
        items = [QStandardItem(text) for text in texts]
        for item in items:
            item.setData(state.id, STATE)
            item.setToolTip("" if metric is None else metric_text(metric))
        items[-1].setToolTip(verified_tip(document.states, state) if verified is not None else "")
        for item in items:
            font = item.font()
            font.setBold(present)
            item.setFont(font)
        return items

    def _metric(self, state: State) -> str:
        if (metric := self.document.metric(state)) is None:
            return self.tr("not measured")
        words = f"{value_text(metric)} {error_text(metric)}"
        return self.tr("{0}, stale").format(words) if state.stale else words

    @Slot(QModelIndex)
    def _go(self, index: QModelIndex) -> None:
        self.document.go_to(str(index.data(STATE)))
