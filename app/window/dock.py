"""Docks without title bars: a card with a thin grip above it, to drag it by, to float it, and to move it by keys."""

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QColor, QContextMenuEvent, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QDockWidget, QMainWindow, QMenu, QSizePolicy, QWidget

from ..theme import tokens

THICK = 8
"""Height of a grip in device-independent pixels."""
DOTS, APART = 5, 6
"""Dots of a grip, and how far they are from each other."""
MENU_KEYS = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Menu)


class Grip(QWidget):
    """The handle of a dock. Presses go on to the dock itself, which moves."""

    def __init__(self, dock: "Dock") -> None:
        """Belong to a dock."""
        super().__init__(dock)
        self._dock = dock
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setAccessibleName(self.tr("Move panel: {0}").format(dock.windowTitle()))
        self.setToolTip(
            self.tr("Drag to move {0}. Double-click to float it. Press Space for more.").format(dock.windowTitle())
        )

    def sizeHint(self) -> QSize:
        """Thin."""
        return QSize(40, THICK)

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """A few dots; a ring where keys brought the focus."""
        painter, look = QPainter(self), tokens()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.muted if self.underMouse() or self.hasFocus() else look.edge))
        middle, left = self.height() / 2, self.width() / 2 - (DOTS - 1) * APART / 2
        for number in range(DOTS):
            painter.drawEllipse(QRectF(left + number * APART - 1.25, middle - 1.25, 2.5, 2.5))
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent), 1))
            painter.drawRoundedRect(QRectF(left - 8, 0.5, (DOTS - 1) * APART + 16, self.height() - 1), 3, 3)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys open the menu."""
        if event.key() in MENU_KEYS:
            self._dock.menu().popup(self.mapToGlobal(QPoint(self.width() // 2, self.height())))
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Where the panel can go."""
        self._dock.menu().popup(event.globalPos())


class Dock(QDockWidget):
    """A panel that can be moved, floated and hidden.

    Attributes:
        home: Where it lies at first.
    """

    def __init__(self, name: str, title: str, home: Qt.DockWidgetArea, holder: QMainWindow) -> None:
        """Lie in a holder; `name` is what its place is remembered by."""
        super().__init__(title, holder)
        self.home, self._holder = home, holder
        self.setObjectName(name)
        self.setTitleBarWidget(Grip(self))

    def menu(self) -> QMenu:
        """Where it can go."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        places = (
            (self.tr("Move to the left"), Qt.DockWidgetArea.LeftDockWidgetArea),
            (self.tr("Move to the right"), Qt.DockWidgetArea.RightDockWidgetArea),
            (self.tr("Move to the bottom"), Qt.DockWidgetArea.BottomDockWidgetArea),
            (self.tr("Move to the top"), Qt.DockWidgetArea.TopDockWidgetArea),
        )
        here = None if self.isFloating() else self._holder.dockWidgetArea(self)
        for text, place in places:
            entry = menu.addAction(text, lambda place=place: self.move_to(place))
            entry.setEnabled(place is not here)
        menu.addSeparator()
        menu.addAction(self.tr("Dock again") if self.isFloating() else self.tr("Float"), self.toggle_float)
        menu.addAction(self.tr("Hide; show it again from the View menu"), self.hide)
        return menu

    def move_to(self, place: Qt.DockWidgetArea) -> None:
        """Lie at another side."""
        self.setFloating(False)
        self._holder.addDockWidget(place, self)
        self.show()

    @Slot()
    def toggle_float(self) -> None:
        """A window of its own, or back."""
        self.setFloating(not self.isFloating())

    def go_home(self) -> None:
        """As at first."""
        self.move_to(self.home)
