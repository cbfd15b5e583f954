"""The Heads tab: a click or a rubber band marks, colours are the scores of the present criterion."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QStackedLayout, QVBoxLayout, QWidget

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect, Document, Selection
from ...text.structures import structure_name
from ...widgets.empty_state import EmptyState
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table, offer
from ...widgets.score_scale import ScoreScale
from ..plot_tables import heads_table
from ..score_legend import highest
from .grid import HeadRow, heads_of
from .legend import Legend
from .view import HeadMap, Place

SHOWN = frozenset({Aspect.MODEL, Aspect.SCORES, Aspect.MARKS, Aspect.STATES})


class HeadsPanel(QWidget):
    """The map with its legend.

    Attributes:
        map: The cells.
        legend: Range and signs.
        rows: What is shown.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's heads."""
        super().__init__(parent)
        self.document = document
        self.rows: tuple[HeadRow, ...] = ()
        self._place: dict[int, Place] = {}
        self._scale = ScoreScale(1.0)
        self.map = HeadMap()
        self.map.look, self.map.words = self._look, self.words
        self.legend = Legend()
        self._note = label(role="caption", wrap=True)
        self._empty = EmptyState("", "")
        self._drawing = Drawing("heads", self.tr("Heads"), "heads", self._some, self.map.whole, self._table)
        self._lay_out()
        offer(self.map, self._drawing, asks_to_save(self.document))
        self.map.chosen.connect(self._toggle)
        self.map.toggled.connect(self._toggle)
        self.map.removed.connect(self._remove)
        self.map.reached.connect(self._select)
        self.map.banded.connect(self._band)
        self.map.hovered.connect(self._hover)
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._changed)
        self._changed(SHOWN)

    def _lay_out(self) -> None:
        shown = QWidget()
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 8, 6, 6)
        inner.setSpacing(4)
        inner.addWidget(self._note)
        inner.addWidget(self.map, 1)
        inner.addWidget(self.legend)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(shown)

    def drawings(self) -> tuple[Drawing, ...]:
        """The map, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return bool(self._place)

    def _table(self) -> Table:
        return heads_table(self.document, self.rows)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self._read()
        if aspects & SHOWN:
            self.refresh()
        if aspects & {Aspect.MODEL, Aspect.SELECTION}:
            self.map.show_current(self._place.get(self.document.selection.structure))

    def _read(self) -> None:
        """Which heads the model has."""
        analysis = self.document.analysis
        self.rows = () if analysis is None else heads_of(analysis)
        cells = ((n, cell) for n, row in enumerate(self.rows) for cell in range(row.count))
        self._place = {self._structure(place): place for place in cells}
        self._stack.setCurrentIndex(int(bool(self._place)))
        title = self.tr("Heads")
        if analysis is None:
            self._empty.say(title, self.tr("Open a model to see its attention heads, one row per layer."))
        else:
            words = self.tr("{0} has no removable attention heads. See the Layers tab.")
            self._empty.say(title, words.format(self.document.model_name))
        self.map.show_rows(self.rows)

    def refresh(self) -> None:
        """Take scores and states again."""
        scores = self.document.shown_scores
        heads = np.fromiter(self._place, np.int64, len(self._place))
        self._scale = ScoreScale.of(None if scores is None else scores[heads])
        known = scores is not None and bool(np.isfinite(scores[heads]).any())
        self.legend.range.show_ends("0", *highest(self.document, self._scale if known else None))
        groups = any(row.span > 1 for row in self.rows)
        words = self.tr("Click a head to mark or unmark it, or drag over several. Ctrl+L locks.")
        framed = self.tr(" Frame: a key/value group with the query heads it serves.") if groups else ""
        self._note.setText(words + framed)
        if self.map.current is not None:
            self.map.setAccessibleDescription(self.words(*self.map.current))
        self.map.viewport().update()

    # Cells.

    def _structure(self, place: Place) -> int:
        return self.rows[place[0]].first + place[1]

    def _look(self, row: int, cell: int) -> tuple[float, str]:
        """A cell's score on the scale, and its state."""
        structure, scores = self._structure((row, cell)), self.document.shown_scores
        score = float("nan") if scores is None else float(scores[structure])
        return float(self._scale.fractions(np.array([score]))[0]), self._state(structure)

    def _state(self, structure: int) -> str:
        document = self.document
        if document.removed[structure]:
            return "removed"
        if document.marked[structure]:
            return "marked"
        return "locked" if document.locked[structure] else "free"

    def words(self, row: int, cell: int) -> str:
        """A cell in words; of a row alone where the cell is -1."""
        one, analysis = self.rows[row], self.document.analysis
        if one.set_number < 0:
            words = self.tr("{0} is fixed: none of its heads can be removed separately. {1}")
            return words.format(one.module, one.reason).strip()
        if cell < 0 or analysis is None:
            return one.module
        structure, scores = self._structure((row, cell)), self.document.shown_scores
        name = structure_name(analysis, structure, analysis.sets[one.set_number])
        name = self.tr("{0} of each group").format(name) if one.within else name
        lines = [f"{one.module}, {name}"]
        if one.span > 1:
            lines.append(self.tr("serves query heads {0} to {1}").format(cell * one.span, (cell + 1) * one.span - 1))
        if scores is not None and np.isfinite(scores[structure]):
            lines.append(self.tr("score {0}").format(self._scale.text(float(scores[structure]))))
        state = self._state(structure)
        return "\n".join([*lines, *([self.legend.signs.words[state]] if state != "free" else [])])

    # Gestures.

    def _structures(self, places: list[Place]) -> NDArray[np.int64]:
        return np.array([self._structure(place) for place in places], np.int64)

    @Slot(object)
    def _select(self, place: Place) -> None:
        row = self.rows[place[0]]
        assert self.document.analysis is not None
        one = self.document.analysis.sets[row.set_number]
        self.document.select(Selection(one.module, row.set_number, self._structure(place)))

    @Slot(object)
    def _toggle(self, place: Place) -> None:
        self._select(place)
        structure = self._structure(place)
        if not self.document.removed[structure]:
            self.document.plan.mark([structure], not self.document.marked[structure])

    @Slot(object)
    def _remove(self, place: Place) -> None:
        self.document.plan.mark([self._structure(place)], True)

    @Slot(object)
    def _band(self, places: list[Place]) -> None:
        """Mark all inside; unmark them where all are marked."""
        structures = self._structures(places)
        free = structures[~(self.document.removed | self.document.locked)[structures]]
        if len(free):
            self.document.plan.mark(free, not bool(self.document.marked[free].all()))

    @Slot(object)
    def _hover(self, place: Place | None) -> None:
        self.document.hover(-1 if place is None else self._structure(place))
