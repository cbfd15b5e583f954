"""The Heads tab: a click or a rubber band marks, colours are the scores of the present criterion."""

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ...dialogs.save_plot import asks_to_save
from ...document.aspects import Aspect, Overlay
from ...document.document import Document
from ...widgets.card import EmptyState
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, offer
from ...widgets.score_map import CaptionLine
from ..panel_layout import column_of, stack_of
from ..plot_tables import heads_table
from .model import HeadsModel
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
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._show_changes)
        self._show_changes(SHOWN)

    def drawings(self) -> tuple[Drawing, ...]:
        """The map, to be taken along."""
        return (self._drawing,)

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
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
            elif self.document.contents.overlay is Overlay.ACTIVITY:
                words = self.tr("No colours: the response of a head is a norm, which is always above 0.")
            self._note.setText(words + framed)
        if aspects & {Aspect.MODEL, Aspect.SELECTION}:
            self.view.show_current(self.model.place_of(self.document.selection.structure))
