"""A scroll area that shows what it holds in full where there is room, and scrolls over it where there is not."""

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QStackedLayout, QWidget

from ..theme import px

LEAST = QSize(160, 72)
"""Size to which it may shrink, in pixels at the first size of text."""


class Pane(QScrollArea):
    """Holds a widget that may need more room than there is, so that nothing of it is cut off.

    Qt's own way of resizing what is held goes by its preferred height where words wrap; here it is the least.
    """

    def __init__(self, held: QWidget) -> None:
        """Hold a widget."""
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        # The widgets in it take the focus, and are scrolled to.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(held)
        held.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)
        held.installEventFilter(self)

    def minimumSizeHint(self) -> QSize:
        """Little: the rest is scrolled to."""
        return QSize(px(LEAST.width()), px(LEAST.height()))

    def sizeHint(self) -> QSize:
        """That of what it holds."""
        held = self.widget()
        return super().sizeHint() if held is None else held.sizeHint()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """What is held needs another size, or shows another page."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
            self._fit()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fill the room: what is held learns how much there is, and what it then leaves out needs none."""
        super().resizeEvent(event)
        if (held := self.widget()) is not None:
            held.resize(self.maximumViewportSize())
        self._fit()

    def _fit(self) -> None:
        """As large as the room, or as what is held must be; a scroll bar takes some of the room."""
        held = self.widget()
        if held is None:
            return
        room = self.maximumViewportSize()
        width = max(room.width(), held.minimumSizeHint().width())
        bar = self.verticalScrollBar().sizeHint().width()
        if least_height(held, width) > room.height():
            width = max(room.width() - bar, held.minimumSizeHint().width())
        held.resize(width, max(room.height(), least_height(held, width)))


def least_height(widget: QWidget, width: int) -> int:
    """Height that a widget must have at a width, of what it shows now."""
    layout = widget.layout()
    if isinstance(layout, QStackedLayout) and (shown := layout.currentWidget()) is not None:
        around = layout.contentsMargins()
        inner = least_height(shown, width - around.left() - around.right())
        return inner + around.top() + around.bottom()
    if layout is not None and layout.hasHeightForWidth():
        return layout.totalMinimumHeightForWidth(width)
    return widget.minimumSizeHint().height()
