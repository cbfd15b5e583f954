"""The section *What it does* of the inspector: asks for the responses of the selected layer, and shows those of one."""

import numpy as np
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from secateur.engine.inspection.response_data import LayerResponses
from secateur.engine.structures.analysis import CoupledSet, Kind

from ...document.document import Aspect
from ...jobs.workbench import Workbench
from ...text.structures import one_of, short_path, structure_name
from ...text.translate import sentences
from ...widgets.buttons import button
from ...widgets.labels import label
from ..panel_layout import column_of, row_of
from ..panel_parts import attach_data, name_button, show_text
from .response_samples import ResponseView
from .response_text import (
    activity_words,
    alike_group,
    alike_words,
    attention_words,
    basis_words,
    class_words,
    dead_words,
)

OF_RESPONSES = frozenset(
    {
        Aspect.MODEL,
        Aspect.TASK,
        Aspect.STATES,
        Aspect.SELECTION,
        Aspect.HOVER,
        Aspect.MARKS,
        Aspect.SCORES,
        Aspect.JOBS,
        Aspect.RESPONSES,
    }
)
ASKS = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.SELECTION})
"""What may bring another layer, whose responses are wanted."""


class ResponsesSection(QWidget):
    """What the selected structure does.

    Nothing runs before a person asks for it; from then on the section follows the selection.

    Attributes:
        words: What is shown, or why nothing is.
        act: Does what is needed first.
        view: The samples.
        facts: Activity, classes, attention.
        alike: What responds alike.
        mark_alike: Marks all that respond alike but one.
        dead: What of the layer responds to nothing.
        mark_dead: Marks that.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's selection."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.follows = False
        self._asked: tuple[str, str, str] | None = None
        self._shown: tuple[LayerResponses | None, int] = (None, -1)
        self.words = label(role="caption", wrap=True)
        self.act = button(self.tr("Show"))
        self.view = ResponseView()
        self.facts = label(role="caption", wrap=True)
        self.alike = label(role="caption", wrap=True)
        self.mark_alike = button(self.tr("Mark all but one"))
        self.dead = label(role="caption", wrap=True)
        self.mark_dead = button(self.tr("Mark the dead ones"))
        parts = (self.words, row_of(self.act, None), self.view, self.facts, self.alike, row_of(self.mark_alike, None))
        title = label(self.tr("What it does"), "heading")
        column_of(title, *parts, self.dead, row_of(self.mark_dead, None), on=self, margins=(0, 4, 0, 4), gap=6)
        self.act.clicked.connect(self._take_step)
        workbench.runner.resting.connect(self._resume)
        self.mark_alike.clicked.connect(self._mark_alike)
        self.mark_dead.clicked.connect(self._mark_dead)
        self.refresh()

    def show_changes(self, aspects: frozenset[Aspect]) -> None:
        """Show what has changed; the panel says so, because a section that is hidden hears of nothing."""
        if aspects & ASKS and self.follows:
            self._ask()
        self.refresh()

    @property
    def about(self) -> tuple[str, str, str] | None:
        """(state, coupled set, layer) that is selected; None where that has no responses."""
        one, document = self._set(), self.document
        if one is None or one.kind is Kind.BLOCK or document.removed[one.structures].all():
            return None
        return document.contents.present, one.key, document.selection.module

    def _set(self) -> CoupledSet | None:
        chosen, analysis = self.document.selection, self.document.analysis
        alone = analysis is not None and chosen.set_number >= 0 and len(chosen.several) < 2
        return analysis.sets[chosen.set_number] if alone and analysis is not None else None

    def _structure(self, one: CoupledSet) -> int:
        """What is under the mouse, else what is selected, else the first that is left."""
        document = self.document
        inside = range(one.first, one.first + one.count)
        for chosen in (document.contents.hovered, document.selection.structure):
            if chosen in inside:
                return chosen
        left = np.flatnonzero(~document.removed[one.structures])
        return one.first + int(left[0]) if len(left) else -1

    def refresh(self) -> None:
        """Show the selection again."""
        about, one, analysis = self.about, self._set(), self.document.analysis
        self.setVisible(about is not None)
        if about is None or one is None or analysis is None:
            self._show_samples(None, -1)
            return
        structure, found = self._structure(one), self.document.contents.responses.get(about)
        row = -1 if found is None else found.place(structure)
        self._show_samples(found, row)
        self._say_state(about, one, found, row)
        facts: tuple[str, ...] = ()
        if found is not None and row >= 0:
            facts = (activity_words(found, row), class_words(found, row), attention_words(found, row))
        show_text(self.facts, "\n".join(filter(None, facts)))
        alive = found is not None and row >= 0 and not found.dead[row]
        show_text(self.alike, alike_words(found, analysis, structure) if found is not None and alive else "")
        self._offer_marks(one, found, structure if alive else -1)

    def _say_state(self, about: tuple[str, str, str], one: CoupledSet, found: LayerResponses | None, row: int) -> None:
        """What is shown, and the step that brings what is missing."""
        document, kind = self.document, one_of(one.kind)
        job, reason = document.job_about(about), document.contents.unseen.get(about, "")
        step = ""
        if document.task is None:
            words, step = self.tr("Choose data to see what this {0} does.").format(kind), self.tr("Attach data...")
        elif document.absent:
            words = document.absent
        elif job is not None:
            seen = 0 if found is None else found.seen
            words = self.tr("Looking at samples: {0} of {1}.").format(job.done, job.total or "\u2026")
            words = self.tr("Waiting for its turn.") if job.place else words
            words += " " + basis_words(found, one) if found is not None and seen and row >= 0 else ""
        elif reason:
            words, step = reason, self.tr("Try again")
        elif found is None:
            words = self.tr("See which samples excite this {0}, how often it is active, and what is like it.")
            words, step = words.format(kind), self.tr("Show what it does")
        elif row < 0:
            words = self.tr("It is not in this state any more.")
        else:
            words = " ".join((basis_words(found, one), sentences(found.notes))).strip()
            if found.seen < found.total:
                step = self.tr("Look at all {0} samples").format(found.total)
        show_text(self.words, words)
        name_button(self.act, step)
        self.act.setVisible(bool(step))

    def _show_samples(self, found: LayerResponses | None, row: int) -> None:
        if self._shown != (found, row):
            self._shown = (found, row)
            self.view.samples.show_structure(found, row)
        self.view.setVisible(bool(self.view.samples.shown))
        name = self.tr("Samples that excite it most")
        if found is not None and found.attention is not None:
            name = self.tr("Where it looks on some samples")
        self.view.setAccessibleName(name)

    def _offer_marks(self, one: CoupledSet, found: LayerResponses | None, structure: int) -> None:
        document, analysis = self.document, self.document.analysis
        others: list[int] = []
        if found is not None and structure >= 0 and analysis is not None:
            keep, others = alike_group(found, structure, document.scores)
            tip = self.tr("Keeps {0} and marks {1} that respond like it")
            self.mark_alike.setToolTip(tip.format(structure_name(analysis, keep, one), len(others)))
        dead = self._dead(found)
        self.mark_alike.setVisible(bool(others))
        self.mark_alike.setEnabled(not document.marked[others].all())
        show_text(self.dead, dead_words(one, len(dead)))
        self.mark_dead.setVisible(bool(len(dead)))
        self.mark_dead.setEnabled(not document.marked[dead].all())

    def _dead(self, found: LayerResponses | None) -> np.ndarray:
        """Numbers of the structures that respond to nothing."""
        return np.zeros(0, np.int64) if found is None else found.structures[found.dead]

    @Slot(object)
    def _resume(self, methods: frozenset[str]) -> None:
        """Ask once more where another job came before."""
        if self.follows and "responses" in methods:
            self._asked = None
            self._ask()

    def _ask(self, asked: bool = False) -> None:
        """Ask the engine for the responses of what is selected."""
        about, one = self.about, self._set()
        if about is None or one is None or (about in self.document.contents.unseen and not asked):
            return
        # A job that a person has cancelled does not come back with the next change.
        if about != self._asked or asked:
            self._asked = about
            title = self.tr("See what {0} does").format(short_path(about[2] or one.module))
            self.workbench.states.read_responses(about, title, asked)

    @Slot()
    def _take_step(self) -> None:
        if self.document.task is None:
            return attach_data(self.document)
        self.follows = True
        self._ask(asked=True)

    @Slot()
    def _mark_alike(self) -> None:
        found, row = self._shown
        if found is not None and row >= 0:
            _, others = alike_group(found, int(found.structures[row]), self.document.scores)
            self.document.plan.mark(others, True)

    @Slot()
    def _mark_dead(self) -> None:
        self.document.plan.mark(self._dead(self._shown[0]), True)
