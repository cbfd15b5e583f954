"""The Sensitivity tab: what each layer can lose. A click on a point of a curve plans that share of its layer."""

import math
from collections import Counter

import numpy as np
from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.structures.analysis import Analysis
from secateur.engine.tasks.protocol import Metric

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect, Selection
from ...document.job_state import JobView
from ...document.sensitivity_curves import Curve, Curves
from ...jobs.workbench import Workbench
from ...text.format import about, duration, percent
from ...text.metrics import difference_text, error_text, value_text
from ...text.structures import counted, title_of
from ...text.translate import engine_words
from ...theme import px, theme
from ...widgets.buttons import button
from ...widgets.empty_state import EmptyState
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table, offer
from ..missing_data import ask_for_data
from ..plot_tables import sensitivity_table
from .plot import SensitivityPlot, Shown

SHOWN = frozenset(
    {Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.SCORES, Aspect.SENSITIVITY, Aspect.MARKS, Aspect.GOAL}
)


class SensitivityPanel(QWidget):
    """Curves of all layers.

    Attributes:
        plot: The curves.
        start: Measures, or goes on with it.
        cancel: Stops it.
        note: What the curves show, and how far a running analysis is.
        readout: The point under the mouse in words.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's sensitivity."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self._curves: tuple[Curve, ...] = ()
        self.plot = SensitivityPlot(
            self.tr("Metric against removed share; up and down choose a layer, left and right a point, Return plans it")
        )
        self.plot.label_axis("bottom", self.tr("removed from a layer, %"))
        self.note = label(role="caption", wrap=True)
        self.readout = label(role="caption", wrap=True)
        self._keep_room()
        self.readout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.start = button(self.tr("Resume"))
        self.cancel = button(self.tr("Cancel"))
        self._empty = EmptyState("", "")
        self._drawing = Drawing(
            "sensitivity", self.tr("Sensitivity"), "sensitivity", self._some, lambda: self.plot, self._table
        )
        self._lay_out()
        offer(self.plot, self._drawing, asks_to_save(self.document))
        self._empty.stepped.connect(self.workbench.sensitivity.start)
        self.start.clicked.connect(self.workbench.sensitivity.start)
        self.cancel.clicked.connect(self._cancel)
        theme().changed.connect(self._keep_room)
        self.plot.pointed.connect(self._say_point)
        self.plot.chosen.connect(self._plan)
        self.plot.picked.connect(self._pick)
        self.document.dispatcher.watch(SHOWN | {Aspect.SELECTION, Aspect.JOBS}, self._changed)
        self.refresh()

    @Slot()
    def _keep_room(self) -> None:
        """Of two lines always, so that the plot keeps its size."""
        self.readout.setMinimumHeight(px(30))

    def _lay_out(self) -> None:
        shown = QWidget()
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 8, 6, 4)
        inner.setSpacing(4)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.note, 1)
        row.addWidget(self.start)
        row.addWidget(self.cancel)
        inner.addLayout(row)
        inner.addWidget(self.plot, 1)
        inner.addWidget(self.readout)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(shown)

    def drawings(self) -> tuple[Drawing, ...]:
        """The curves, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return bool(self._curves)

    def _table(self) -> Table:
        analysis = self.document.analysis
        assert analysis is not None
        return sensitivity_table(analysis, self.document.curves, self.document.removed)

    # What is shown.

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if aspects & SHOWN:
            self.refresh()
        else:
            self._show_selected() if Aspect.SELECTION in aspects else None
            self._tell()

    def refresh(self) -> None:
        """Show the curves again."""
        document = self.document
        analysis, known = document.analysis, document.curves
        self._curves = () if analysis is None or known is None else known.all(analysis, document.removed)
        self._names = () if analysis is None else _names(analysis, self._curves)
        self._stack.setCurrentIndex(int(bool(self._curves)))
        if not self._curves:
            self._say_empty()
        self._show_selected()
        self._tell()

    def _show_selected(self) -> None:
        analysis, known = self.document.analysis, self.document.curves
        if not self._curves or analysis is None or known is None or known.metric is None:
            return
        numbers = [one.set_number for one in self._curves]
        chosen = self.document.selection.set_number
        metric = known.metric
        self.plot.label_axis("left", f"{metric.name}, %" if metric.percent else metric.name)
        self.plot.show_curves(self._shown(analysis, metric), numbers.index(chosen) if chosen in numbers else -1)
        self._say_point(self.plot.current)

    def _shown(self, analysis: Analysis, metric: Metric) -> Shown:
        document, scale = self.document, 100.0 if metric.percent else 1.0
        chosen = document.selection.set_number
        planned = int(np.count_nonzero(document.marked[analysis.sets[chosen].structures])) if chosen >= 0 else 0
        first = self._original(metric)
        goal = math.nan if first is None else scale * document.goal.accepted(first)
        return Shown(
            self._curves,
            self._names,
            scale,
            scale * metric.value,
            goal,
            planned,
            metric.higher_is_better,
        )

    def _original(self, metric: Metric) -> Metric | None:
        """The original by the metric and on the split of the curves: what may be lost counts from there."""
        original, curves = self.document.original, self.document.contents.curves
        if original is None:
            return None
        known = (*(one.metric for (state, _), one in curves.items() if state == original.id), *original.metrics)
        return next((one for one in known if one is not None and one.like(metric)), None)

    def _say_empty(self) -> None:
        title = self.tr("What each layer can lose")
        document = self.document
        if document.analysis is None:
            self._empty.say(title, self.tr("Open a model to see how the metric falls as each layer gets narrower."))
        elif document.task is None:
            words = self.tr("Attach data to measure how much each layer can lose.")
            ask_for_data(self._empty, document, title, words)
        else:
            words = self.tr(
                "Cuts 10 to 90 % of each layer on trial and evaluates it without recovery. Click a point of a curve "
                "to plan that share of its layer."
            )
            step = "" if self._job() is not None else self.tr("Measure sensitivity")
            running = self.tr("Evaluating the first cuts.") if self._job() is not None else self._cost()
            self._empty.say(title, f"{words}\n{running}", step)

    def _cost(self) -> str:
        """What measuring costs, in words."""
        cost = self.workbench.estimator.sensitivity()
        words = self.tr("{0} cuts, each evaluated on the {1} samples of the val split").format(
            f"{cost.trials:,}", f"{cost.samples:,}"
        )
        if not cost.samples:
            words = self.tr("{0} cuts, each evaluated on the val split").format(f"{cost.trials:,}")
        if cost.seconds == cost.seconds:
            words = self.tr("{0}: about {1}").format(words, about(cost.seconds))
        return self.tr("{0}. Results are kept if you stop.").format(words)

    # Words.

    def _job(self) -> JobView | None:
        """That measures what is shown; another state's is not meant."""
        return self.document.job_about(("sensitivity", self.document.contents.present, self.document.rating))

    def _tell(self) -> None:
        """How far it is, and what can be done."""
        job, known = self._job(), self.document.curves
        self.cancel.setVisible(job is not None)
        self.cancel.setEnabled(job is not None and not job.cancelling)
        self.start.setVisible(job is None and known is not None and not known.finished)
        if not self._curves:
            self._say_empty()
        elif known is not None and known.metric is not None:
            self.note.setText(self._progress(known, job) if not known.finished else self._legend(known.metric))

    def _progress(self, known: Curves, job: JobView | None) -> str:
        words = self.tr("{0} of {1} cuts evaluated").format(f"{known.tried:,}", f"{known.wanted:,}")
        if job is None:
            return self.tr("Stopped: {0}. Results are kept.").format(words)
        if job.left >= 0:
            words = self.tr("{0}, {1} left").format(words, duration(job.left))
        return words

    def _legend(self, metric: Metric) -> str:
        words = self.tr(
            "Each line is a layer, cut by {0} and not recovered; n = {1} of the {2} split. Click a point to plan it."
        )
        if not metric.count:
            words = self.tr(
                "Each line is a layer, cut by {0} and not recovered, evaluated on the {2} split. Click a point to "
                "plan it."
            )
        title = engine_words(CRITERIA[self.document.criterion].title)
        return words.format(title, f"{metric.count:,}", metric.split)

    @Slot(object)
    def _say_point(self, place: tuple[int, int] | None) -> None:
        known, analysis = self.document.curves, self.document.analysis
        if place is None or known is None or known.metric is None or analysis is None:
            self.readout.setText(
                self.tr("Dashed: the current metric and the goal. Bold: the selected layer. Triangle: the plan.")
            )
            return
        curve = self._curves[place[0]]
        self.readout.setText(_point_words(self, analysis, curve, place[1], known.metric))

    # Gestures.

    @Slot(int, int)
    def _plan(self, number: int, point: int) -> None:
        curve = self._curves[number]
        self._pick(number)
        self.document.plan.keep(curve.set_number, curve.total - int(curve.removed[point]))

    @Slot(int)
    def _pick(self, number: int) -> None:
        analysis, chosen = self.document.analysis, self._curves[number].set_number
        if analysis is not None and self.document.selection.set_number != chosen:
            self.document.select(Selection(analysis.sets[chosen].module, chosen))

    @Slot()
    def _cancel(self) -> None:
        if (job := self._job()) is not None:
            self.workbench.runner.request_cancel(job.id)


def _names(analysis: Analysis, curves: tuple[Curve, ...]) -> tuple[str, ...]:
    """The layer of each curve, and what of it where several of its sets have one."""
    sets = [analysis.sets[curve.set_number] for curve in curves]
    counts = Counter(one.module for one in sets)
    return tuple(
        f"{one.module}, {title_of(one.kind)}" if counts[one.module] > 1 else one.module or one.name for one in sets
    )


def _point_words(panel: QWidget, analysis: Analysis, curve: Curve, point: int, metric: Metric) -> str:
    one, count = analysis.sets[curve.set_number], int(curve.removed[point])
    here = Metric(metric.name, float(curve.values[point]), metric.count, float(curve.errors[point]), metric.split,
                  metric.percent, metric.higher_is_better)  # fmt: skip
    change = here.value - metric.value
    lost = difference_text(change, metric.percent, short=False)
    words = panel.tr("{0}: {1} of {2} removed ({3}), {4} {5}, {6}")
    value = f"{value_text(here)} {error_text(here)}".strip()
    share = percent(curve.shares[point], 0)
    return words.format(
        one.module or one.name, f"{count:,}", counted(one.kind, curve.total), share, here.name, value, lost
    )
