"""Names in too little room: their end tells most, a number or the last part of a path."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics


def shortened(name: str, room: float, measure: QFontMetrics) -> str:
    """A name in as many words as there is room for, from its end; of the last word the end."""
    while measure.horizontalAdvance(name) > room and " " in name:
        name = name.partition(" ")[2]
    return measure.elidedText(name, Qt.TextElideMode.ElideLeft, int(room))
