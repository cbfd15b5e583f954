"""A scroll area that shows what it holds in full where there is room, and scrolls over it where there is not."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from ..theme import px

LEAST = QSize(160, 72)
"""Size to which it may shrink, in pixels at the first size of text."""


class Pane(QScrollArea):
    """Holds a widget that may need more room than there is, so that nothing of it is cut off."""

    def __init__(self, held: QWidget) -> None:
        """Hold a widget."""
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what is in it has the focus, and is scrolled to
        self.setWidgetResizable(True)
        self.setWidget(held)

    def minimumSizeHint(self) -> QSize:
        """Little: the rest is scrolled to."""
        return QSize(px(LEAST.width()), px(LEAST.height()))

    def sizeHint(self) -> QSize:
        """That of what it holds."""
        held = self.widget()
        return super().sizeHint() if held is None else held.sizeHint()
