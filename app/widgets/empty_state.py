"""What an empty panel shows: what it is for, and the one step that fills it."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from .buttons import button
from .labels import label


class EmptyState(QWidget):
    """A title, a sentence and perhaps one button.

    Signals:
        stepped: The button was pressed.
    """

    stepped = Signal()

    def __init__(self, title: str, sentence: str, step: str = "", parent: QWidget | None = None) -> None:
        """Take the words; without `step` there is no button."""
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 16, 16, 16)
        layout.setSpacing(8)
        layout.addStretch(1)
        self._title = label(title, "heading", wrap=True)
        self._sentence = label(sentence, "muted", wrap=True)
        for each in (self._title, self._sentence):
            each.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(each)
        self.step = button(step)
        self.step.clicked.connect(self.stepped)
        self.step.setVisible(bool(step))
        layout.addWidget(self.step, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(2)

    def say(self, title: str, sentence: str, step: str = "") -> None:
        """Change the words."""
        self._title.setText(title)
        self._sentence.setText(sentence)
        self.step.setText(step)
        self.step.setAccessibleName(step)
        self.step.setVisible(bool(step))
