"""Buttons: the one primary action, links inside text, and filter chips. Where room is scarce their words elide."""

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QPushButton, QSizePolicy, QStyle, QStyleOptionButton, QStylePainter, QWidget

from .elide import least, tell_whole


class Button(QPushButton):
    """A button that may be narrower than its words, and then tells them."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        """Take the words."""
        super().__init__(text, parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        """Room for a few letters."""
        return least(self.sizeHint(), self.text(), self.fontMetrics())

    def shown(self) -> str:
        """The words, shortened where they must be."""
        whole, measure = self.text(), self.fontMetrics()
        over = self.sizeHint().width() - self.width()
        if over <= 0:
            return whole
        return measure.elidedText(whole, Qt.TextElideMode.ElideRight, measure.horizontalAdvance(whole) - over)

    def event(self, event: QEvent) -> bool:
        """Tell what does not fit."""
        hidden = event.type() is QEvent.Type.ToolTip and self.shown() != self.text()
        return tell_whole(event, self, self.text() if hidden else "") or super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """As the style paints it, with the words that fit."""
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = self.shown()
        QStylePainter(self).drawControl(QStyle.ControlElement.CE_PushButton, option)


def button(text: str, role: str = "", tip: str = "", parent: QWidget | None = None) -> QPushButton:
    """A button with a role of the style sheet; its text is its accessible name."""
    made = Button(text, parent)
    made.setProperty("role", role)
    made.setAccessibleName(text)
    made.setAutoDefault(False)
    if tip:
        made.setToolTip(tip)
        made.setAccessibleDescription(tip)
    return made


class PrimaryButton(Button):
    """The next step, worded with what it will do."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        """Take the words."""
        super().__init__(text, parent)
        self.setProperty("role", "primary")
        self.setAccessibleName(text)

    def say(self, text: str) -> None:
        """Change the words, for readers of the screen too."""
        self.setText(text)
        self.setAccessibleName(text)


class Chip(Button):
    """A filter to switch on, with how many it would show."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        """Take the filter's name."""
        super().__init__(title, parent)
        self.title = title
        self.setProperty("role", "chip")
        self.setCheckable(True)
        self.setAccessibleName(title)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAutoDefault(False)

    def tell(self, number: str, counted: str) -> None:
        """Show a number; `counted` says in the tooltip what was counted."""
        if (text := f"{self.title} {number}") == self.text():
            return  # saying it again lays out all around it
        self.setText(text)
        self.setAccessibleName(f"{self.title}, {counted}")
        self.setToolTip(counted)
