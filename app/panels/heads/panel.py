"""The Heads tab: a click or a rubber band marks, colours are the scores of the present criterion."""

import numpy as np
from PySide6.QtCore import QRectF, Slot
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect, Document, Selection
from ...widgets.empty_state import EmptyState
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, offer
from ...widgets.score_map import CaptionLine
from ..panel_layout import column_of, stack_of
from ..plot_tables import heads_table
from .model import HeadsModel, Place
from .view import HeadsView, paint_cell

SWATCH = 18
"""Width of a sign in device-independent pixels."""


class Sign(CaptionLine):
    """The sign of a state with its word."""

    def __init__(self, state: str, word: str, parent: QWidget | None = None) -> None:
        """Know both."""
        super().__init__(parent)
        self.state, self.word = state, word
        self.setAccessibleName(word)

    def room(self) -> float:
        """Both of them."""
        return SWATCH + 5 + self.width_of(self.word) + 6

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw them."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        paint_cell(painter, QRectF(0, 3, SWATCH, self.height() - 6), 0.5, self.state, "")
        self.say(painter, SWATCH + 5, self.word)


class Legend(QWidget):
    """The signs, in as many rows as they need; the tree has the legend of the colours, for the whole window."""

    def __init__(self, words: dict[str, str], parent: QWidget | None = None) -> None:
        """`words` are those of the states."""
        super().__init__(parent)
        row = FlowLayout(self, gap=6)
        for state, word in words.items():
            row.addWidget(Sign(state, word))
        self.setAccessibleName(self.tr("Legend for {0}").format(", ".join(words.values())))
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)


SHOWN = frozenset({Aspect.MODEL, Aspect.SCORES, Aspect.GATES, Aspect.MARKS, Aspect.STATES})


class HeadsPanel(QWidget):
    """The map with its legend.

    Attributes:
        model: The cells.
        view: The map itself.
        legend: The signs of the states.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's heads."""
        super().__init__(parent)
        self.document = document
        self.model = HeadsModel(document, self)
        self.view = HeadsView(self.model)
        self.legend = Legend(self.model.words)
        self._note = label(role="caption", wrap=True)
        self._empty = EmptyState("", "")
        self._drawing = Drawing(
            "heads",
            self.tr("Heads"),
            "heads",
            shown=lambda: self.model.some,
            widget=self.view.whole,
            table=lambda: heads_table(document, self.model.rows),
        )
        shown = QWidget()
        column_of(self._note, (self.view, 1), self.legend, on=shown, margins=(6, 8, 6, 6), gap=4)
        self._stack = stack_of(self, self._empty, shown)
        offer(self.view, self._drawing, asks_to_save(self.document))
        self.view.toggled.connect(self._toggle)
        self.view.removed.connect(self._remove)
        self.view.reached.connect(self._reach)
        self.view.banded.connect(self._band)
        self.view.hovered.connect(self._hover)
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._changed)
        self._changed(SHOWN)

    def drawings(self) -> tuple[Drawing, ...]:
        """The map, to be taken along."""
        return (self._drawing,)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self.model.reload()
            self._stack.setCurrentIndex(int(self.model.some))
            words = self.tr("Open a model to see its attention heads, one row per layer.")
            if self.document.analysis is not None:
                words = self.tr("{0} has no removable attention heads. See the Layers tab.")
                words = words.format(self.document.model_name)
            self._empty.say(self.tr("Heads"), words)
        elif aspects & SHOWN:
            self.model.refresh()
        if aspects & SHOWN:
            groups = any(row.span > 1 for row in self.model.rows)
            words = self.tr("Click a head to mark or unmark it, or drag over several. Ctrl+L locks.")
            framed = self.tr(" Frame: a key/value group with the query heads it serves.") if groups else ""
            if self.document.learned_gates is not None:
                words = self.tr("Bright heads have open gates, dark ones closed gates, while masks are learned.")
            self._note.setText(words + framed)
        if aspects & {Aspect.MODEL, Aspect.SELECTION}:
            self.view.show_current(self.model.place_of(self.document.selection.structure))

    # Gestures.

    @Slot(object)
    def _reach(self, place: Place) -> None:
        self._select(place, self.view.selected())

    def _select(self, place: Place, places: list[Place]) -> None:
        """A cell was reached, alone or with others that are selected."""
        row = self.model.rows[place[0]]
        assert self.document.analysis is not None
        one = self.document.analysis.sets[row.set_number]
        several = tuple(map(self.model.structure, places)) if len(places) > 1 else ()
        self.document.select(Selection(one.module, row.set_number, self.model.structure(place), several))

    @Slot(object)
    def _toggle(self, places: list[Place]) -> None:
        """Mark or unmark one; of several all that are free."""
        if len(places) != 1:
            self._band(places)
            return
        self._select(places[0], places)
        self.document.plan.toggle_marks([self.model.structure(places[0])])

    @Slot(object)
    def _remove(self, places: list[Place]) -> None:
        if places:
            self.document.plan.mark([self.model.structure(place) for place in places], True)

    @Slot(object)
    def _band(self, places: list[Place]) -> None:
        """Mark all inside; unmark them where all are marked."""
        structures = np.array([self.model.structure(place) for place in places], np.int64)
        if len(places) > 1:
            current = self.view.current
            self._select(current if current in places else places[0], places)
        self.document.plan.toggle_marks(structures)

    @Slot(object)
    def _hover(self, place: Place | None) -> None:
        self.document.hover(-1 if place is None else self.model.structure(place))
