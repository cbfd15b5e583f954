"""What an empty panel shows: what it is for, and the one step that fills it."""

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal, Slot
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
        self._act: Callable[[], None] | None = None
        self.step.clicked.connect(self._take_step)
        layout.addWidget(self.step, 0, Qt.AlignmentFlag.AlignHCenter)
        # Only now: without a parent it would be shown as a window of its own.
        self.step.setVisible(bool(step))
        layout.addStretch(2)

    def say(self, title: str, sentence: str, step: str = "", act: Callable[[], None] | None = None) -> None:
        """Change the words; `act` is what the button does instead of `stepped`."""
        self._act = act
        self._title.setText(title)
        self._sentence.setText(sentence)
        self.step.setText(step)
        self.step.setAccessibleName(step)
        self.step.setVisible(bool(step))

    @Slot()
    def _take_step(self) -> None:
        if self._act is not None:
            self._act()
        else:
            self.stepped.emit()
