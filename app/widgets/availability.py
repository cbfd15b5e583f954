"""What cannot be used now without losing the focus: Qt hands the focus of a disabled widget to its neighbour.

A widget that has the focus when it becomes unavailable looks disabled and takes no input, but stays where the keyboard
is. Once the focus leaves it, it is disabled like any other.
"""

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractSpinBox, QWidget

from .labels import set_property

INERT = "inert"
"""The property that the style sheet shows as disabled."""
TAKEN = frozenset(
    {
        QEvent.Type.MouseButtonPress,
        QEvent.Type.MouseButtonRelease,
        QEvent.Type.MouseButtonDblClick,
        QEvent.Type.Wheel,
        QEvent.Type.ContextMenu,
        QEvent.Type.InputMethod,
    }
)
"""Input that an inert widget does not get."""
KEYS = frozenset({QEvent.Type.KeyPress, QEvent.Type.KeyRelease, QEvent.Type.ShortcutOverride})
MOVES = (Qt.Key.Key_Tab, Qt.Key.Key_Backtab)


def set_available(widget: QWidget, available: bool) -> None:
    """Enable a widget, or disable it without taking the focus from it."""
    gate = widget.findChild(_Gate)
    if available:
        if gate is not None:
            gate.open()
        widget.setEnabled(True)
    elif widget.hasFocus():
        (gate or _Gate(widget)).close()
    elif gate is None or not gate.closed:
        widget.setEnabled(False)


def is_available(widget: QWidget) -> bool:
    """Whether a widget takes input."""
    return widget.isEnabled() and not widget.property(INERT)


class _Gate(QObject):
    """Keeps input from a widget while it is closed.

    Attributes:
        closed: Whether it is.
    """

    def __init__(self, widget: QWidget) -> None:
        """Stand before a widget, and the line of a spin box, which gets the clicks."""
        super().__init__(widget)
        self._widget = widget
        self.closed = False
        inside = [widget.lineEdit()] if isinstance(widget, QAbstractSpinBox) else []
        for each in (widget, *inside):
            each.installEventFilter(self)

    def close(self) -> None:
        """Let no input through."""
        self.closed = True
        set_property(self._widget, INERT, True)

    def open(self) -> None:
        """Let it through again."""
        self.closed = False
        set_property(self._widget, INERT, None)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take input away; keys that it has no use for go on to the window, Tab among them."""
        if not self.closed:
            return False
        if event.type() is QEvent.Type.FocusOut:
            QTimer.singleShot(0, self, self._disable)
        if isinstance(event, QKeyEvent) and event.type() in KEYS:
            moves = event.type() is QEvent.Type.KeyPress and event.key() in MOVES
            if not moves:
                event.ignore()
            return not moves
        return event.type() in TAKEN

    def _disable(self) -> None:
        """Disable the widget once the focus is elsewhere."""
        if self.closed and not self._widget.hasFocus():
            self.open()
            self._widget.setEnabled(False)
