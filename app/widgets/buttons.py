"""Buttons: the one that acts, those of a fixed width, menus, links, filter chips. Scarce room elides their words.

`set_available` is for any widget: Qt hands the focus of a disabled widget to its neighbour, so one that has the focus
when it becomes unavailable looks disabled and takes no input, but stays where the keyboard is until the focus leaves.
"""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QDialog,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from ..theme import tokens
from .labels import Eliding, set_property
from .painting import chevron

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


PADDING = 26
"""Width in device-independent pixels that the style sheet leaves around a button's text, borders included."""
INSIDE, ROUND = 2.5, 4.0
"""Between the edge of a filled button and the focus frame in it, and the radius of that, the same."""


class Button(Eliding, QPushButton):
    """A button that may be narrower than its words, and then shows them in its tooltip."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        """Take the words."""
        super().__init__(text, parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def say(self, words: str) -> None:
        """Change the words, for readers of the screen too."""
        self.setText(words)
        self.setAccessibleName(words)

    def paintEvent(self, event: QPaintEvent) -> None:
        """As the style paints it, with the words that fit; one that is filled has a second focus frame inside.

        The frame of the style sheet is seen against what is around the button, this one against its filling.
        """
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = self.shown()
        painter = QStylePainter(self)
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        if self.hasFocus() and is_available(self) and (self.isChecked() or self.property("role") == "primary"):
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QColor(tokens().on_accent))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(INSIDE, INSIDE, -INSIDE, -INSIDE), ROUND, ROUND)


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


class ElidedButton(Button):
    """A button whose width does not depend on its words: what is too long is elided in the middle."""

    def __init__(self, letters: int, least: int = 0, parent: QWidget | None = None) -> None:
        """Take room for a number of average letters, and for `least` where there is no more room (0: the same)."""
        super().__init__("", parent)
        self._letters, self._least = letters, least or letters
        self.setAutoDefault(False)
        policy = QSizePolicy.Policy.Preferred if least else QSizePolicy.Policy.Fixed
        self.setSizePolicy(policy, QSizePolicy.Policy.Fixed)

    @property
    def elided(self) -> bool:
        """Whether only a part of the words is shown."""
        return self.shown() != self.text()

    def sizeHint(self) -> QSize:
        """As wide as its letters, whatever it says."""
        return QSize(self._width(self._letters), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """As wide as the least of them."""
        return QSize(self._width(self._least), super().sizeHint().height())

    def shown(self) -> str:
        """The words, shortened where they must be: those that end in dots anyway keep their beginning."""
        mode = Qt.TextElideMode.ElideRight if self.text().endswith("...") else Qt.TextElideMode.ElideMiddle
        return self.fontMetrics().elidedText(self.text(), mode, max(self.width() - PADDING, 0))

    def _width(self, letters: int) -> int:
        return letters * self.fontMetrics().averageCharWidth() + PADDING


class PrimaryButton(Button):
    """The next step, worded with what it will do."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        """Take the words."""
        super().__init__(text, parent)
        self.setProperty("role", "primary")
        self.setAccessibleName(text)


class MenuButton(QPushButton):
    """A button that opens a menu, which is made when it is asked for."""

    def __init__(self, text: str, fill: Callable[[QMenu], None], parent: QWidget | None = None) -> None:
        """Take the words, and what puts entries into an empty menu."""
        super().__init__(text, parent)
        self.setProperty("role", "menu")
        self.setAccessibleName(text)
        self.setAutoDefault(False)
        self._fill = fill
        self.clicked.connect(self._open_menu)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The button as the style paints it, and the arrow."""
        super().paintEvent(event)
        colour = tokens().text if is_available(self) else tokens().muted
        chevron(QPainter(self), QPointF(self.width() - 12.5, self.height() / 2), "down", colour)

    @Slot()
    def _open_menu(self) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.setToolTipsVisible(True)
        self._fill(menu)
        menu.popup(self.mapToGlobal(self.rect().bottomLeft()))


class Chip(Button):
    """A filter to switch on, with the number of what it would show."""

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
            # Setting the same text again would lay out all widgets around it.
            return
        self.setText(text)
        self.setAccessibleName(f"{self.title}, {counted}")
        self.setToolTip(counted)


def lay_out_question(dialog: QDialog, lines: Sequence[QWidget], buttons: Sequence[QPushButton]) -> None:
    """Fill a dialog.

    Args:
        dialog: Is empty.
        lines: From top to bottom.
        buttons: From left to right.
    """
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(20, 18, 20, 16)
    layout.setSpacing(12)
    for line in lines:
        layout.addWidget(line)
    layout.addStretch(1)
    row = QHBoxLayout()
    row.addStretch(1)
    for one in buttons:
        row.addWidget(one)
    layout.addLayout(row)
