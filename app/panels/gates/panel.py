"""The Masks tab: expected against target number of open gates, by kind and step, while masks are learned."""

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from secateur.engine.masks.learned_gates import GateCount, LearnedGates

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect
from ...jobs.workbench import Workbench
from ...text.structures import many_of
from ...theme import px
from ...widgets.buttons import button
from ...widgets.empty_state import EmptyState
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table, offer
from ..plot_tables import gates_table
from .curves import GateCurves, KindName

SHOWN = frozenset({Aspect.MODEL, Aspect.GATES, Aspect.JOBS})


ROOMY = 640
"""Width from which planned and undecided have columns, in device-independent pixels; tooltips have them always."""
SPARE = (1, 3)
"""Numbers that are left out below that."""
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class GatesPanel(QWidget):
    """Curves at the left, numbers of each kind at the right.

    Attributes:
        curves: The plot.
        names: Of the kinds.
        numbers: Of each kind, what stands beside its name: open now, planned to be, target in the end, undecided.
        text: What is shown, and how far it is.
        cancel: Stops; what was learned is kept.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's masks."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.curves = GateCurves(self.tr("Open gates by step"))
        self.curves.label_axis("left", self.tr("open gates, %"))
        self.names: list[KindName] = []
        self.numbers: list[tuple[QLabel, ...]] = []
        self._heads: list[QLabel] = []
        self.text = label(role="caption", wrap=True)
        self.cancel = button(self.tr("Cancel"), tip=self.tr("Stop. What was learned is kept, and gone on with."))
        self._drawing = Drawing(
            "gates", self.tr("Gates of learned masks"), "gates", self._some, lambda: self.curves, self._table
        )
        self._lay_out()
        offer(self.curves, self._drawing, asks_to_save(self.document))
        self.cancel.clicked.connect(self._cancel)
        self.document.dispatcher.watch(SHOWN, self._changed)
        self.refresh()

    def _lay_out(self) -> None:
        words = self.tr("Masks learn which structures stay, together with the weights. Their gates appear here.")
        empty = EmptyState(self.tr("Learned masks"), words, self.tr("Target shape..."))
        empty.stepped.connect(self._begin)
        page = QWidget()
        page.setProperty("role", "page")
        inner = QVBoxLayout(page)
        inner.setContentsMargins(0, 0, 4, 0)
        inner.setSpacing(3)
        inner.addWidget(self.text)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(0, 1)
        heads = (self.tr("now"), self.tr("planned now"), self.tr("target"), self.tr("undecided"))
        tips = (
            self.tr("Gates that are open on average"),
            self.tr("How many should be open at this step"),
            self.tr("Structures that stay in the end, of how many"),
            self.tr("Gates that are often open and often closed"),
        )
        for column, (words, tip) in enumerate(zip(heads, tips, strict=True), start=1):
            head = label(words, "caption")
            head.setToolTip(tip)
            self._heads.append(head)
            self._grid.addWidget(head, 0, column, RIGHT)
        inner.addLayout(self._grid)
        inner.addStretch(1)
        area = QScrollArea()
        area.setProperty("role", "reached")
        area.setWidgetResizable(True)
        area.setAccessibleName(self.tr("Open gates of each kind"))
        area.setWidget(page)
        right = QVBoxLayout()
        right.addWidget(area, 1)
        right.addWidget(self.cancel)
        shown = QWidget()
        row = QHBoxLayout(shown)
        row.setContentsMargins(6, 6, 6, 6)
        row.setSpacing(12)
        row.addWidget(self.curves, 2)
        row.addLayout(right, 3)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(empty)
        self._stack.addWidget(shown)

    def drawings(self) -> tuple[Drawing, ...]:
        """The curves, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return self.document.gates.latest is not None

    def _table(self) -> Table:
        return gates_table(self.document.gates.points)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if aspects & {Aspect.MODEL, Aspect.GATES}:
            self.refresh()
        else:
            self._show_job()

    def refresh(self) -> None:
        """Show curves and numbers again."""
        gates = self.document.gates
        self._stack.setCurrentIndex(int(gates.latest is not None))
        if gates.latest is not None:
            self.curves.show_points(gates.points, gates.latest.steps)
            self._show_kinds(gates.latest)
        self._show_job()

    def _show_kinds(self, gates: LearnedGates) -> None:
        while len(self.names) < len(gates.counts):
            self._add_row()
        for name, cells, told in zip(self.names, self.numbers, gates.counts, strict=False):
            numbers = self._told(told)
            heads = (f"{head.text()} {number}" for head, number in zip(self._heads, numbers, strict=True))
            name.tell(many_of(told.kind), ", ".join(heads))
            for cell, words in zip(cells, numbers, strict=True):
                cell.setText(words)
        self._share_room()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window fewer numbers have columns."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        gates, roomy = self.document.gates.latest, self.width() >= px(ROOMY)
        count = 0 if gates is None else len(gates.counts)
        for place, (name, cells) in enumerate(zip(self.names, self.numbers, strict=True)):
            name.setVisible(place < count)
            for column, cell in enumerate(cells):
                cell.setVisible(place < count and (roomy or column not in SPARE))
        for column, head in enumerate(self._heads):
            head.setVisible(roomy or column not in SPARE)

    def _add_row(self) -> None:
        row = len(self.names) + 1
        self.names.append(KindName(row - 1))
        self.numbers.append(tuple(label("", "caption") for _ in range(4)))
        self._grid.addWidget(self.names[-1], row, 0)
        for column, cell in enumerate(self.numbers[-1], start=1):
            self._grid.addWidget(cell, row, column, RIGHT)

    def _said(self, gates: LearnedGates) -> str:
        learning = self.document.learned_gates is not None
        if not learning and gates.step >= gates.steps:
            words = self.tr("All {1} steps are done, and what stays is chosen. Dashed: how many should be open.")
        elif not learning:
            words = self.tr("Stopped at step {0} of {1}. The same target shape goes on from what is kept.")
        elif gates.chosen:
            words = self.tr("Step {0} of {1}. What stays is chosen; the weights go on learning.")
        else:
            words = self.tr("Step {0} of {1}. Dashed: how many should be open.")
        return words.format(f"{gates.step:,}", f"{gates.steps:,}")

    def _told(self, one: GateCount) -> tuple[str, ...]:
        final = self.tr("{0} of {1}").format(f"{one.final:,}", f"{one.whole:,}")
        return f"{one.expected:,.1f}", f"{one.target:,.1f}", final, f"{one.undecided:,}"

    def _show_job(self) -> None:
        learning, latest = self.document.learned_gates is not None, self.document.gates.latest
        if latest is not None:
            self.text.setText(self._said(latest))
        job = next(iter(self.document.jobs), None)
        self.cancel.setVisible(learning)
        self.cancel.setEnabled(job is not None and not job.cancelling)

    @Slot()
    def _cancel(self) -> None:
        if self.document.jobs:
            self.workbench.runner.request_cancel(self.document.jobs[0].id)

    @Slot()
    def _begin(self) -> None:
        self.document.requested.emit(lambda window: window.run_command("edit.shape"))
