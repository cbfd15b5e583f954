"""The Layers tab: rows aligned with the tree's layers; a click selects there, and back."""

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from ...dialogs.save_plot import asks_to_save
from ...document.aspects import Aspect
from ...document.document import Document
from ...theme import px
from ...widgets.card import EmptyState
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, offer
from ..overlay_text import overlay_text
from ..panel_layout import column_of, stack_of
from ..plot_tables import layers_table
from .model import LayersModel
from .view import LayersView

LOW = 230
"""Height below which the words under the rows are left out, in pixels at the first size of text."""
SHOWN = frozenset(
    {Aspect.MODEL, Aspect.SCORES, Aspect.GATES, Aspect.MARKS, Aspect.STATES, Aspect.SENSITIVITY, Aspect.TARGET}
)


class LayersPanel(QWidget):
    """The table with its legend.

    Attributes:
        model: The rows.
        view: The table itself.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's model."""
        super().__init__(parent)
        self.document = document
        self.model = LayersModel(document, self)
        self.view = LayersView(self.model)
        self._legend = label(role="caption", wrap=True)
        shown = QWidget()
        column_of((self.view, 1), self._legend, on=shown, margins=(6, 4, 6, 6), gap=4)
        words = self.tr("Open a model to see the width, the costs and the coupling of each layer.")
        self._stack = stack_of(self, EmptyState(self.tr("Layers"), words), shown)
        self._drawing = Drawing(
            "layers",
            self.tr("Layers"),
            "layers",
            shown=lambda: self.model.plan is not None,
            widget=self.view.whole,
            table=lambda: layers_table(self.model),
        )
        offer(self.view, self._drawing, asks_to_save(self.document))
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._show_changes)
        self._show_changes(SHOWN)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low window rows are worth more than the words below them."""
        super().resizeEvent(event)
        self._legend.setVisible(self.height() >= px(LOW))

    def drawings(self) -> tuple[Drawing, ...]:
        """The table, to be taken along."""
        return (self._drawing,)

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self.model.reload()
            self._stack.setCurrentIndex(int(self.model.layers is not None))
        elif aspects & SHOWN:
            self.model.refresh()
        if aspects & SHOWN:
            lost = self.tr("Sensitivity: change of the metric if half of the layer is removed. ")
            flat = self.tr("Double bar: removal saves no time. ")
            saves_nothing = any(one.flat for one in self.document.contents.saved.values())
            words = self.tr(
                "Filled: kept. Bright: {1}. Hatched: marked. Pale: removed. {0}Lines: coupled layers; dashed: "
                "concatenated."
            )
            if self.document.learned_gates is not None:
                words = self.tr(
                    "Masks are learned. Filled: open on average. Hatched: gate closed. Bright: open. Dark: closed."
                )
            more = (lost if self.model.lost else "") + (flat if saves_nothing else "")
            self._legend.setText(words.format(more, overlay_text(self.document).bright))
        if aspects & {Aspect.MODEL, Aspect.SELECTION}:
            rows = self.model.layers.row_of if self.model.layers is not None else {}
            self.view.show_current(rows.get(self.document.selection.module, -1))
