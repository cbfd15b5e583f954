"""The Layers tab: rows aligned with the tree's layers; a click selects there, and back."""

from PySide6.QtCore import Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QStackedLayout, QVBoxLayout, QWidget

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect, Document, Selection
from ...theme import px
from ...widgets.empty_state import EmptyState
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table, offer
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
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 4, 6, 6)
        inner.setSpacing(4)
        inner.addWidget(self.view, 1)
        inner.addWidget(self._legend)
        self._stack = QStackedLayout(self)
        words = self.tr("Open a model to see the width, the costs and the coupling of each layer.")
        self._stack.addWidget(EmptyState(self.tr("Layers"), words))
        self._stack.addWidget(shown)
        self._drawing = Drawing("layers", self.tr("Layers"), "layers", self._some, self.view.whole, self._table)
        offer(self.view, self._drawing, asks_to_save(self.document))
        self.view.picked.connect(self._pick)
        self.view.opened.connect(self._keep)
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._changed)
        self._changed(SHOWN)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low window rows are worth more than the words below them."""
        super().resizeEvent(event)
        self._legend.setVisible(self.height() >= px(LOW))

    def drawings(self) -> tuple[Drawing, ...]:
        """The table, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return self.model.plan is not None

    def _table(self) -> Table:
        assert self.model.layers is not None and self.model.plan is not None
        return layers_table(self.model.layers, self.model.plan, self.model.lost)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self.model.reload()
            self._stack.setCurrentIndex(int(self.model.layers is not None))
        elif aspects & SHOWN:
            self.model.refresh()
        if aspects & SHOWN:
            self._say_what_is_shown()
        if aspects & {Aspect.MODEL, Aspect.SELECTION}:
            rows = self.model.layers.row_of if self.model.layers is not None else {}
            self.view.show_current(rows.get(self.document.selection.module, -1))

    def _say_what_is_shown(self) -> None:
        """What the signs and the colours mean."""
        lost = self.tr("Sensitivity: change of the metric if half of the layer is removed. ")
        measured = lost if self.model.lost else ""
        flat = any(one.flat for one in self.document.contents.saved.values())
        measured += self.tr("Double bar: removal saves no time. ") if flat else ""
        if self.model.learning:
            words = self.tr(
                "Masks are learned. Filled: open on average. Hatched: gate closed. Bright: open. Dark: closed."
            )
            return self._legend.setText(words)
        words = self.tr(
            "Filled: kept, coloured by mean score. Hatched: marked. Pale: removed. {0}Lines: coupled layers; "
            "dashed: concatenated."
        )
        self._legend.setText(words.format(measured))

    @Slot(int)
    def _pick(self, row: int) -> None:
        layers = self.model.layers
        if layers is not None:
            self.document.select(Selection(layers.modules[row], int(layers.sets[row])))

    @Slot()
    def _keep(self) -> None:
        """Type in the tree how many the layer keeps."""
        self.document.requested.emit(lambda window: window.edit_keeps())
