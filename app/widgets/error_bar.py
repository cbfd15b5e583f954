"""An error for a person: the sentence, its details folded, a way to copy both, and a way to close it."""

from PySide6.QtCore import Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QWidget

from .buttons import button
from .card import Card
from .labels import label


class ErrorBar(Card):
    """Hidden until `show_error`; stays until it is closed or replaced."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start hidden."""
        super().__init__(parent, margin=8, role="error")
        self.sentence = label(wrap=True)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setMaximumHeight(140)
        self.details.setAccessibleName(self.tr("Details of the error"))
        self.fold = button(self.tr("Details"), "link")
        self.copy = button(self.tr("Copy"), "link", self.tr("Copy the message and its details"))
        self.dismiss = button(self.tr("Close"), "link")
        row = QHBoxLayout()
        row.addWidget(self.sentence, 1)
        for each in (self.fold, self.copy, self.dismiss):
            row.addWidget(each)
        self.body.addLayout(row)
        self.body.addWidget(self.details)
        self.fold.clicked.connect(self._toggle)
        self.copy.clicked.connect(self._copy)
        self.dismiss.clicked.connect(self.hide)
        self.hide()

    def show_error(self, sentence: str, details: str = "") -> None:
        """Show a sentence; details stay folded."""
        self.sentence.setText(sentence)
        self.sentence.setAccessibleName(self.tr("Error: {0}").format(sentence))
        self.details.setPlainText(details)
        self.details.hide()
        self.fold.setText(self.tr("Details"))
        self.fold.setVisible(bool(details))
        self.show()

    @Slot()
    def _toggle(self) -> None:
        folded = self.details.isHidden()
        self.details.setVisible(folded)
        self.fold.setText(self.tr("Hide details") if folded else self.tr("Details"))

    @Slot()
    def _copy(self) -> None:
        text = "\n\n".join(t for t in (self.sentence.text(), self.details.toPlainText()) if t)
        QGuiApplication.clipboard().setText(text)
