"""The log: what happened, line by line, bounded, to read and to copy."""

from PySide6.QtCore import Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from ..document import Aspect, Document
from ..widgets.buttons import button
from ..widgets.labels import label

SHOWN = frozenset({Aspect.LOG})
LINES = 2000


class Log(QWidget):
    """Lines of the document's log.

    Attributes:
        text: The lines.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's log."""
        super().__init__(parent)
        self.document = document
        self._seen: tuple[str, ...] = ()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(LINES)
        self.text.setAccessibleName(self.tr("Log"))
        self.text.setPlaceholderText(self.tr("What happens is written down here."))
        copy = button(self.tr("Copy all"), "link")
        row = QHBoxLayout()
        row.addWidget(label(self.tr("The newest line is the last."), "caption"), 1)
        row.addWidget(copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.text, 1)
        copy.clicked.connect(self._copy)
        document.views.watch(SHOWN, self._changed)
        self._changed(SHOWN)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        lines, seen = self.document.log, self._seen
        if lines[: len(seen)] != seen:
            self.text.clear()
            seen = ()
        if lines[len(seen) :]:
            self.text.appendPlainText("\n".join(lines[len(seen) :]))
        self._seen = lines

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text.toPlainText())
