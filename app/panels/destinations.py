"""Where the current state can go: each format with what it is for, whether it is possible, and what was written."""

from collections.abc import Callable, Mapping

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget
from shiboken6 import isValid

from secateur.engine.errors import Message
from secateur.engine.export.protocol import Exported
from secateur.engine.export.table import EXPORTERS

from ..commands.command import opens
from ..commands.registry import command_named
from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import Receipt
from ..jobs.workbench import Workbench
from ..text.format import size
from ..text.receipts import receipt_facts
from ..text.translate import engine_words, sentence
from ..theme import px
from ..widgets.buttons import button, set_available
from ..widgets.card import EmptyState
from ..widgets.labels import label
from .panel_layout import column_of, row_of, scroll_area, stack_of

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.STATES, Aspect.MARKS, Aspect.JOBS})
TITLE, WORDS, WRITTEN, BUTTON = range(4)
"""Columns."""
WIDTH = 170
"""Of the titles, in pixels at the first size of text."""


class DestinationsPanel(QWidget):
    """A row for each format, and what else can be handed on below them.

    Attributes:
        words: By format: what it is for; where it is not possible, why.
        written: By format: opens the receipt of the last file of this state; hidden where there is none.
        exports: By format: opens the export dialog with that format chosen.
        first: Why nothing can be exported now; hidden where something can.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show where a workbench's current state can go."""
        super().__init__(parent)
        self.document: Document = workbench.document
        self._states = workbench.states
        # The state whose refusals were asked for, and what came back.
        self._asked, self._refusals = "", dict[str, Message]()
        self.words: dict[str, QLabel] = {}
        self.written: dict[str, QPushButton] = {}
        self.exports: dict[str, QPushButton] = {}
        self.first = label(role="marked", wrap=True)
        rows = QGridLayout()
        rows.setHorizontalSpacing(12)
        rows.setVerticalSpacing(4)
        rows.setColumnStretch(WORDS, 1)
        rows.setColumnMinimumWidth(TITLE, px(WIDTH))
        for row, (name, format) in enumerate(EXPORTERS.items()):
            title = engine_words(format.title)
            self.words[name] = label(role="caption", wrap=True)
            self.written[name] = button("", "link")
            self.exports[name] = button(self.tr("Export..."))
            self.exports[name].setAccessibleName(self.tr("Export {0}").format(title))
            self.written[name].clicked.connect(lambda _checked=False, name=name: self._show_receipt(name))
            self.exports[name].clicked.connect(lambda _checked=False, name=name: self._export(name))
            # Nothing moves when a file was written.
            policy = self.written[name].sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            self.written[name].setSizePolicy(policy)
            for column, part in (
                (TITLE, label(title, "strong")),
                (WORDS, self.words[name]),
                (WRITTEN, self.written[name]),
                (BUTTON, self.exports[name]),
            ):
                rows.addWidget(part, row, column)
        others = row_of(label(self.tr("To hand on:"), "caption"), gap=12)
        for command, words in (
            ("file.save", self.tr("Project...")),
            ("file.export_recipe", self.tr("Recipe...")),
            ("file.export_script", self.tr("Script...")),
            ("file.export_report", self.tr("Report...")),
            ("file.share", self.tr("Bundle...")),
        ):
            other = button(words, "link")
            other.clicked.connect(lambda _checked=False, command=command: self._run(command))
            others.addWidget(other)
        others.addStretch(1)
        page = QWidget()
        column_of(self.first, rows, others, None, on=page, margins=(6, 4, 6, 4), gap=6)
        empty = self.tr("Open a model to see where it can be exported to.")
        shown = scroll_area(page, self.tr("Destinations"))
        self._stack = stack_of(self, EmptyState(self.tr("Destinations"), empty), shown)
        self.document.dispatcher.watch(SHOWN, self.refresh)
        self.refresh()

    def refresh(self, aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show all rows again; the engine is asked once for each state what cannot be written."""
        document = self.document
        state = document.state
        self._stack.setCurrentIndex(0 if state is None else 1)
        if state is None:
            return
        if aspects & {Aspect.MODEL, Aspect.TASK} or self._asked != state.id:
            self._asked, self._refusals = "", {}
        self._ask_for_refusals()
        first = command_named("file.export_onnx").enabled(document)
        self.first.setText(first)
        self.first.setVisible(bool(first))
        for name, format in EXPORTERS.items():
            refusal = self._refusals.get(name)
            self.words[name].setText(engine_words(format.purpose) if refusal is None else sentence(refusal))
            set_available(self.exports[name], refusal is None and not first)
            exported = self._last(name)
            self.written[name].setVisible(exported is not None)
            if exported is not None:
                self.written[name].setText(self.tr("written, {0}").format(size(exported.bytes)))
                self.written[name].setToolTip(receipt_facts(exported, state, document.target))

    def showEvent(self, event: QShowEvent) -> None:
        """Who looks at it wants to know: nothing is asked for a page that is not in front."""
        super().showEvent(event)
        self._ask_for_refusals()

    def _ask_for_refusals(self) -> None:
        state = self.document.state
        if state is None or self._asked or not self.isVisible() or command_named("file.save").enabled(self.document):
            return
        self._asked = state.id
        self._states.find_refusals(self._taker(state.id))

    def _taker(self, state: str) -> Callable[[Mapping[str, Message]], None]:
        def take(refusals: Mapping[str, Message]) -> None:
            if isValid(self) and state == self._asked:
                self._refusals = dict(refusals)
                self.refresh(frozenset({Aspect.STATES}))

        return take

    def _last(self, format: str) -> Exported | None:
        """The last file of a format that was written of the current state."""
        state = self.document.state
        exports = () if state is None else state.exports
        return next((one for one in reversed(exports) if one.format == format), None)

    def _export(self, format: str) -> None:
        self.document.requested.emit(opens("export", "ExportDialog", format))

    def _show_receipt(self, format: str) -> None:
        state, exported = self.document.state, self._last(format)
        if state is not None and exported is not None:
            self.document.show_receipt(Receipt(state.id, exported))

    def _run(self, command: str) -> None:
        self.document.requested.emit(lambda window: window.run_command(command))
