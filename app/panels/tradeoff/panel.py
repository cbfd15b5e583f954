"""The trade-off: metric against cost, with original, states and plan as points; a click opens a state."""

from collections.abc import Callable, Sequence

import pyqtgraph as pg
from pyqtgraph.graphicsItems.ScatterPlotItem import drawSymbol
from PySide6.QtCore import QPointF, QSignalBlocker, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap, QResizeEvent, QStandardItemModel
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from secateur.engine.baselines.protocol import Baseline, BaselineKind, BaselineSpec
from secateur.engine.tasks.protocol import Split

from ...dialogs.save_plot import asks_to_save
from ...document.aspects import Aspect
from ...document.baseline_queries import family_known, missing_kinds, shown_baselines
from ...document.document import Document
from ...document.preconditions import can_add_baselines
from ...jobs.workbench import Workbench
from ...text.baselines import facts_of, name_of, needs_of, question_of, title_of
from ...text.format import about
from ...text.metrics import metric_of
from ...text.translate import sentences
from ...theme import px, tokens
from ...widgets.buttons import button
from ...widgets.card import Card, EmptyState
from ...widgets.fields import ComboBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, offer
from ..panel_layout import column_of, row_of, stack_of
from ..panel_parts import ask_for_data
from ..plot_tables import trade_off_table
from .plot import MARKS, TradeOffPlot
from .points import TRIAL, Cost, axis_title, first_cost, splits_of, trade_off
from .points import TradeOff as Points


class BaselineCard(Card):
    """A card beside the plot.

    Attributes:
        baseline: Id of the one that is shown, "" for none.
        open: Makes a state of it.

    Signals:
        opened: str, the id of the baseline that is to become a state.
    """

    opened = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start hidden."""
        super().__init__(parent, margin=8)
        self.baseline = ""
        self.title = label(role="strong")
        self.facts = label(wrap=True)
        self.notes = label(role="caption", wrap=True)
        self.open = button(self.tr("Open as state"), "link", self.tr("Make a state of the baseline, to export it say"))
        self.shut = button(self.tr("Close"), "link", self.tr("Close the baseline"))
        row = QHBoxLayout()
        row.addWidget(self.title)
        row.addStretch(1)
        row.addWidget(self.open)
        row.addWidget(self.shut)
        self.body.setSpacing(3)
        self.body.addLayout(row)
        self.body.addWidget(self.facts)
        self.body.addWidget(self.notes)
        self.open.clicked.connect(lambda: self.opened.emit(self.baseline))
        self.shut.clicked.connect(lambda: self.show_baseline(None, None))
        self.hide()

    def show_baseline(self, one: Baseline | None, document: Document | None) -> None:
        """Show a baseline, or nothing."""
        self.baseline = "" if one is None else one.id
        self.setVisible(one is not None)
        if one is None or document is None:
            return
        self.title.setText(self.tr("Baseline of {1}: {0}").format(name_of(one), one.against))
        self.facts.setText(", ".join(facts_of(one, document.original, document.target)))
        # A stock model is another model.
        self.open.setVisible(one.source is None)
        self.notes.setText(sentences([question_of(one.asked.kind), *one.notes]))
        self.setAccessibleName(f"{self.title.text()}: {self.facts.text()}")


SIGN = 14
"""Width and height of a mark, in device-independent pixels."""


class Legend(QWidget):
    """Baselines that are there, and those that are offered.

    Attributes:
        entries: A button for each.

    Signals:
        asked_about: str, the id of a baseline that is there.
        wanted: str, a kind of baseline to make.
    """

    asked_about = Signal(str)
    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._row = FlowLayout(self, gap=2)
        self._shown: object = None
        self._roomy = True
        self.entries: list[QPushButton] = []
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def show_entries(
        self, made: Sequence[Baseline], offered: Sequence[BaselineKind], cost: Callable[[BaselineKind], str]
    ) -> None:
        """Show what is there and what is offered; `cost` says what making one costs, in words."""
        content = ([(one.id, name_of(one)) for one in made], [(kind, cost(kind)) for kind in offered], tokens())
        if content == self._shown:
            return
        self._shown = content
        for entry in self.entries:
            self._row.removeWidget(entry)
            entry.hide()
            entry.deleteLater()
        self.entries = []
        for one in made:
            self._add(name_of(one), str(one.asked.kind), question_of(one.asked.kind), self.asked_about.emit, one.id)
        for kind in offered:
            tip = " ".join(filter(None, (question_of(kind), needs_of(kind), cost(kind))))
            self._add(self.tr("+ {0}").format(title_of(kind)), "", tip, self.wanted.emit, str(kind))
        self.setVisible(self._roomy and bool(self.entries))
        self.updateGeometry()

    def give_room(self, on: bool) -> None:
        """Show it, unless there is nothing in it or no room for it."""
        self._roomy = on
        self.setVisible(on and bool(self.entries))

    def _add(self, text: str, mark: str, tip: str, emit: Callable[[str], None], what: str) -> None:
        entry = button(text, "mark" if mark else "offer", tip)
        if mark:
            entry.setIcon(QIcon(sign(MARKS[mark], tokens().muted)))
            entry.setIconSize(QSize(SIGN, SIGN))
        entry.clicked.connect(lambda: emit(what))
        self._row.addWidget(entry)
        self.entries.append(entry)


def sign(symbol: str, colour: str) -> QPixmap:
    """A mark of the plot as a picture."""
    scale = 2
    made = QPixmap(SIGN * scale, SIGN * scale)
    made.setDevicePixelRatio(scale)
    made.fill(Qt.GlobalColor.transparent)
    painter = QPainter(made)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(QPointF(SIGN / 2, SIGN / 2))
    drawSymbol(painter, symbol, SIGN - 4, pg.mkPen(QColor(colour)), pg.mkBrush(QColor(colour)))
    painter.end()
    return made


ROOMY, LOW = 300, 200
"""Height from which the legend is shown, and its own at most, in device-independent pixels."""
SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.GOAL, Aspect.MARKS, Aspect.STATES})


class TradeOffPanel(QWidget):
    """Metric against cost.

    Attributes:
        plot: The plot.
        cost: What x is: chosen with each model, then by hand alone.
        split: That the metrics are of.
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
        self._note = label(role="caption", wrap=True)
        self._said = ""
        self._chosen_for: tuple[object, Split | None] = (None, None)
        self.legend, self.card = Legend(), BaselineCard()
        self.legend.setMaximumHeight(px(LOW))
        self._empty = EmptyState("", "")
        self._shown: Points | None = None
        self._drawing = Drawing(
            "trade-off",
            self.tr("Trade-off"),
            "tradeoff",
            shown=self._is_plotted,
            widget=lambda: self.plot,
            table=lambda: trade_off_table(self._shown),
        )
        shown = QWidget()
        top = row_of((self._note, 1), self.split, self.cost)
        column_of(top, (self.plot, 1), self.card, self.legend, on=shown, margins=(6, 6, 6, 2))
        self._stack = stack_of(self, self._empty, shown)
        offer(self.plot, self._drawing, asks_to_save(self.document))
        self.cost.currentIndexChanged.connect(self.refresh)
        self.split.currentIndexChanged.connect(self.refresh)
        self.plot.opened.connect(self.document.plan.go_to)
        self.plot.asked_about.connect(self.show_baseline)
        self.legend.asked_about.connect(self.show_baseline)
        self.legend.wanted.connect(self._make_baseline)
        self.card.opened.connect(self.workbench.states.open_baseline)
        self._empty.stepped.connect(self.workbench.states.evaluate)
        self.document.dispatcher.watch(SHOWN | {Aspect.JOBS}, self._show_changes)
        self.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where it is low, the plot gets the room of the legend; the Run menu has what it offers."""
        super().resizeEvent(event)
        self.legend.give_room(self._roomy)
        self._show_note()

    @property
    def _roomy(self) -> bool:
        # What there is to be seen of it: it is higher itself where it scrolls.
        room = self.parentWidget() or self
        return min(self.height(), room.height()) >= px(ROOMY)

    def drawings(self) -> tuple[Drawing, ...]:
        """The plot, to be taken along."""
        return (self._drawing,)

    def _is_plotted(self) -> bool:
        return self._stack.currentIndex() == 1

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if aspects & SHOWN or not self._is_plotted():
            self.refresh()
        else:
            # A job came or went, and with it what is offered.
            self._show_baselines()

    @Slot()
    def refresh(self) -> None:
        """Show all points again."""
        # Cost and split are chosen for a model that was opened; later a change of the split that counts changes them.
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
        shown = self._shown = trade_off(document, Cost(self.cost.currentData()), Split(self.split.currentData()))
        plottable = shown is not None and len(shown.points) > 0
        self._stack.setCurrentIndex(int(plottable))
        if shown is None or not plottable:
            self._say_what_is_missing(shown is not None or metric_of(document.original) is not None)
            return
        words = self.tr("{0} ({1}), %") if shown.percent else self.tr("{0} ({1})")
        self.plot.label_axis("left", words.format(shown.metric, shown.split.value))
        self.plot.label_axis("bottom", axis_title(shown, document))
        self.plot.show_trade_off(shown)
        up, down = self.tr("Up and to the left is better."), self.tr("Down and to the left is better.")
        words = self.tr("Click a point to go to its state.")
        if any(point.mark == TRIAL for point in shown.points):
            words = self.tr("Hollow: trials of the search.")
        elif len(shown.front) > 2:
            words = self.tr("Bold: the best. Click a point to go to its state.")
        self._said = shown.missing or f"{up if shown.higher else down} {words}"
        self._show_note()
        self._show_baselines()

    def _say_what_is_missing(self, evaluated: bool) -> None:
        document, title = self.document, self.tr("Metric against cost")
        if document.analysis is None:
            self._empty.say(title, self.tr("Open a model to see the metric and the cost of its states."))
        elif document.task is None:
            ask_for_data(self._empty, document, title, self.tr("Attach data to see what pruning costs in accuracy."))
        elif evaluated:
            words = self.tr("No latency measured on this target yet. Measure it, or choose another cost.")
            self._empty.say(title, words)
        elif words := document.evaluation_words():
            self._empty.say(title, self.tr("{0} All results are compared with it.").format(words))
        else:
            words = self.tr("Evaluate the original first: all results are compared with it.")
            self._empty.say(title, words, self.tr("Evaluate the original"))

    def _show_note(self) -> None:
        """Where it is low, only what is missing is worth a line."""
        missing = self._shown is not None and bool(self._shown.missing)
        self._note.setText(self._said if missing or self._roomy else " ")

    @Slot(str)
    def show_baseline(self, name: str) -> None:
        """Say what a baseline is."""
        self.card.show_baseline(self.document.contents.baselines.get(name), self.document)

    def _show_baselines(self) -> None:
        """The marks and what may be made; the card where its baseline is still there."""
        # A click makes a kind that the current state has none of, while nothing makes it already.
        document, offered = self.document, ()
        if document.task is not None and not document.marked.any() and not can_add_baselines(document):
            offered = missing_kinds(document)
        self.legend.show_entries(shown_baselines(document), offered, self._cost)
        self.show_baseline(self.card.baseline)

    def _cost(self, kind: BaselineKind) -> str:
        seconds = self.workbench.baselines.seconds(kind)
        return self.tr("About {0}.").format(about(seconds)) if seconds else ""

    @Slot(str)
    def _make_baseline(self, kind: str) -> None:
        """Make one baseline; a stock model that cannot be found by itself is asked for."""
        asked = BaselineKind(kind)
        if asked is BaselineKind.STOCK and not family_known(self.document):
            from ...dialogs.baselines import ask

            self.document.requested.emit(lambda window: ask(window, asked))
        else:
            self.workbench.baselines.start((BaselineSpec(asked),))
