"""The ledger: what the original costs and scores against the current state or plan; each cell says how it is known."""

from PySide6.QtCore import QEvent, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ..document.aspects import Aspect
from ..document.baseline_queries import baseline_verdict
from ..jobs.workbench import Workbench
from ..text.baselines import role_of, verdict_text
from ..text.verdicts import goal_description, goal_role, goal_tip, goal_words
from ..theme import px, theme
from ..widgets.buttons import button
from ..widgets.card import Card
from ..widgets.labels import ElidedLabel, label, set_role
from ..widgets.progress import ShareBar
from .ledger_figures import Figure, ledger_figures
from .panel_layout import column_of, row_of
from .panel_parts import attach_data

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.GOAL, Aspect.MARKS, Aspect.STATES})
NARROW = 226
"""Cells narrower than this show the original's number in a line of its own."""
BESIDE = 5
"""Between the parts of a line in a cell, in device-independent pixels."""


class Cell(Card):
    """One figure.

    Signals:
        stepped: Its small button (Measure, Evaluate) was pressed.
    """

    stepped = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent, margin=10)
        self.figure = Figure("", "")
        self.title = label(role="caption")
        self.source = label(role="caption")
        self.before = label(role="caption")
        self.number = label(role="number")
        self.error = label(role="caption")
        self.change = label(role="good")
        self.below = label(role="caption")
        self.apart = label(role="good")
        self.apart.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.number.setMinimumHeight(24)
        self.step = button("", "link")
        self.bar = ShareBar()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.step.clicked.connect(self.stepped)
        self.body.setSpacing(3)
        self.body.addLayout(row_of(self.title, None, self.source, gap=BESIDE))
        now = (self.before, self.number, self.error, None, self.change, self.step)
        self.body.addLayout(row_of(*now, gap=BESIDE))
        self.body.addLayout(row_of(self.apart, self.below, gap=BESIDE))
        self.body.addStretch(1)
        self.body.addWidget(self.bar)

    def show_figure(self, figure: Figure) -> None:
        """Show a figure."""
        self.figure = figure
        self.number.setText(figure.number)
        set_role(self.number, "number" if figure.known else "strong")
        for change in (self.change, self.apart):
            change.setText(figure.change)
            set_role(change, "good" if figure.good else "marked")
        self.step.setText(figure.step)
        self.step.setAccessibleName(figure.step)
        self.step.setVisible(bool(figure.step))
        self.bar.show_share(figure.share)
        self.setToolTip(figure.tip)
        self.setAccessibleName(figure.spoken)
        self.fit()

    def resizeEvent(self, event) -> None:  # noqa: ANN001
        """Decide again where the original's number goes."""
        super().resizeEvent(event)
        self.fit()

    def fit(self) -> None:
        """Say as much as there is room for."""
        figure, narrow = self.figure, self.width() < px(NARROW)
        self.title.setText(figure.short if narrow else figure.title)
        self.before.setText(f"{figure.before} >" if figure.before else "")
        self.source.setText(figure.source if narrow else figure.origin)
        self.error.setText(figure.error)
        original = self.tr("original {0}").format(figure.before) if figure.before else ""
        # In a narrow cell the change goes into a line of its own where number, change and button are too wide together.
        margins = self.body.contentsMargins()
        room = self.contentsRect().width() - margins.left() - margins.right()
        parts = (self.number, self.change, *((self.step,) if figure.step else ()))
        needed = sum(part.sizeHint().width() for part in parts) + BESIDE * len(parts)
        tight = narrow and bool(figure.change) and needed > room
        self.change.setVisible(bool(figure.change) and not tight)
        self.apart.setVisible(tight)
        original = self.tr("of {0}").format(figure.before) if tight else original
        self.below.setText(original if tight else ", ".join(t for t in (figure.state, original) if t) or " ")
        self.before.setVisible(not narrow and bool(figure.before))
        self.error.setVisible(bool(figure.error) and (not narrow or not (figure.change or figure.step)))
        self.below.setVisible(narrow)


class LedgerPanel(QWidget):
    """Five cells: parameters, MACs, file, latency, metric. Below them the verdicts on the goal and by the baselines.

    Attributes:
        cells: By name: parameters, macs, file, latency, metric.
        row: Their layout.
        goal: The verdict on the goal; it keeps its line where there is none yet.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's figures."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.cells = {name: Cell() for name in ("parameters", "macs", "file", "latency", "metric")}
        self.goal, self.verdict = ElidedLabel(role="strong", tells=False), label(role="strong", wrap=True)
        self.row = row_of(*((cell, 1) for cell in self.cells.values()), gap=10)
        column_of(self.row, self.goal, self.verdict, on=self, margins=(0, 0, 0, 0), gap=4)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.cells["latency"].stepped.connect(self.workbench.states.measure)
        self.cells["metric"].stepped.connect(self._measure_metric)
        self.document.dispatcher.watch(SHOWN, self.refresh)
        theme().changed.connect(self._fit_cells)
        self.refresh()

    def event(self, event: QEvent) -> bool:
        """What its cells need, with text of another size say, is what it needs."""
        if event.type() is QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cells that got a further line while they were laid out need another height."""
        super().resizeEvent(event)
        self.row.invalidate()

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other heights."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "row"):
            self._fit_cells()

    @Slot()
    def _fit_cells(self) -> None:
        """Fit all cells to the size of the text; not every cell gets another width by it."""
        for cell in self.cells.values():
            cell.number.setMinimumHeight(px(24))
            cell.fit()
            cell.body.invalidate()
        self.row.invalidate()
        self.updateGeometry()

    @Slot()
    def _measure_metric(self) -> None:
        """Evaluate; without data these are asked for first."""
        if self.document.task is None:
            attach_data(self.document)
        else:
            self.workbench.states.evaluate()

    def refresh(self, _aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show all figures again."""
        for name, figure in ledger_figures(self.document).items():
            self.cells[name].show_figure(figure)
        # What became of the goal; before anything did, what is asked for.
        verdict, goal = self.document.goal_verdict, self.document.goal
        shape = goal.shape if goal.shaped else ()
        words = goal_words(verdict)
        if not words:
            points = self.document.loses_points
            words = goal_description(goal.keep, goal.cost, goal.lose, points, shape, goal.quality)
        self.goal.setText(words)
        self.goal.setToolTip("\n".join(filter(None, (words, goal_tip(verdict)))))
        set_role(self.goal, goal_role(verdict))
        # Baselines are compared with states: a plan has no metric.
        said = None if self.document.marked.any() else baseline_verdict(self.document)
        self.verdict.setText(verdict_text(said))
        self.verdict.setVisible(said is not None)
        if said is not None:
            set_role(self.verdict, role_of(said))
