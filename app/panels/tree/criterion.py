"""What structures are scored by: all criteria, those that are not available greyed with the reason."""

from PySide6.QtCore import QSignalBlocker, Qt, Slot
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QWidget

from secateur.engine.scoring.criteria import CriterionOffer, offers

from ...document.document import Aspect, Document
from ...text.translate import engine_words, sentence
from ...widgets.availability import set_available
from ...widgets.fields import ComboBox

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.SCORES, Aspect.JOBS})


class CriterionBox(ComboBox):
    """Chooses the criterion.

    Attributes:
        document: What is rated.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Choose for a document."""
        super().__init__("", parent)
        self.setAccessibleName(self.tr("Criterion that scores structures"))
        self.document = document
        self._known: tuple[object, ...] = (None, None, None, None)
        self.activated.connect(self._chosen)
        document.dispatcher.watch(SHOWN, self._changed)
        self.refresh()

    def refresh(self) -> None:
        """Show what the document may be scored by."""
        document = self.document
        set_available(self, document.analysis is not None and not document.busy)
        known = (document.analysis, document.state, document.task, document.choices)
        same = all(one is other for one, other in zip(known, self._known, strict=True))
        if document.analysis is not None and not same:
            self._known = known
            self._fill(offers(document.analysis, document.removed, document.task, document.choices))
        place = self.findData(document.criterion)
        if place >= 0:
            with QSignalBlocker(self):
                self.setCurrentIndex(place)
            self.setToolTip(str(self.itemData(place, Qt.ItemDataRole.ToolTipRole)))

    def _fill(self, found: tuple[CriterionOffer, ...]) -> None:
        with QSignalBlocker(self):
            self.clear()
            for number, one in enumerate(found):
                self.addItem(engine_words(one.criterion.title), one.criterion.name)
                self.setItemData(number, self._help(one), Qt.ItemDataRole.ToolTipRole)
                model = self.model()
                if isinstance(model, QStandardItemModel):
                    model.item(number).setEnabled(one.reason is None)

    def _help(self, one: CriterionOffer) -> str:
        """Why it is not available, or what it computes, what that costs, and where it comes from."""
        if one.reason is not None:
            return self.tr("Not available. {reason}").format(reason=sentence(one.reason))
        return "\n".join((engine_words(one.criterion.formula), sentence(one.cost.message), one.criterion.paper))

    @Slot(int)
    def _chosen(self, number: int) -> None:
        self.document.set_criterion(str(self.itemData(number)))

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.refresh()
