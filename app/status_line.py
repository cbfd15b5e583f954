"""The line at the bottom: at the left what computes and that the present cut is verified, at the right the last word.

The left stays as long as the present state does; the right says what just happened, then the legend again.
"""

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from .aspects import Aspect
from .document import Document
from .panels.verified import verified_text, verified_tip
from .widgets.labels import ElidedLabel, label

SHOWN = frozenset({Aspect.MODEL, Aspect.STATES, Aspect.JOBS})
STAYS = 12_000
"""Milliseconds that an announcement stays."""
DOT = " \u00b7 "


class StatusLine(QWidget):
    """One line below everything.

    Attributes:
        facts: Processor, job or engine, verification of the present cut.
        word: The last announcement, or the legend.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show a document's state."""
        super().__init__(parent)
        self.document = document
        self.facts = label(role="caption")
        self.facts.setAccessibleName(self.tr("Engine and verification of the present state"))
        self.word = ElidedLabel(role="caption")
        self.word.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.word.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 4)
        row.setSpacing(16)
        row.addWidget(self.facts)
        row.addWidget(self.word, 1)
        self._clock = QTimer(self, interval=STAYS, singleShot=True)
        self._clock.timeout.connect(self._legend)
        document.announced.connect(self.tell)
        document.views.watch(SHOWN, self._changed)
        self._changed(SHOWN)

    @Slot(str)
    def tell(self, sentence: str) -> None:
        """Say what just happened."""
        self.word.setText(sentence)
        self._clock.start()

    @Slot()
    def _legend(self) -> None:
        opened = self.document.analysis is not None
        self.word.setText(
            self.tr("scores in cividis, blue low, yellow high; orange: marked for removal") if opened else ""
        )

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        document = self.document
        parts = (document.work.status(), verified_text(document.states, document.state))
        self.facts.setText(DOT.join(part for part in parts if part))
        self.facts.setToolTip(verified_tip(document.states, document.state) if document.state is not None else "")
        if not self._clock.isActive():
            self._legend()
