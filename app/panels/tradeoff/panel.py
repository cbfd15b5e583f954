"""The trade-off: metric against cost, with original, states and plan as points; a click opens a state."""

from PySide6.QtCore import QSignalBlocker, Slot
from PySide6.QtGui import QResizeEvent, QStandardItemModel
from PySide6.QtWidgets import QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.tasks.protocol import Split

from ...dialogs.save_plot import asks_to_save
from ...document.baseline_queries import family_known, missing_kinds, shown_baselines
from ...document.document import Aspect
from ...document.preconditions import can_add_baselines
from ...jobs.workbench import Workbench
from ...text.format import about
from ...text.metrics import metric_of
from ...text.verdicts import goal_asked, goal_role, goal_tip, goal_words
from ...theme import px
from ...widgets.empty_state import EmptyState
from ...widgets.fields import ComboBox
from ...widgets.labels import label, set_role
from ...widgets.plot_export import Drawing, Table, offer
from ..baseline_card import BaselineCard
from ..missing_data import ask_for_data
from ..plot_tables import trade_off_table
from .legend import Legend
from .plot import TradeOffPlot
from .points import TRIAL, Cost, axis_title, first_cost, splits_of, trade_off
from .points import TradeOff as Points

ROOMY, LOW, TIGHT = 300, 200, 190
"""Height from which the legend is shown, its own at most, and height from which a verdict of one line is shown,
which the ledger has too; in device-independent pixels."""
SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.GOAL, Aspect.MARKS, Aspect.STATES})


class TradeOffPanel(QWidget):
    """Metric against cost.

    Attributes:
        plot: The plot.
        cost: What x is: chosen with each model, then by hand alone.
        split: That the metrics are of.
        verdict: What became of the goal.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's states."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.plot = TradeOffPlot(self.tr("Metric against cost, states as points"))
        self.cost = ComboBox(self.tr("Cost on the horizontal axis"))
        self.cost.addItem(self.tr("Latency"), str(Cost.LATENCY))
        self.cost.addItem(self.tr("MACs"), str(Cost.MACS))
        self.cost.addItem(self.tr("Parameters"), str(Cost.PARAMETERS))
        self.split = ComboBox(self.tr("Split that the metrics were measured on"))
        self.split.addItem(self.tr("test split"), str(Split.TEST))
        self.split.addItem(self.tr("val split"), str(Split.VAL))
        self.split.addItem(self.tr("train split"), str(Split.TRAIN))
        self._note, self.verdict = label(role="caption", wrap=True), label(role="strong", wrap=True)
        self._said = ""
        self._chosen_for: tuple[object, Split | None] = (None, None)
        self.legend, self.card = Legend(), BaselineCard()
        self.legend.setMaximumHeight(px(LOW))
        self._empty = EmptyState("", "")
        self._shown: Points | None = None
        title = self.tr("Trade-off")
        self._drawing = Drawing("trade-off", title, "tradeoff", self._some, lambda: self.plot, self._table)
        self._lay_out()
        offer(self.plot, self._drawing, asks_to_save(self.document))
        self.cost.currentIndexChanged.connect(self.refresh)
        self.split.currentIndexChanged.connect(self.refresh)
        self.plot.opened.connect(self.document.plan.go_to)
        self.plot.asked_about.connect(self.show_baseline)
        self.legend.asked_about.connect(self.show_baseline)
        self.legend.wanted.connect(self._make)
        self._empty.stepped.connect(self.workbench.states.evaluate)
        self.document.dispatcher.watch(SHOWN | {Aspect.JOBS}, self._changed)
        self.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where it is low, the plot gets the room of legend and verdict; the Run menu and the ledger have them too."""
        super().resizeEvent(event)
        self.legend.give_room(self._roomy)
        self._show_verdict()
        self._show_note()

    @property
    def _room(self) -> int:
        """Height of what there is to be seen of it; it is higher itself where it scrolls."""
        room = self.parentWidget() or self
        return min(self.height(), room.height())

    @property
    def _roomy(self) -> bool:
        return self._room >= px(ROOMY)

    def drawings(self) -> tuple[Drawing, ...]:
        """The plot, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return self._stack.currentIndex() == 1

    def _table(self) -> Table:
        assert self._shown is not None
        return trade_off_table(self._shown)

    def _lay_out(self) -> None:
        shown = QWidget()
        inner = self._inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 6, 6, 2)
        row = QHBoxLayout()
        row.addWidget(self._note, 1)
        row.addWidget(self.split)
        row.addWidget(self.cost)
        inner.addWidget(self.verdict)
        inner.addLayout(row)
        inner.addWidget(self.plot, 1)
        inner.addWidget(self.card)
        inner.addWidget(self.legend)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(shown)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if aspects & SHOWN or not self._some():
            self.refresh()
        else:  # a job came or went: what is offered
            self._show_baselines()

    @Slot()
    def refresh(self) -> None:
        """Show all points again."""
        document = self.document
        self._choose()
        shown = self._shown = trade_off(document, Cost(self.cost.currentData()), Split(self.split.currentData()))
        plottable = shown is not None and len(shown.points) > 0
        self._stack.setCurrentIndex(int(plottable))
        if shown is None or not plottable:
            self._say_empty(shown is not None)
            return
        words = self.tr("{0} ({1}), %") if shown.percent else self.tr("{0} ({1})")
        self.plot.label_axis("left", words.format(shown.metric, shown.split.value))
        self.plot.label_axis("bottom", axis_title(shown, document))
        self.plot.show_trade_off(shown)
        found, goal = document.goal_verdict, document.goal
        shape = goal.shape if goal.shaped else ()
        asked = goal_asked(goal.keep, goal.cost, goal.lose, document.loses_points, shape)
        words = goal_words(found) or asked
        self.verdict.setText(words)
        self.verdict.setToolTip("\n".join(filter(None, (words, goal_tip(found)))))
        set_role(self.verdict, goal_role(found))
        self._show_verdict()
        tried = any(point.mark == TRIAL for point in shown.points)
        self._said = shown.missing or self._legend(shown, tried)
        self._show_note()
        self._show_baselines()

    def _show_verdict(self) -> None:
        """Show it whole, in as many lines as it takes, where the plot has room below it; the ledger has it too."""
        margins, least = self._inner.contentsMargins(), self.verdict.minimumSizeHint().height()
        lines = max(least, self.verdict.heightForWidth(self.width() - margins.left() - margins.right()))
        self.verdict.setVisible(self._room >= px(TIGHT) + lines - self.verdict.fontMetrics().height())

    def _show_note(self) -> None:
        """Where it is low, only what is missing is worth a line."""
        missing = self._shown is not None and bool(self._shown.missing)
        self._note.setText(self._said if missing or self._roomy else " ")

    def _choose(self) -> None:
        """Choose cost and split for a model that was opened; offer the splits that the original has metrics of."""
        document, known = self.document, splits_of(self.document)
        model, judged_on = self._chosen_for
        if model is not document.analysis:
            with QSignalBlocker(self.cost):
                self.cost.setCurrentIndex(self.cost.findData(str(first_cost(document))))
        if model is not document.analysis or judged_on is not document.evaluation_split:
            with QSignalBlocker(self.split):
                self.split.setCurrentIndex(self.split.findData(str(document.evaluation_split)))
        self._chosen_for = (document.analysis, document.evaluation_split)
        offered = self.split.model()
        assert isinstance(offered, QStandardItemModel)
        for number in range(self.split.count()):
            offered.item(number).setEnabled(Split(self.split.itemData(number)) in known)
        self.split.setEnabled(len(known) > 1)

    @Slot(str)
    def show_baseline(self, name: str) -> None:
        """Say what a baseline is."""
        self.card.show_baseline(self.document.contents.baselines.get(name), self.document)

    def _show_baselines(self) -> None:
        """The marks and what may be made; the card where its baseline is still there."""
        self.legend.show_entries(shown_baselines(self.document), self._offered(), self._cost)
        self.show_baseline(self.card.baseline)

    def _offered(self) -> tuple[BaselineKind, ...]:
        """Kinds that a click makes: those that the current state has none of, while nothing makes them already."""
        if self.document.task is None or self.document.marked.any() or can_add_baselines(self.document):
            return ()
        return missing_kinds(self.document)

    def _cost(self, kind: BaselineKind) -> str:
        seconds = self.workbench.baselines.seconds(kind)
        return self.tr("About {0}.").format(about(seconds)) if seconds else ""

    @Slot(str)
    def _make(self, kind: str) -> None:
        """Make one baseline; a stock model that nobody can find by itself is asked for."""
        asked = BaselineKind(kind)
        if asked is BaselineKind.STOCK and not family_known(self.document):
            from ...dialogs.baselines import ask

            self.document.requested.emit(lambda window: ask(window, asked))
        else:
            self.workbench.baselines.start((BaselineSpec(asked),))

    def _legend(self, shown: Points, tried: bool) -> str:
        up, down = self.tr("Up and to the left is better."), self.tr("Down and to the left is better.")
        words = self.tr("Click a point to go to its state.")
        if tried:
            words = self.tr("Hollow: trials of the search.")
        elif len(shown.front) > 2:
            words = self.tr("Bold: the best. Click a point to go to its state.")
        return f"{up if shown.higher else down} {words}"

    def _say_empty(self, judged: bool) -> None:
        title = self.tr("Metric against cost")
        if self.document.analysis is None:
            self._empty.say(title, self.tr("Open a model to see the metric and the cost of its states."))
        elif self.document.task is None:
            words = self.tr("Attach data to see what pruning costs in accuracy.")
            ask_for_data(self._empty, self.document, title, words)
        elif judged or metric_of(self.document.original) is not None:
            self._empty.say(
                title, self.tr("No latency measured on this target yet. Measure it, or choose another cost.")
            )
        elif words := self.document.evaluation_words():
            self._empty.say(title, self.tr("{0} All results are compared with it.").format(words))
        else:
            words = self.tr("Evaluate the original first: all results are compared with it.")
            self._empty.say(title, words, self.tr("Evaluate the original"))
