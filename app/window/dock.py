"""Docks without title bars, and their sizes.

A dock is a card with a thin grip above it, to drag it by, to float it, and to move it by keys. The size that a person
drags it to is what is wanted, whatever the window does meanwhile: in a smaller window the docks give way to the middle,
and they grow back with the window. Places are Qt's own (`QMainWindow.saveState`), sizes are not: Qt would give a small
window the docks of a large one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QColor, QContextMenuEvent, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QDockWidget, QMainWindow, QMenu, QSizePolicy, QWidget

from ..theme import px, theme, tokens

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
        home: Its first place.
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


ACROSS, DOWN = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
FIRST = {ACROSS: {"model": 440, "inspector": 318}, DOWN: {"work": 240}}
"""First widths of docks left and right of the middle, and heights of those below it, in device-independent pixels."""
MOST = {ACROSS: 0.6, DOWN: 0.4}
"""Share of the room that docks take together at most, unless a hand gave them more."""
MIDDLE = {ACROSS: 340, DOWN: 230}
"""What the middle and the spaces around it keep, whatever share a hand gave to the docks of a larger window, unless it
left the middle less."""
NAMES = {ACROSS: "across", DOWN: "down"}
"""Of the orientations, where sizes are kept."""


@dataclass(slots=True)
class _Wanted:
    """What is wanted in one orientation.

    Attributes:
        sizes: Widths or heights by name of the dock.
        share: Of the room that they were given.
        middle: Least that the middle keeps.
    """

    sizes: dict[str, int]
    share: float
    middle: int


class DockSizes(QObject):
    """Fits docks into the room of their holder."""

    def __init__(self, holder: QMainWindow, docks: Mapping[str, Dock]) -> None:
        """Begin with the first sizes."""
        super().__init__(holder)
        self._holder, self._docks = holder, docks
        # Sizes when a mouse button went down; empty while none is down.
        self._before = dict[str, QSize]()
        self._wanted = _first_sizes()
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self.fit)
        holder.installEventFilter(self)
        theme().changed.connect(self._soon.start)
        for dock in docks.values():
            dock.dockLocationChanged.connect(self._soon.start)
            dock.topLevelChanged.connect(self._soon.start)
            dock.visibilityChanged.connect(self._soon.start)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Another room: fit into it. The space between two docks was dragged: the sizes are wanted as they are now."""
        if event.type() is QEvent.Type.Resize:
            self._soon.start()
        elif event.type() is QEvent.Type.MouseButtonPress:
            self._before = {name: dock.size() for name, dock in self._docks.items()}
        elif event.type() is QEvent.Type.MouseButtonRelease:
            QTimer.singleShot(0, self._want_dragged)
        return super().eventFilter(watched, event)

    @Slot()
    def fit(self) -> None:
        """Give each dock the size that is wanted, as far as there is room for the middle too."""
        if not self._holder.isVisible():
            return
        for along in (ACROSS, DOWN):
            docks, wanted = self._docked(along), self._wanted[along]
            # A dock that was moved here has no wanted size yet.
            for dock in docks:
                wanted.sizes.setdefault(dock.objectName(), _extent(dock.size(), along))
            room, taken = _extent(self._holder.size(), along), self._taken(along)
            allowed = min(max(MOST[along], wanted.share) * room, room - wanted.middle)
            part = min(1.0, max(allowed, 0) / max(taken, 1))
            self._holder.resizeDocks(docks, [round(part * wanted.sizes[dock.objectName()]) for dock in docks], along)
        layout = self._holder.layout()
        assert layout is not None
        # Qt applies the sizes at its next layout only, so lay out now.
        layout.invalidate()
        layout.activate()

    def reset(self) -> None:
        """As large as at first."""
        self._wanted = _first_sizes()
        self.fit()

    def kept(self) -> dict[str, Any]:
        """What is wanted, for the settings."""
        return {NAMES[along]: [one.sizes, one.share, one.middle] for along, one in self._wanted.items()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Want what was wanted at the last start; what cannot be read is as at first."""
        self._wanted = _first_sizes()
        for along, name in NAMES.items():
            match kept.get(name):
                case [dict(sizes), float(share), int(middle)] if all(type(size) is int for size in sizes.values()):
                    self._wanted[along] = _Wanted({str(dock): size for dock, size in sizes.items()}, share, middle)
                case _:
                    pass
        self.fit()

    @Slot()
    def _want_dragged(self) -> None:
        """Want what a hand changed, and in that orientation alone: the other may be small for want of room."""
        pressed, self._before = self._before, {}
        for along in (ACROSS, DOWN):
            docks = {dock.objectName(): dock for dock in self._docked(along)}
            if pressed and any(
                _extent(pressed[name], along) != _extent(one.size(), along) for name, one in docks.items()
            ):
                wanted = self._wanted[along]
                wanted.sizes |= {name: _extent(one.size(), along) for name, one in docks.items()}
                room, taken = _extent(self._holder.size(), along), self._taken(along)
                wanted.share, wanted.middle = taken / max(room, 1), max(0, min(px(MIDDLE[along]), room - taken))

    def _taken(self, along: Qt.Orientation) -> int:
        """What the docks take in their wanted sizes: of those in one column or row the largest."""
        columns = dict[int, int]()
        for dock in self._docked(along):
            place = dock.geometry()
            begin = place.left() if along is ACROSS else place.top()
            columns[begin] = max(columns.get(begin, 0), self._wanted[along].sizes.get(dock.objectName(), 0))
        return sum(columns.values())

    def _docked(self, along: Qt.Orientation) -> list[Dock]:
        """The docks left and right of the middle, or above and below it."""
        sides = (Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea)
        docked = (dock for dock in self._docks.values() if not dock.isFloating() and dock.isVisibleTo(self._holder))
        return [dock for dock in docked if (self._holder.dockWidgetArea(dock) in sides) is (along is ACROSS)]


def _first_sizes() -> dict[Qt.Orientation, _Wanted]:
    """Of both orientations."""
    sizes = {along: {name: px(size) for name, size in first.items()} for along, first in FIRST.items()}
    return {along: _Wanted(sizes[along], MOST[along], px(MIDDLE[along])) for along in (ACROSS, DOWN)}


def _extent(size: QSize, along: Qt.Orientation) -> int:
    return size.width() if along is ACROSS else size.height()
