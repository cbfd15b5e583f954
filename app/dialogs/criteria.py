"""What the criteria are: formula, cost for the model that is open, paper, and why one is not available."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QScrollArea, QVBoxLayout, QWidget

from secateur.engine.scoring.criteria import CRITERIA, context_of, unavailable
from secateur.engine.scoring.protocol import Criterion

from ..document.document import Document
from ..text.translate import engine_words, sentence
from ..widgets.labels import label
from .window_api import WindowApi


class Criteria(QDialog):
    """All criteria, one below the other."""

    def __init__(self, window: WindowApi) -> None:
        """Show what they are for a window's model."""
        super().__init__(window.as_widget())
        self.setWindowTitle(self.tr("Criteria"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 560)
        page = QWidget()
        page.setProperty("role", "page")
        inner = QVBoxLayout(page)
        inner.setContentsMargins(4, 4, 12, 4)
        inner.setSpacing(3)
        words = self.tr(
            "A criterion scores how important each structure is: the higher, the more important. Choose one in "
            "the list above the tree."
        )
        inner.addWidget(label(words, "muted", wrap=True))
        for criterion in CRITERIA.values():
            inner.addSpacing(8)
            inner.addWidget(label(engine_words(criterion.title), "heading", wrap=True))
            inner.addWidget(label(self.tr("Score: {0}").format(engine_words(criterion.formula)), wrap=True))
            for words in (self._status(window.document, criterion), criterion.paper):
                if words:
                    inner.addWidget(label(words, "caption", wrap=True))
        inner.addStretch(1)
        area = QScrollArea()
        area.setProperty("role", "reached")
        area.setWidgetResizable(True)
        area.setAccessibleName(self.tr("What each criterion computes, its cost and its source"))
        area.setWidget(page)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 14, 12, 12)
        layout.addWidget(area, 1)
        layout.addWidget(buttons)

    def _status(self, document: Document, criterion: Criterion) -> str:
        """What it costs for this model, or why it is not available; "" where none is open."""
        if document.analysis is None:
            return ""
        setting = context_of(document.analysis, document.removed, document.task)
        reason = unavailable(criterion, setting)
        if reason is None:
            return sentence(criterion.cost(setting, document.contents.choices).message)
        return self.tr("Not available. {reason}").format(reason=sentence(reason))
