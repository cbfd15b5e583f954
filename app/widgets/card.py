"""Surfaces: the card that panels are on, rounded with a hairline; a popup; the bar of an error; empty panels."""

from collections.abc import Callable

from PySide6.QtCore import QRect, QSize, Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from .buttons import button
from .labels import label


class Card(QFrame):
    """A panel surface.

    Attributes:
        body: Vertical layout to fill.
    """

    def __init__(self, parent: QWidget | None = None, margin: int = 12, role: str = "card") -> None:
        """Lay out with a margin in device-independent pixels."""
        super().__init__(parent)
        self.setProperty("role", role)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(margin, margin, margin, margin)
        self.body.setSpacing(6)


def corner_place(card: Card, room: QSize, width: int, gap: int, right: bool = True) -> QRect:
    """Where a card is that floats in a lower corner, as high as its words need; all in device-independent pixels.

    Args:
        card: What floats.
        room: Size of what is below it.
        width: Of the card, where there is room for it.
        gap: Between the card and the edges.
        right: In the right corner, not in the left one.
    """
    wide = min(max(width, card.minimumSizeHint().width()), room.width() - 2 * gap)
    card.body.activate()
    height = max(card.heightForWidth(wide), card.body.minimumHeightForWidth(wide))
    return QRect(room.width() - wide - gap if right else gap, room.height() - height - gap, wide, height)


class Popup(QFrame):
    """Holds a widget that has no place of its own at the moment; a click elsewhere or Escape closes it."""

    def __init__(self, parent: QWidget) -> None:
        """Start empty."""
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("role", "card")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 10, 10, 10)

    def hold(self, widget: QWidget) -> None:
        """Take a widget in."""
        layout = self.layout()
        assert layout is not None
        layout.addWidget(widget)
        widget.show()

    def open_below(self, button: QWidget) -> None:
        """Show it under a button."""
        self.adjustSize()
        self.move(button.mapToGlobal(button.rect().bottomLeft()))
        self.show()
        held = self.findChild(QWidget)
        if held is not None and (first := held.nextInFocusChain()) is not None:
            first.setFocus(Qt.FocusReason.PopupFocusReason)


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
        self.fold.clicked.connect(self._toggle_details)
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
    def _toggle_details(self) -> None:
        folded = self.details.isHidden()
        self.details.setVisible(folded)
        self.fold.setText(self.tr("Hide details") if folded else self.tr("Details"))

    @Slot()
    def _copy(self) -> None:
        text = "\n\n".join(t for t in (self.sentence.text(), self.details.toPlainText()) if t)
        QGuiApplication.clipboard().setText(text)


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
