"""The inspector panel: lays out what is known of the selection, and sends gestures to the document."""

from dataclasses import replace

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QStackedLayout, QWidget

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
from ...widgets.card import Card, EmptyState
from ...widgets.fields import SpinBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import ElidedLabel, label
from ...widgets.plot_export import Drawing, offer
from ...widgets.score_map import ScoreMap, ScoreScale
from ..overlay_text import overlay_text
from ..panel_layout import column_of, row_of
from ..panel_parts import name_button, show_text
from ..plot_tables import set_table, structure_states
from .coupling_graph import Flows, FlowView, set_to_show
from .histogram import Histogram, Spread
from .responses import OF_RESPONSES, ResponsesSection
from .selection_text import costs_note, costs_text, goes_title, steps_of, subject_of
from .slice_list import SliceList, lines
from .trial import OF_TRIALS, TrialSection

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
        responses: What the structure does on data.
        flow: What is removed with it, as a graph.
        slices: The same, slice by slice.
        trial: What it is worth, measured.
        keep: How many to keep.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's selection."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self._flows: tuple[Analysis, Flows] | None = None
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
        self.responses, self.trial = ResponsesSection(workbench, self), TrialSection(workbench, self)
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
        page, shown = QWidget(), QWidget()
        page.setProperty("role", "page")
        keep = FlowLayout(gap=8)
        for each in (self._keep_name, self.keep, self._multiple):
            keep.addWidget(each)
        words = (self.title, self.words, self.facts, self.coupled, keep)
        plots = ((self.histogram, 2), self._map_title, self.map, self.trial, self.responses)
        goes = (self._goes, self.flow, self.slices, self.costs, self._note, self._why_title, self.why, None)
        column_of(*words, *plots, *goes, on=page, margins=(0, 0, 6, 0), gap=6)
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(page)
        column_of((area, 1), self.below, row_of((self.mark, 1), self.lock, gap=8), on=shown, margins=(0, 0, 0, 0))
        self._stack = QStackedLayout()
        # The layout has its widget before its pages: a stack without one shows its first page as a window.
        self.body.addLayout(self._stack)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(shown)
        self._drawing = Drawing(
            "histogram",
            self.tr("Histogram of the selected set"),
            "inspector",
            shown=lambda: self.histogram.isVisibleTo(self),
            widget=lambda: self.histogram,
            table=lambda: set_table(self.document, self.document.selection.set_number),
        )
        offer(self.histogram, self._drawing, asks_to_save(self.document))
        self.setMinimumWidth(232)
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        self.histogram.previewed.connect(self._preview_below)
        self.histogram.committed.connect(self._mark_below)
        self.histogram.cancelled.connect(self.document.plan.cancel_preview)
        self.map.picked.connect(self._select_cell)
        self.map.banded.connect(self._toggle_band)
        self.map.toggled.connect(self._toggle_cell)
        self.flow.picked.connect(self._select_layer)
        self.map.hovered.connect(self._hover_cell)
        self.map.resized.connect(self._name_map)
        self.keep.valueChanged.connect(self._keep_number)
        self.lock.clicked.connect(self._toggle_lock)
        self.mark.clicked.connect(self._toggle_marks)
        self.below.clicked.connect(self._mark_all_below)
        self.document.dispatcher.watch(SHOWN | OF_RESPONSES | OF_TRIALS, self._show_changes)

    def drawings(self) -> tuple[Drawing, ...]:
        """The histogram, to be taken along."""
        return (self._drawing,)

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if aspects & SHOWN:
            self.refresh()
        elif Aspect.HOVER in aspects and self.document.analysis is not None:
            self._show_structure(self.document.analysis)
        if aspects & OF_RESPONSES:
            self.responses.show_changes(aspects)
        if aspects & OF_TRIALS:
            self.trial.refresh()

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
        show_text(self.words, subject.words)
        show_text(self.facts, subject.facts)
        show_text(self.coupled, subject.coupled)
        show_text(self._why_title, subject.why_title)
        show_text(self.why, subject.why)
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
        shown = document.shown_scores
        scores = np.full(one.count, np.nan) if shown is None else shown[place]
        scale = ScoreScale.of(shown, document.ranked)
        present = np.isfinite(scores) & ~document.removed[place]
        self.histogram.show_spread(Spread(scores[present], document.marked[place][present], scale))
        self._say_below()
        values = document.overlay_values
        coloured = np.full(one.count, np.nan) if values is None else values[place]
        states = structure_states(document, "")[place]
        current = document.selection.structure - one.first
        self.map.show_cells(
            ScoreScale.of(values, document.ranked).fractions(coloured), [str(s) for s in states], current
        )
        self._show_images(analysis, one)
        self._name_map()

    @Slot()
    def _name_map(self) -> None:
        """Say what the cells show: images only where these are large enough to be seen."""
        if (one := self._set()) is None:
            return
        title, words = self.tr("{0} in model order. Bright: {1}. Struck through: marked."), overlay_text(self.document)
        said = self.tr("Drag to mark several.")
        if self.map.pictured():
            title, said = self.tr("{0} as images. Bright frame: {1}. Struck through: marked."), ""
        show_text(self._map_title, f"{title.format(many_of(one.kind).capitalize(), words.bright)} {said}".rstrip())
        self.map.setAccessibleName(self._map_title.text())

    def _show_images(self, analysis: Analysis, one: CoupledSet) -> None:
        """The first convolution's filters as the images that they are, where the set has some."""
        document, first, found = self.document, first_convolution(analysis), None
        if first >= 0 and (first, 0) in one.touches and document.selection.module == analysis.tensors[first].module:
            found = document.contents.filters.get(document.contents.present)
            if found is None:
                self.workbench.states.read_filters()
        if found is None:
            self.map.show_images(None)
            return
        images = np.full((one.count, *found.images.shape[1:]), 128, np.uint8)
        places = np.searchsorted(analysis.index[one.structures], found.index)
        fits = (places < one.count) & (analysis.index[one.structures][np.minimum(places, one.count - 1)] == found.index)
        images[places[fits]] = found.images[fits]
        self.map.show_images(images)

    def _show_structure(self, analysis: Analysis) -> None:
        document, one, chosen = self.document, self._set(), self._chosen()
        # What is under the mouse, else what is selected, else the first of the set that stays.
        structures = chosen
        if document.contents.hovered >= 0:
            structures = (document.contents.hovered,)
        elif document.selection.structure < 0 and one is not None:
            left = np.flatnonzero(~(document.removed | document.marked)[one.structures])
            structures = (one.first + int(left[0]) if len(left) else one.first,)
        for each in (self._goes, self.costs, self._note):
            each.setVisible(bool(structures))
        for each in (self.flow, self.slices):
            each.setVisible(len(structures) == 1)
        self.mark.setVisible(bool(chosen))
        if not structures:
            return
        self._goes.setText(goes_title(analysis, structures))
        if len(structures) == 1:
            # What writes each axis is read once for a model: the mouse asks for many structures in a second.
            if self._flows is None or self._flows[0] is not analysis:
                self._flows = (analysis, Flows(analysis))
            self.flow.show_flow(self._flows[1].of(structures[0]))
            self.slices.show_lines(lines(analysis, structures[0]))
        there = [structure for structure in structures if not document.removed[structure]]
        self.costs.setText(costs_text(analysis, document.removed | document.marked, there or structures))
        self._note.setText(costs_note(bool(document.marked[there].all()), not there))
        if chosen:
            fixed = document.removed | document.locked
            free = [structure for structure in chosen if not fixed[structure]]
            self.mark.setEnabled(bool(free))
            all_marked = document.marked[free].all() and document.marked[chosen].any()
            verb = self.tr("Unmark {0}") if all_marked else self.tr("Mark {0}")
            several = self.tr("these {0}").format(len(chosen))
            self._name_mark(verb.format(structure_name(analysis, chosen[0]) if len(chosen) == 1 else several))
        lockable = self._lockable()
        name_button(self.lock, self.tr("Unlock") if document.locked[lockable].all() else self.tr("Lock"))
        self.lock.setEnabled(not document.removed[lockable].all())

    def _chosen(self) -> list[int]:
        """The structures that are selected."""
        chosen = self.document.selection
        return list(chosen.several) or ([chosen.structure] if chosen.structure >= 0 else [])

    def _name_mark(self, words: str) -> None:
        """All of it where there is room, else the verb alone; the tooltip and a screen reader have all."""
        name_button(self.mark, words)
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
            return chosen
        return list(range(one.first, one.first + one.count))

    def _say_below(self) -> None:
        spread = self.histogram.spread
        below = int(np.count_nonzero(spread.scores < self.histogram.threshold))
        marked = int(np.count_nonzero(spread.marked))
        text = self.tr("Mark all below {0}").format(spread.scale.text(self.histogram.threshold))
        hint = self.tr("All scores are equal") if spread.alike else self.tr("Drag the line to mark")
        name_button(self.below, text if below else hint)
        self.below.setEnabled(below not in (0, marked))
        self.below.setToolTip(self.tr("{0} of this set score below the line").format(below))

    @Slot(float)
    def _preview_below(self, threshold: float) -> None:
        self.document.plan.preview_below([self.document.selection.set_number], threshold)
        self._say_below()

    @Slot(float)
    def _mark_below(self, threshold: float) -> None:
        self.document.plan.mark_below([self.document.selection.set_number], threshold)

    @Slot()
    def _mark_all_below(self) -> None:
        self._mark_below(self.histogram.threshold)

    @Slot(int)
    def _select_cell(self, cell: int) -> None:
        if (one := self._set()) is not None:
            self.document.select(replace(self.document.selection, structure=one.first + cell, several=()))

    @Slot(list)
    def _toggle_band(self, cells: list[int]) -> None:
        """Mark all inside a rubber band; spare them where all are marked."""
        if (one := self._set()) is not None and cells:
            self.document.plan.toggle_marks(one.first + np.array(cells, np.int64))

    @Slot(int)
    def _toggle_cell(self, cell: int) -> None:
        if (one := self._set()) is not None:
            self.document.plan.toggle_marks([one.first + cell])

    @Slot(str)
    def _select_layer(self, module: str) -> None:
        """Show a layer of the graph."""
        analysis = self.document.analysis
        if analysis is not None:
            self.document.select(Selection(module, set_to_show(analysis, module)))

    @Slot(int)
    def _hover_cell(self, cell: int) -> None:
        one = self._set()
        self.document.hover(one.first + cell if one is not None and cell >= 0 else -1)

    @Slot(int)
    def _keep_number(self, count: int) -> None:
        self.document.plan.keep(self.document.selection.set_number, count)

    @Slot()
    def _toggle_lock(self) -> None:
        self.document.plan.toggle_locks(self._lockable())

    @Slot()
    def _toggle_marks(self) -> None:
        self.document.plan.toggle_marks(self._chosen())
