"""Labels that say what they are by a role, and one that elides where a text of any length may come."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget


def label(text: str = "", role: str = "", wrap: bool = False, parent: QWidget | None = None) -> QLabel:
    """A plain-text label; roles: caption, muted, strong, heading, number, good, marked, code (see the style sheet)."""
    made = QLabel(text, parent)
    made.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        made.setProperty("role", role)
    if wrap:
        made.setWordWrap(True)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)  # a new policy knows nothing of the wrapping
        made.setSizePolicy(policy)
    return made


def set_role(of: QWidget, role: str) -> None:
    """Change what a widget is and let the style sheet see it."""
    if of.property("role") != role:
        of.setProperty("role", role)
        of.style().unpolish(of)
        of.style().polish(of)


class ElidedLabel(QLabel):
    """A label for names of any length: elides in the middle and tells the whole text in a tooltip."""

    def __init__(self, text: str = "", role: str = "", parent: QWidget | None = None, tells: bool = True) -> None:
        """Take a text and a role of the style sheet; one that does not tell has a tooltip of its own."""
        super().__init__(text, parent)
        self._tells = tells
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        """Room for a few letters."""
        return QSize(24, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the text, shortened where it must be."""
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, self.width())
        if self._tells:
            self.setToolTip(self.text() if shown != self.text() else "")
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        painter.drawText(self.rect(), int(self.alignment() | Qt.AlignmentFlag.AlignVCenter), shown)
