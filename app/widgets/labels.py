"""Labels that say what they are by a role. None is ever clipped: one line elides, several break where they must.

Buttons, combo boxes and headings of views elide as labels do (`Eliding`): each asks for the room of its whole text, may
be given less, and then elides, with the whole text in its tooltip.
"""

import re
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    Widget = QWidget
else:
    # At run time Qt's own class comes after it among the bases.
    Widget = object

FEW = 5
"""Average letters that stay, and the dots, where room is scarcest."""


def shortened(name: str, room: float, measure: QFontMetrics) -> str:
    """A name in as many words as there is room for, from its end; of the last word the end.

    The end of a name says most: a number, or the last part of a path.
    """
    while measure.horizontalAdvance(name) > room and " " in name:
        name = name.partition(" ")[2]
    return measure.elidedText(name, Qt.TextElideMode.ElideLeft, int(room))


def least(whole: QSize, text: str, measure: QFontMetrics) -> QSize:
    """The least size of a widget that elides its text.

    Args:
        whole: Its size with all of the text.
        text: The text.
        measure: Of its font.
    """
    some = measure.averageCharWidth() * FEW + measure.horizontalAdvance("\u2026")
    return QSize(whole.width() - max(0, measure.horizontalAdvance(text) - some), whole.height())


def tell_whole(event: QEvent, widget: QWidget, text: str) -> bool:
    """Answer a mouse at rest on a widget with its whole text, above what its own tooltip says.

    Args:
        event: Any event of the widget.
        widget: The widget.
        text: The whole text; "" where nothing of it is hidden.

    Returns:
        Whether the event was answered.
    """
    if not text or not isinstance(event, QHelpEvent) or event.type() is not QEvent.Type.ToolTip:
        return False
    own = widget.toolTip()
    QToolTip.showText(event.globalPos(), text if own in ("", text) else f"{text}\n{own}", widget)
    return True


class Eliding(Widget):
    """A widget with words that may be narrower than these, and then shows them in its tooltip.

    It comes before Qt's class among the bases.
    """

    def words(self) -> str:
        """All of them."""
        return str(self.property("text"))

    def shown(self) -> str:
        """What is painted of them: shortened at the end where room is scarce."""
        whole, measure = self.words(), self.fontMetrics()
        over = self.sizeHint().width() - self.width()
        if over <= 0:
            return whole
        return measure.elidedText(whole, Qt.TextElideMode.ElideRight, measure.horizontalAdvance(whole) - over)

    def hidden(self) -> str:
        """What the tooltip adds: all words, "" where they are shown."""
        whole = self.words()
        return "" if self.shown() == whole else whole

    def minimumSizeHint(self) -> QSize:
        """Room for a few letters."""
        return least(self.sizeHint(), self.words(), self.fontMetrics())

    def event(self, event: QEvent) -> bool:
        """Show what does not fit in the tooltip."""
        shown = event.type() is QEvent.Type.ToolTip and tell_whole(event, self, self.hidden())
        return shown or super().event(event)


LONG = re.compile(r"\S{24,}")
"""A word that a narrow panel may have no line for: a path."""
JOINTS = re.compile(r"(?<=[./\\_:=-])(?=\w)")
"""Where such a word may be broken."""
BREAK = "\u200b"
UNIT = re.compile(r"(?<=\d) (?=(?:ms|s|min|h|pt|[kMGT]?B|[kMGT])\b|%)")
"""Between a number and its unit, which stay in one line."""


def label(text: str = "", role: str = "", wrap: bool = False, parent: QWidget | None = None) -> QLabel:
    """A plain-text label; roles: caption, muted, strong, heading, number, good, marked, code (see the style sheet)."""
    made = WrappedLabel(text, role, parent) if wrap else ElidedLabel(text, role, parent)
    if not wrap:
        made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
    return made


def set_role(of: QWidget, role: str) -> None:
    """Change what a widget is and let the style sheet see it."""
    set_property(of, "role", role)


def set_property(of: QWidget, name: str, value: object) -> None:
    """Change a property that the style sheet looks at, and let it see that."""
    if of.property(name) != value:
        of.setProperty(name, value)
        of.style().unpolish(of)
        of.style().polish(of)


class WrappedLabel(QLabel):
    """Words in as many lines as they need; a path may be broken at its dots, a number and its unit are not."""

    def __init__(self, text: str = "", role: str = "", parent: QWidget | None = None) -> None:
        """Take a text and a role of the style sheet."""
        super().__init__(parent)
        self._words = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        if role:
            self.setProperty("role", role)
        self.setWordWrap(True)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        # A new policy does not know that words wrap.
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show a text."""
        self._words = text
        whole = UNIT.sub("\u00a0", text)
        super().setText(LONG.sub(lambda found: JOINTS.sub(BREAK, found[0]), whole))

    def text(self) -> str:
        """What is shown, without the places to break it at."""
        return self._words


class ElidedLabel(Eliding, QLabel):
    """A label for text of any length: elides in the middle and shows the whole text in a tooltip."""

    def __init__(self, text: str = "", role: str = "", parent: QWidget | None = None, tells: bool = True) -> None:
        """Take a text and a role of the style sheet; one that does not tell has a tooltip of its own."""
        super().__init__(text, parent)
        self._tells = tells
        self.setTextFormat(Qt.TextFormat.PlainText)
        if role:
            self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def shown(self) -> str:
        """The text, shortened where it must be."""
        # One pixel more: what rounding takes is no reason to shorten the text.
        room = self.contentsRect().width() + 1
        return self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, room)

    def hidden(self) -> str:
        """Nothing where it has a tooltip of its own."""
        return super().hidden() if self._tells else ""

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what fits."""
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        area = self.contentsRect()
        painter.drawText(area, int(self.alignment() | Qt.AlignmentFlag.AlignVCenter), self.shown())
