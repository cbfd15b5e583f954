"""How large docks are wanted, and how large they are in the room there is: the middle keeps enough to be read.

What a person drags is wanted, whatever the window does meanwhile: in a smaller window the docks give way to the middle,
and they grow back with the window. Places are Qt's own (`QMainWindow.saveState`), sizes are not: it would give a small
window the docks of a large one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QEvent, QObject, QRect, QSize, Qt, QTimer, Slot
from PySide6.QtWidgets import QMainWindow

from ..theme import px, theme
from .dock import Dock

ACROSS, DOWN = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
FIRST = {ACROSS: {"model": 440, "inspector": 318}, DOWN: {"work": 240}}
"""Widths of docks beside the middle, and heights of those below it, at first, in device-independent pixels."""
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
        self._before = dict[str, QSize]()  # when a button of the mouse went down; empty while none is
        self._wanted = _at_first()
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
            QTimer.singleShot(0, self._dragged)
        return super().eventFilter(watched, event)

    @Slot()
    def fit(self) -> None:
        """Give each dock the size that is wanted, as far as there is room for the middle too."""
        if not self._holder.isVisible():
            return
        for along in (ACROSS, DOWN):
            docks, wanted = self._docked(along), self._wanted[along]
            for dock in docks:  # one that a hand moved here
                wanted.sizes.setdefault(dock.objectName(), _extent(dock.size(), along))
            room, taken = _extent(self._holder.size(), along), self._taken(along)
            allowed = min(max(MOST[along], wanted.share) * room, room - wanted.middle)
            part = min(1.0, max(allowed, 0) / max(taken, 1))
            self._holder.resizeDocks(docks, [round(part * wanted.sizes[dock.objectName()]) for dock in docks], along)
        layout = self._holder.layout()
        assert layout is not None
        layout.invalidate()  # Qt notes the sizes, and gives them at the next layout, whenever that is
        layout.activate()

    def reset(self) -> None:
        """As large as at first."""
        self._wanted = _at_first()
        self.fit()

    def kept(self) -> dict[str, Any]:
        """What is wanted, for the settings."""
        return {NAMES[along]: [one.sizes, one.share, one.middle] for along, one in self._wanted.items()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Want what was wanted at the last start; what cannot be read is as at first.

        Version 0.1 kept nothing but where docks were, with their sizes: these are wanted then.
        """
        if not kept:
            for along in (ACROSS, DOWN):
                self._want_present(along)
        else:
            self._wanted = {along: _read(kept.get(NAMES[along])) or one for along, one in _at_first().items()}
        self.fit()

    @Slot()
    def _dragged(self) -> None:
        """Want what a hand changed, and in that orientation alone: the other may be small for want of room."""
        pressed, self._before = self._before, {}
        for along in (ACROSS, DOWN):
            docks = {dock.objectName(): dock for dock in self._docked(along)}
            if pressed and any(
                _extent(pressed[name], along) != _extent(one.size(), along) for name, one in docks.items()
            ):
                self._want_present(along)

    def _want_present(self, along: Qt.Orientation) -> None:
        """Want the docks as large as they are."""
        wanted = self._wanted[along]
        wanted.sizes |= {dock.objectName(): _extent(dock.size(), along) for dock in self._docked(along)}
        room, taken = _extent(self._holder.size(), along), self._taken(along)
        wanted.share, wanted.middle = taken / max(room, 1), max(0, min(px(MIDDLE[along]), room - taken))

    def _taken(self, along: Qt.Orientation) -> int:
        """What the docks take as they are wanted: of those that lie one over the other the largest."""
        columns = dict[int, int]()
        for dock in self._docked(along):
            begin = _begin(dock.geometry(), along)
            columns[begin] = max(columns.get(begin, 0), self._wanted[along].sizes.get(dock.objectName(), 0))
        return sum(columns.values())

    def _docked(self, along: Qt.Orientation) -> list[Dock]:
        """The docks beside the middle, or above and below it."""
        sides = (Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea)
        docked = (dock for dock in self._docks.values() if not dock.isFloating() and dock.isVisibleTo(self._holder))
        return [dock for dock in docked if (self._holder.dockWidgetArea(dock) in sides) is (along is ACROSS)]


def _at_first() -> dict[Qt.Orientation, _Wanted]:
    """Of both orientations."""
    sizes = {along: {name: px(size) for name, size in first.items()} for along, first in FIRST.items()}
    return {along: _Wanted(sizes[along], MOST[along], px(MIDDLE[along])) for along in (ACROSS, DOWN)}


def _read(kept: Any) -> _Wanted | None:
    """What `kept` gave for one orientation; None for anything else."""
    match kept:
        case [dict(sizes), float(share), int(middle)] if all(type(size) is int for size in sizes.values()):
            return _Wanted({str(name): size for name, size in sizes.items()}, share, middle)
        case _:
            return None


def _extent(size: QSize, along: Qt.Orientation) -> int:
    return size.width() if along is ACROSS else size.height()


def _begin(place: QRect, along: Qt.Orientation) -> int:
    return place.left() if along is ACROSS else place.top()
