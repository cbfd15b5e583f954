"""What failed unexpectedly: a sentence, how often, the details to copy."""

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from ..text.translate import counted
from ..widgets.buttons import PrimaryButton, button
from ..widgets.labels import label


class UnexpectedError(QDialog):
    """The dialog.

    Attributes:
        sentence: What happened.
        times: How often, hidden at once.
        details: For whoever will mend it.
        copy: Copies all of it.
    """

    def __init__(self, parent: QWidget | None, sentence: str) -> None:
        """Take the sentence."""
        super().__init__(parent)
        self.setWindowTitle(self.tr("Unexpected error"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(560)
        self.sentence = label(sentence, wrap=True)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.times = label("", "muted", wrap=True)
        self.times.hide()
        self.details = QPlainTextEdit(readOnly=True)
        self.details.setAccessibleName(self.tr("Details of the error"))
        self.details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.details.setMinimumHeight(180)
        self.copy = button(self.tr("Copy"), tip=self.tr("Copy the message and its details"))
        self.go_on = PrimaryButton(self.tr("Continue"))
        self.go_on.setDefault(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(12)
        hint = self.tr("If it happens again, attach these details to a bug report.")
        for each in (self.sentence, self.times, label(hint, "muted", wrap=True)):
            layout.addWidget(each)
        layout.addWidget(self.details, 1)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addStretch(1)
        row.addWidget(self.go_on)
        layout.addLayout(row)
        self.go_on.setFocus()
        self.copy.clicked.connect(self._copy)
        self.go_on.clicked.connect(self.accept)

    def tell(self, details: str, count: int) -> None:
        """Show details, and how often it happened."""
        if details != self.details.toPlainText():
            self.details.setPlainText(details)
        words = counted(count, self.tr("It happened {count} time."), self.tr("It happened {count} times."))
        self.times.setText(words)
        self.times.setVisible(count > 1)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.sentence.text()}\n\n{self.details.toPlainText()}")
