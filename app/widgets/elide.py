"""Words in too little room: shortened with dots, and whole in a tooltip.

Labels, buttons, combo boxes and headings of views all go by this: each asks for the room of its whole text, may be
given less, and then elides.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHelpEvent
from PySide6.QtWidgets import QToolTip, QWidget

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
