"""The Heads tab: a click or a rubber band marks, colours are the scores of the present criterion."""

import numpy as np
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QStackedLayout, QVBoxLayout, QWidget

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect, Document, Selection
from ...widgets.empty_state import EmptyState
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table, offer
from ..plot_tables import heads_table
from .legend import Legend
from .model import HeadsModel, Place
from .view import HeadsView

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
        self._drawing = Drawing("heads", self.tr("Heads"), "heads", self._some, self.view.whole, self._table)
        self._lay_out()
        offer(self.view, self._drawing, asks_to_save(self.document))
        self.view.toggled.connect(self._toggle)
        self.view.removed.connect(self._remove)
        self.view.reached.connect(self._reach)
        self.view.banded.connect(self._band)
        self.view.hovered.connect(self._hover)
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._changed)
        self._changed(SHOWN)

    def _lay_out(self) -> None:
        shown = QWidget()
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 8, 6, 6)
        inner.setSpacing(4)
        inner.addWidget(self._note)
        inner.addWidget(self.view, 1)
        inner.addWidget(self.legend)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(shown)

    def drawings(self) -> tuple[Drawing, ...]:
        """The map, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return self.model.some

    def _table(self) -> Table:
        return heads_table(self.document, self.model.rows)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self.model.reload()
            self._say_what_is_missing()
        elif aspects & SHOWN:
            self.model.refresh()
        if aspects & SHOWN:
            self._say_what_is_shown()
        if aspects & {Aspect.MODEL, Aspect.SELECTION}:
            self.view.show_current(self.model.place_of(self.document.selection.structure))

    def _say_what_is_missing(self) -> None:
        """A model, or heads in it."""
        self._stack.setCurrentIndex(int(self.model.some))
        title = self.tr("Heads")
        if self.document.analysis is None:
            self._empty.say(title, self.tr("Open a model to see its attention heads, one row per layer."))
        else:
            words = self.tr("{0} has no removable attention heads. See the Layers tab.")
            self._empty.say(title, words.format(self.document.model_name))

    def _say_what_is_shown(self) -> None:
        """What a click does."""
        groups = any(row.span > 1 for row in self.model.rows)
        words = self.tr("Click a head to mark or unmark it, or drag over several. Ctrl+L locks.")
        framed = self.tr(" Frame: a key/value group with the query heads it serves.") if groups else ""
        if self.document.learned_gates is not None:
            words = self.tr("Bright heads have open gates, dark ones closed gates, while masks are learned.")
        self._note.setText(words + framed)

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
            self._show_several(places)
        self.document.plan.toggle_marks(structures)

    def _show_several(self, places: list[Place]) -> None:
        """Have the inspector show all of them."""
        current = self.view.current
        self._select(current if current in places else places[0], places)

    @Slot(object)
    def _hover(self, place: Place | None) -> None:
        self.document.hover(-1 if place is None else self.model.structure(place))
