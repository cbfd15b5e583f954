"""Words in too little room: shortened with dots, and told whole in a tooltip.

Labels, buttons, combo boxes and headings of views all go by this: each asks for the room of its whole text, may be
given less, and then elides.
"""

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHelpEvent
from PySide6.QtWidgets import QToolTip, QWidget

FEW = 5
"""Average letters that stay, and the dots, where room is scarcest."""


def shortened(name: str, room: float, measure: QFontMetrics) -> str:
    """A name in as many words as there is room for, from its end; of the last word the end.

    The end of a name tells most: a number, or the last part of a path.
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
