"""A small window of fields under the button that opens it."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget


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
