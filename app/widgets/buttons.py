"""Buttons: the one primary action, links inside text, and filter chips."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QWidget


def button(text: str, role: str = "", tip: str = "", parent: QWidget | None = None) -> QPushButton:
    """A button with a role of the style sheet; its text is its accessible name."""
    made = QPushButton(text, parent)
    made.setProperty("role", role)
    made.setAccessibleName(text)
    made.setAutoDefault(False)
    if tip:
        made.setToolTip(tip)
        made.setAccessibleDescription(tip)
    return made


class PrimaryButton(QPushButton):
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


class Chip(QPushButton):
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
