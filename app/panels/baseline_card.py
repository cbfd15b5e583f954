"""What a baseline is: what it asks, what it scored and cost, and what to know when comparing."""

from PySide6.QtWidgets import QHBoxLayout, QWidget

from secateur.engine.baselines.protocol import Baseline

from ..document.document import Document
from ..text.baselines import facts_of, name_of, question_of
from ..text.translate import sentences
from ..widgets.buttons import button
from ..widgets.card import Card
from ..widgets.labels import label


class BaselineCard(Card):
    """A card beside the plot.

    Attributes:
        baseline: Id of the one that is shown, "" for none.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start hidden."""
        super().__init__(parent, margin=8)
        self.baseline = ""
        self.title = label(role="strong")
        self.facts = label(wrap=True)
        self.notes = label(role="caption", wrap=True)
        self.shut = button(self.tr("Close"), "link", self.tr("Close the baseline"))
        row = QHBoxLayout()
        row.addWidget(self.title)
        row.addStretch(1)
        row.addWidget(self.shut)
        self.body.setSpacing(3)
        self.body.addLayout(row)
        self.body.addWidget(self.facts)
        self.body.addWidget(self.notes)
        self.shut.clicked.connect(lambda: self.show_baseline(None, None))
        self.hide()

    def show_baseline(self, one: Baseline | None, document: Document | None) -> None:
        """Show a baseline, or nothing."""
        self.baseline = "" if one is None else one.id
        self.setVisible(one is not None)
        if one is None or document is None:
            return
        self.title.setText(self.tr("Baseline of {1}: {0}").format(name_of(one), one.against))
        self.facts.setText(", ".join(facts_of(one, document.original, document.target)))
        self.notes.setText(sentences([question_of(one.asked.kind), *one.notes]))
        self.setAccessibleName(f"{self.title.text()}: {self.facts.text()}")
