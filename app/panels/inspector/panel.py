"""The inspector panel: lays out what is known of the selection, and sends gestures to the document."""

from dataclasses import replace

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from secateur.engine.planning.isomorphic_classes import step as planned_step
from secateur.engine.session.filter_images import first_convolution
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind
from secateur.engine.structures.outputs import outputs_in_words

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect, Selection
from ...jobs.workbench import Workbench
from ...text.structures import many_of, structure_name
from ...text.translate import sentence
from ...widgets.buttons import button
from ...widgets.card import Card
from ...widgets.empty_state import EmptyState
from ...widgets.fields import SpinBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import ElidedLabel, label
from ...widgets.plot_export import Drawing, Table, offer
from ...widgets.score_map import ScoreMap, ScoreScale
from ..plot_tables import set_table
from .coupling_graph import Flows, set_shown
from .coupling_graph_view import FlowView
from .histogram import Histogram, Spread
from .selection_text import costs_note, costs_text, goes_title, steps_of, subject_of
from .slice_list import SliceList
from .slice_patterns import lines

WHOLE = frozenset({Kind.HEAD, Kind.KV_GROUP, Kind.EXPERT, Kind.GROUP})
"""Kinds whose numbers no runtime has likings for."""
SHOWN = frozenset(
    {
        Aspect.MODEL,
        Aspect.SELECTION,
        Aspect.MARKS,
        Aspect.SCORES,
        Aspect.GATES,
        Aspect.STATES,
        Aspect.TARGET,
        Aspect.SENSITIVITY,
    }
)


class InspectorPanel(Card):
    """What is selected.

    Attributes:
        histogram: Scores of the set with the threshold.
        map: The set's structures as cells; the first convolution's as images.
        flow: What goes along, as a graph.
        slices: The same, slice by slice.
        keep: How many to keep.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's selection."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self._flows: tuple[Analysis, Flows] | None = None
        self._make()
        self._lay_out()
        self._connect()
        self.setMinimumWidth(232)
        self.refresh()

    def _make(self) -> None:
        self.title = ElidedLabel(role="heading")
        self.words = label(role="caption", wrap=True)
        self.facts = label(role="caption", wrap=True)
        self.coupled = label(role="caption", wrap=True)
        self.keep = SpinBox(self.tr("Number to keep"), 1, 1)
        self._keep_name = label(self.tr("Keep"), "muted")
        self._multiple = label(role="caption")
        self.histogram = Histogram()
        self._map_title = label(role="caption", wrap=True)
        self.map = ScoreMap()
        self._goes = label(role="heading", wrap=True)
        self.flow = FlowView()
        self.slices = SliceList()
        self.costs = label(role="good", wrap=True)
        self._note = label(role="caption", wrap=True)
        self._why_title = label(role="heading", wrap=True)
        self.why = label(role="caption", wrap=True)
        self.lock = button(self.tr("Lock"))
        self.mark = button(self.tr("Mark"))
        self.below = button(self.tr("Mark all below"))
        self._empty = EmptyState("", "")

    def drawings(self) -> tuple[Drawing, ...]:
        """The histogram, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return self.histogram.isVisibleTo(self)

    def _table(self) -> Table:
        return set_table(self.document, self.document.selection.set_number)

    def _lay_out(self) -> None:
        page, shown = QWidget(), QWidget()
        page.setProperty("role", "page")
        inner = QVBoxLayout(page)
        inner.setContentsMargins(0, 0, 6, 0)
        inner.setSpacing(6)
        for each in (self.title, self.words, self.facts, self.coupled):
            inner.addWidget(each)
        keep = FlowLayout(gap=8)
        for each in (self._keep_name, self.keep, self._multiple):
            keep.addWidget(each)
        inner.addLayout(keep)
        inner.addWidget(self.histogram, 2)
        inner.addWidget(self._map_title)
        inner.addWidget(self.map)
        for each in (self._goes, self.flow, self.slices, self.costs, self._note, self._why_title, self.why):
            inner.addWidget(each)
        inner.addStretch(1)
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(page)
        outer = QVBoxLayout(shown)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area, 1)
        outer.addWidget(self.below)
        actions = _row(self.mark, self.lock)
        actions.setStretch(0, 1)
        actions.setStretch(1, 0)
        outer.addLayout(actions)
        self._stack = QStackedLayout()
        self.body.addLayout(self._stack)  # first: a stack without a parent shows its first page as a window
        self._stack.addWidget(self._empty)
        self._stack.addWidget(shown)

    def _connect(self) -> None:
        title = self.tr("Histogram of the selected set")
        self._drawing = Drawing("histogram", title, "inspector", self._some, lambda: self.histogram, self._table)
        offer(self.histogram, self._drawing, asks_to_save(self.document))
        self.histogram.previewed.connect(self._preview)
        self.histogram.committed.connect(self._commit)
        self.histogram.cancelled.connect(self.document.plan.cancel_preview)
        self.map.picked.connect(self._pick)
        self.map.banded.connect(self._band)
        self.map.toggled.connect(self._toggle)
        self.flow.picked.connect(self._go)
        self.map.hovered.connect(self._hover)
        self.map.resized.connect(self._name_map)
        self.keep.valueChanged.connect(self._keep)
        self.lock.clicked.connect(self._lock)
        self.mark.clicked.connect(self._mark)
        self.below.clicked.connect(self._below)
        self.document.dispatcher.watch(SHOWN | {Aspect.HOVER}, self._changed)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if aspects & SHOWN:
            self.refresh()
        elif self.document.analysis is not None:
            self._show_structure(self.document.analysis)

    def refresh(self) -> None:
        """Show the selection again."""
        document = self.document
        analysis, plan = document.analysis, document.plan_costs
        nothing = document.selection == Selection()
        self._stack.setCurrentIndex(int(not (nothing or analysis is None or plan is None)))
        if analysis is None or plan is None:
            self._empty.say(self.tr("Inspector"), self.tr("Open a model, then select a layer to inspect it."))
            return
        if nothing:
            words = self.tr("Select a layer to see its scores, what is removed with it, and what blocks removal.")
            outputs = map(sentence, outputs_in_words(analysis.returned))
            self._empty.say(self.tr("Nothing selected"), "\n\n".join((words, *outputs)))
            return
        subject = subject_of(document, analysis, plan)
        self.title.setText(subject.title)
        _say(self.words, subject.words)
        _say(self.facts, subject.facts)
        _say(self.coupled, subject.coupled)
        _say(self._why_title, subject.why_title)
        _say(self.why, subject.why)
        self._show_set(analysis, self._set())
        self._show_structure(analysis)

    def _set(self) -> CoupledSet | None:
        """The coupled set that is selected; None where a group is, or structures of several."""
        chosen, analysis = self.document.selection, self.document.analysis
        alone = analysis is not None and chosen.set_number >= 0 and len(chosen.several) < 2
        return analysis.sets[chosen.set_number] if alone and analysis is not None else None

    def _show_set(self, analysis: Analysis, one: CoupledSet | None) -> None:
        several = one is not None and one.count > 1
        scored = several and self.document.scores is not None and self.document.learned_gates is None
        for each in (self.keep, self._keep_name, self._multiple, self._map_title, self.map):
            each.setVisible(several)
        self.histogram.setVisible(scored)
        self.below.setVisible(scored)
        self.lock.setVisible(one is not None or bool(self.document.selection.several))
        if one is None or not several:
            return
        self._show_keep(analysis, one)
        place, document = one.structures, self.document
        shown = document.shown_scores
        scores = np.full(one.count, np.nan) if shown is None else shown[place]
        scale = ScoreScale.of(shown)
        present = np.isfinite(scores) & ~document.removed[place]
        self.histogram.show_spread(Spread(scores[present], document.marked[place][present], scale))
        self._say_below()
        states = np.select(
            [document.removed[place], document.marked[place], document.locked[place]],
            ["removed", "marked", "locked"],
            "",
        )
        current = document.selection.structure - one.first
        self.map.show_cells(scale.fractions(scores), [str(s) for s in states], current)
        self._show_images(analysis, one)
        self._name_map()

    @Slot()
    def _name_map(self) -> None:
        """Say what the cells show: images only where these are large enough to be seen."""
        if (one := self._set()) is None:
            return
        title = self.tr("{0} in model order. Bright: important. Struck through: marked. Drag to mark several.")
        if self.map.pictured():
            title = self.tr("{0} as images. Frame colour: score. Struck through: marked.")
        _say(self._map_title, title.format(many_of(one.kind).capitalize()))
        self.map.setAccessibleName(self._map_title.text())

    def _show_images(self, analysis: Analysis, one: CoupledSet) -> None:
        """The first convolution's filters as the images that they are, where the set has some."""
        document = self.document
        first = first_convolution(analysis)
        if first < 0 or (first, 0) not in one.touches or document.selection.module != analysis.tensors[first].module:
            self.map.show_images(None)
            return
        found = document.contents.filters.get(document.contents.present)
        if found is None:
            self.map.show_images(None)
            self.workbench.states.read_filters()
            return
        images = np.full((one.count, *found.images.shape[1:]), 128, np.uint8)
        places = np.searchsorted(analysis.index[one.structures], found.index)
        fits = (places < one.count) & (analysis.index[one.structures][np.minimum(places, one.count - 1)] == found.index)
        images[places[fits]] = found.images[fits]
        self.map.show_images(images)

    def _show_keep(self, analysis: Analysis, one: CoupledSet) -> None:
        document, place = self.document, one.structures
        left = int(np.count_nonzero(~document.removed[place]))
        lowest, step = steps_of(analysis, document.selection.set_number)
        with QSignalBlocker(self.keep):
            self.keep.setRange(min(lowest, left), max(1, left))
            self.keep.setSingleStep(step)
            self.keep.setValue(int(np.count_nonzero(~(document.removed | document.marked)[place])))
        self.keep.setEnabled(not (document.locked | document.removed)[place].all())
        self.keep.updateGeometry()
        best = 1 if one.kind in WHOLE else planned_step(analysis, one, max(document.target.multiple, 1))
        words = self.tr("of {0}, best: multiple of {1}") if best > 1 else self.tr("of {0}")
        self._multiple.setText(words.format(left, best))

    def _structures(self) -> tuple[int, ...]:
        """What goes along is told of: what is under the mouse, else what is selected, else the set's first."""
        document, one, chosen = self.document, self._set(), self.document.selection
        if document.hovered >= 0:
            return (document.hovered,)
        if chosen.structure >= 0 or one is None:
            return chosen.several or ((chosen.structure,) if chosen.structure >= 0 else ())
        left = np.flatnonzero(~(document.removed | document.marked)[one.structures])
        return (one.first + int(left[0]) if len(left) else one.first,)

    def _show_structure(self, analysis: Analysis) -> None:
        structures, document = self._structures(), self.document
        for each in (self._goes, self.costs, self._note):
            each.setVisible(bool(structures))
        for each in (self.flow, self.slices):
            each.setVisible(len(structures) == 1)
        chosen = list(self._chosen())
        self.mark.setVisible(bool(chosen))
        if not structures:
            return
        self._goes.setText(goes_title(analysis, structures))
        if len(structures) == 1:
            self._show_slices(analysis, structures[0])
        there = [one for one in structures if not document.removed[one]]
        self.costs.setText(costs_text(analysis, document.removed | document.marked, there or structures))
        self._note.setText(costs_note(bool(document.marked[there].all()), not there))
        if chosen:
            self.mark.setEnabled(bool(self._free(chosen)))
            verb = self.tr("Unmark {0}") if self._all_marked(chosen) else self.tr("Mark {0}")
            several = self.tr("these {0}").format(len(chosen))
            self._name_mark(verb.format(structure_name(analysis, chosen[0]) if len(chosen) == 1 else several))
        locked = document.locked[self._lockable()].all()
        _name(self.lock, self.tr("Unlock") if locked else self.tr("Lock"))
        self.lock.setEnabled(not document.removed[self._lockable()].all())

    def _show_slices(self, analysis: Analysis, structure: int) -> None:
        if self._flows is None or self._flows[0] is not analysis:
            self._flows = (analysis, Flows(analysis))
        self.flow.show_flow(self._flows[1].of(structure))
        self.slices.show_lines(lines(analysis, structure))

    def _chosen(self) -> tuple[int, ...]:
        """The structures that are selected."""
        chosen = self.document.selection
        return chosen.several or ((chosen.structure,) if chosen.structure >= 0 else ())

    def _free(self, structures: list[int]) -> list[int]:
        """Those that can be marked or unmarked."""
        fixed = self.document.removed | self.document.locked
        return [one for one in structures if not fixed[one]]

    def _all_marked(self, structures: list[int]) -> bool:
        return bool(self.document.marked[self._free(structures)].all()) and bool(self.document.marked[structures].any())

    def _name_mark(self, words: str) -> None:
        """All of it where there is room, else the verb alone; the tooltip and a screen reader have all."""
        _name(self.mark, words)
        room = self.width() - self.lock.sizeHint().width() - 3 * self.body.contentsMargins().left()
        if self.mark.sizeHint().width() > room:
            self.mark.setText(words.split(" ")[0])
        self.mark.setToolTip(words)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Decide again what fits on the button."""
        super().resizeEvent(event)
        self._name_mark(self.mark.accessibleName())

    def _lockable(self) -> list[int]:
        """What Lock is about: the selected structures, else the whole set."""
        one, chosen = self._set(), self._chosen()
        if chosen or one is None:
            return list(chosen)
        return list(range(one.first, one.first + one.count))

    def _say_below(self) -> None:
        spread = self.histogram.spread
        below = int(np.count_nonzero(spread.scores < self.histogram.threshold))
        marked = int(np.count_nonzero(spread.marked))
        text = self.tr("Mark all below {0}").format(spread.scale.text(self.histogram.threshold))
        hint = self.tr("All scores are equal") if spread.alike else self.tr("Drag the line to mark")
        _name(self.below, text if below else hint)
        self.below.setEnabled(below not in (0, marked))
        self.below.setToolTip(self.tr("{0} of this set score below the line").format(below))

    @Slot(float)
    def _preview(self, threshold: float) -> None:
        self.document.plan.preview_below([self.document.selection.set_number], threshold)
        self._say_below()

    @Slot(float)
    def _commit(self, threshold: float) -> None:
        self.document.plan.mark_below([self.document.selection.set_number], threshold)

    @Slot()
    def _below(self) -> None:
        self._commit(self.histogram.threshold)

    @Slot(int)
    def _pick(self, cell: int) -> None:
        if (one := self._set()) is not None:
            self.document.select(replace(self.document.selection, structure=one.first + cell, several=()))

    @Slot(list)
    def _band(self, cells: list[int]) -> None:
        """Mark all inside a rubber band; spare them where all are marked."""
        if (one := self._set()) is not None and cells:
            self.document.plan.toggle_marks(one.first + np.array(cells, np.int64))

    @Slot(int)
    def _toggle(self, cell: int) -> None:
        if (one := self._set()) is not None:
            self.document.plan.toggle_marks([one.first + cell])

    @Slot(str)
    def _go(self, module: str) -> None:
        """Show a layer of the graph."""
        analysis = self.document.analysis
        if analysis is not None:
            self.document.select(Selection(module, set_shown(analysis, module)))

    @Slot(int)
    def _hover(self, cell: int) -> None:
        one = self._set()
        self.document.hover(one.first + cell if one is not None and cell >= 0 else -1)

    @Slot(int)
    def _keep(self, count: int) -> None:
        self.document.plan.keep(self.document.selection.set_number, count)

    @Slot()
    def _lock(self) -> None:
        self.document.plan.toggle_locks(self._lockable())

    @Slot()
    def _mark(self) -> None:
        self.document.plan.toggle_marks(self._chosen())


def _row(*widgets: QWidget) -> QHBoxLayout:
    """Widgets side by side; the last takes the rest."""
    row = QHBoxLayout()
    row.setSpacing(8)
    for each in widgets:
        row.addWidget(each, int(each is widgets[-1]))
    return row


def _say(where, text: str) -> None:  # noqa: ANN001
    where.setText(text)
    where.setVisible(bool(text))


def _name(which, text: str) -> None:  # noqa: ANN001
    which.setText(text)
    which.setAccessibleName(text)
