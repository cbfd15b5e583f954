"""The area of the panels: tree at the left, views and work in the middle, inspector at the right; docks that move.

The panels' modules are imported in another thread, because the plots' library alone takes a quarter of a second;
widgets are made in the interface's own thread.

A dock is a card with a thin grip above it, to drag it by, to float it, and to move it by keys. The size that a person
drags it to is what is wanted, whatever the window does meanwhile: in a smaller window the docks give way to the middle,
and they grow back with the window. Places are Qt's own (`QMainWindow.saveState`), sizes are not: Qt would give a small
window the docks of a large one.
"""

import contextlib
import importlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QContextMenuEvent, QHideEvent, QKeyEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QMainWindow,
    QMenu,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..jobs.workbench import Workbench
from ..panels.registry import PANELS, PanelEntry
from ..storage import settings
from ..storage.background import BackgroundTasks
from ..theme import px, theme, tokens
from ..widgets.card import Card
from ..widgets.pane import Pane
from ..widgets.plot_export import Drawing
from ..widgets.tabs import Tabs
from .pages import ALL, INSPECTOR, MODEL, PAGES, WORK

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
FIRST = {MODEL: 440, INSPECTOR: 318}
"""First widths of docks left and right of the middle, in device-independent pixels."""
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
        self._wanted = _first_sizes(PAGES[ALL].height)
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
            QTimer.singleShot(0, self._take_dragged_sizes)
        return super().eventFilter(watched, event)

    @Slot()
    def fit(self) -> None:
        """Give each dock the size that is wanted, as far as there is room for the middle too."""
        if not self._holder.isVisible():
            return
        for along in (ACROSS, DOWN):
            docks, wanted = self._docks_along(along), self._wanted[along]
            # A dock that was moved here has no wanted size yet.
            for dock in docks:
                wanted.sizes.setdefault(dock.objectName(), _extent(dock.size(), along))
            room, taken = _extent(self._holder.size(), along), self._wanted_extent(along)
            allowed = min(max(MOST[along], wanted.share) * room, room - wanted.middle)
            part = min(1.0, max(allowed, 0) / max(taken, 1))
            self._holder.resizeDocks(docks, [round(part * wanted.sizes[dock.objectName()]) for dock in docks], along)
        layout = self._holder.layout()
        assert layout is not None
        # Qt applies the sizes at its next layout only, so lay out now.
        layout.invalidate()
        layout.activate()

    def kept(self) -> dict[str, Any]:
        """What is wanted, for the settings."""
        return {NAMES[along]: [one.sizes, one.share, one.middle] for along, one in self._wanted.items()}

    def restore(self, kept: Mapping[str, Any], height: int) -> None:
        """Want what was wanted before; what cannot be read is as at first, the work of a height."""
        self._wanted = _first_sizes(height)
        for along, name in NAMES.items():
            match kept.get(name):
                case [dict(sizes), float(share), int(middle)] if all(type(size) is int for size in sizes.values()):
                    self._wanted[along] = _Wanted({str(dock): size for dock, size in sizes.items()}, share, middle)
                case _:
                    pass
        self.fit()

    @Slot()
    def _take_dragged_sizes(self) -> None:
        """Want what a hand changed, and in that orientation alone: the other may be small for want of room."""
        pressed, self._before = self._before, {}
        for along in (ACROSS, DOWN):
            docks = {dock.objectName(): dock for dock in self._docks_along(along)}
            if pressed and any(
                _extent(pressed[name], along) != _extent(one.size(), along) for name, one in docks.items()
            ):
                wanted = self._wanted[along]
                wanted.sizes |= {name: _extent(one.size(), along) for name, one in docks.items()}
                room, taken = _extent(self._holder.size(), along), self._wanted_extent(along)
                wanted.share, wanted.middle = taken / max(room, 1), max(0, min(px(MIDDLE[along]), room - taken))

    def _wanted_extent(self, along: Qt.Orientation) -> int:
        """What the docks take in their wanted sizes: of those in one column or row the largest."""
        columns = dict[int, int]()
        for dock in self._docks_along(along):
            place = dock.geometry()
            begin = place.left() if along is ACROSS else place.top()
            columns[begin] = max(columns.get(begin, 0), self._wanted[along].sizes.get(dock.objectName(), 0))
        return sum(columns.values())

    def _docks_along(self, along: Qt.Orientation) -> list[Dock]:
        """The docks left and right of the middle, or above and below it."""
        sides = (Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea)
        docked = (dock for dock in self._docks.values() if not dock.isFloating() and dock.isVisibleTo(self._holder))
        return [dock for dock in docked if (self._holder.dockWidgetArea(dock) in sides) is (along is ACROSS)]


def _first_sizes(height: int) -> dict[Qt.Orientation, _Wanted]:
    """Of both orientations, given how high the work is."""
    sizes = {ACROSS: {name: px(size) for name, size in FIRST.items()}, DOWN: {WORK: px(height)}}
    return {along: _Wanted(sizes[along], MOST[along], px(MIDDLE[along])) for along in (ACROSS, DOWN)}


def _extent(size: QSize, along: Qt.Orientation) -> int:
    return size.width() if along is ACROSS else size.height()


VERSION = 1
"""Of the layout that is remembered: another one's is not restored."""
PAGE, ARRANGED = "page", "page {0}"
"""Names of what is remembered: the page in front, and how each is arranged."""
Arrangement = dict[str, Any]
"""A page as a person left it, as JSON has it: `places` (of the docks, base64), `sizes`, `middle` and `bottom` (panels
in the order of their tabs), `front` (those in front)."""


class PanelArea(QWidget):
    """All panels of an open model, on one page at a time.

    Attributes:
        panels: By module.
        holder: Holds the docks, around the tabs in the middle.
        docks: By name: "model", "inspector", "work".
        sizes: Of the docks.
        tabs: By place, "middle" and "bottom".
        page: The page in front.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Make the docks; `add_next` makes the panels, one after the other."""
        super().__init__(parent)
        self._workbench = workbench
        self._sized = False
        self._afloat: list[Dock] = []
        self._panes = dict[str, Pane]()
        self._titles = {place.module: place.shown() for place in PANELS}
        self._arranged = dict[str, Arrangement]()
        self._before = list[str]()
        # How the page was before one panel was given all of its room; None while none is.
        self._unmaximised: Arrangement | None = None
        self.page = PAGES["look"]
        self.panels: dict[str, Any] = {}
        self.top = QVBoxLayout()
        self.tabs = {"middle": Tabs(self.tr("Views")), "bottom": Tabs(self.tr("Activity"))}
        for tabs in self.tabs.values():
            tabs.double_clicked.connect(lambda pane: self.toggle_maximised(self._module(pane)))
        self.holder = QMainWindow(self)
        # The constructor makes it a window, whatever flags it is given.
        self.holder.setWindowFlags(Qt.WindowType.Widget)
        self.holder.setObjectName("area")
        self.docks = {
            MODEL: self._dock(MODEL, self.tr("Model"), Qt.DockWidgetArea.LeftDockWidgetArea),
            INSPECTOR: self._dock(INSPECTOR, self.tr("Inspector"), Qt.DockWidgetArea.RightDockWidgetArea),
            WORK: self._dock(WORK, self.tr("Activity"), Qt.DockWidgetArea.BottomDockWidgetArea),
        }
        self.sizes = DockSizes(self.holder, self.docks)
        options = QMainWindow.DockOption
        self.holder.setDockOptions(options.AllowNestedDocks | options.AllowTabbedDocks)
        for corner, place in (
            (Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
            (Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
            (Qt.Corner.TopLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
            (Qt.Corner.TopRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
        ):
            self.holder.setCorner(corner, place)
        self._middle = QWidget()
        inside = QVBoxLayout(self._middle)
        inside.setContentsMargins(0, THICK, 0, 0)
        inside.addWidget(_in_card(self.tabs["middle"]))
        self.holder.setCentralWidget(self._middle)
        self.docks[WORK].setWidget(_in_card(self.tabs["bottom"]))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.top.setSpacing(10)
        layout.addLayout(self.top)
        layout.addWidget(self.holder, 1)

    def _dock(self, name: str, title: str, home: Qt.DockWidgetArea) -> Dock:
        made = Dock(name, title, home, self.holder)
        self.holder.addDockWidget(home, made)
        return made

    def add_next(self) -> bool:
        """Make the next panel, or finish; True while there is more to do."""
        if len(self.panels) < len(PANELS):
            place = PANELS[len(self.panels)]
            panel = place.make(self._workbench)
            self.panels[place.module] = panel
            if place.where in ("strip", "ledger"):
                self.top.addWidget(panel)
            elif place.where == "tab":
                self._panes[place.module] = Pane(panel)
            else:
                self.docks[MODEL if place.where == "left" else INSPECTOR].setWidget(panel)
            return True
        for name in PAGES:
            self._arranged[name] = settings.value(ARRANGED.format(name), Arrangement())
        self.page = PAGES.get(settings.value(PAGE, ""), self.page)
        self._arrange(self._arranged[self.page.name])
        return False

    # Pages.

    def show_page(self, name: str) -> None:
        """Bring a page to the front, as it was left."""
        if self._unmaximised is not None:
            self.toggle_maximised()
        if name == self.page.name:
            return
        self._arranged[self.page.name] = self.arrangement()
        self._before = [*self._before[-20:], self.page.name]
        self.page = PAGES[name]
        self._arrange(self._arranged.get(name, {}))

    def go_back(self) -> None:
        """The page before, if there is one."""
        if self._before:
            before = self._before[:-1]
            self.show_page(self._before[-1])
            self._before = before

    def arrangement(self) -> Arrangement:
        """How the page in front is arranged now, a maximised panel as it was before."""
        if self._unmaximised is not None:
            return self._unmaximised
        places = bytes(self.holder.saveState(VERSION).data())
        tabs = {where: [self._module(pane) for pane in one.widgets()] for where, one in self.tabs.items()}
        front = {where: self._module(one.current()) for where, one in self.tabs.items()}
        return {"places": b64encode(places).decode(), "sizes": self.sizes.kept(), "front": front, **tabs}

    def arrange(self, name: str, arrangement: Arrangement) -> None:
        """Bring a page to the front in an arrangement; what cannot be read of that is as at first."""
        self.show_page(name)
        self._arrange(arrangement)

    def _arrange(self, arrangement: Arrangement) -> None:
        """Arrange the page in front; what cannot be read is as at first."""
        self.holder.setUpdatesEnabled(False)
        front = arrangement.get("front")
        for where, tabs in self.tabs.items():
            first = self.page.middle if where == "middle" else self.page.bottom
            known = arrangement.get(where)
            known = [one for one in known if one in first] if isinstance(known, list) else []
            modules = [*known, *(one for one in first if one not in known)]
            tabs.fill([(self._panes[module], self._titles[module]) for module in modules])
            shown = str(front.get(where, "")) if isinstance(front, dict) else ""
            tabs.show_widget(self._panes[shown if shown in modules else modules[0]])
        if self._sized:
            self._place_docks(arrangement)
        self.panels["state_strip"].show_page(self.page.name)
        self.holder.setUpdatesEnabled(True)

    def _place_docks(self, arrangement: Arrangement) -> None:
        """Put the docks of the page in front where they were left, else as at first."""
        try:
            places = b64decode(str(arrangement.get("places", "")), validate=True)
        except ValueError:
            places = b""
        if not self.holder.restoreState(places, VERSION):
            layout = self.holder.layout()
            assert layout is not None
            # Lay out once for all docks, not for each of them.
            layout.setEnabled(False)
            for dock in self.docks.values():
                dock.go_home()
                dock.setVisible(dock.objectName() in self.page.docks)
            layout.setEnabled(True)
        sizes = arrangement.get("sizes")
        self.sizes.restore(sizes if isinstance(sizes, dict) else {}, self.page.height)

    def toggle_maximised(self, module: str = "") -> None:
        """Give a panel all the room of the page, the one in front if none is named; or take it away again."""
        if self._unmaximised is not None:
            before, self._unmaximised = self._unmaximised, None
            self._middle.show()
            self._arrange(before)
            return
        module = module or self.panel_in_front()
        self._unmaximised = self.arrangement()
        where = next((name for name, tabs in self.tabs.items() if self._panes.get(module) in tabs.widgets()), "")
        entry = next(one for one in PANELS if one.module == module)
        shown = {"middle": "", "bottom": WORK}.get(where, MODEL if entry.where == "left" else INSPECTOR)
        for name, dock in self.docks.items():
            dock.setVisible(name == shown)
        self._middle.setVisible(where == "middle")
        if where:
            self.show_tab(module)

    # Sizes and places.

    def showEvent(self, event: QShowEvent) -> None:
        """Sizes mean something only now that the window gave this area its own."""
        super().showEvent(event)
        if not self._sized:
            self._sized = True
            self.sizes.fit()
            # Qt restores places only of what is shown.
            QTimer.singleShot(0, lambda: self._place_docks(self._arranged.get(self.page.name, {})))
        for dock in self._afloat:
            dock.show()
        self._afloat = []

    def hideEvent(self, event: QHideEvent) -> None:
        """Hide floating panels with the rest: nothing of another model may be clicked."""
        super().hideEvent(event)
        self._afloat = [dock for dock in self.docks.values() if dock.isFloating() and dock.isVisible()]
        for dock in self._afloat:
            dock.hide()

    def reset(self) -> None:
        """The page in front as at first."""
        if self._unmaximised is not None:
            self.toggle_maximised()
        self._arrange({})

    def remember(self) -> None:
        """Keep pages, places and sizes for the next start."""
        if not self._sized:
            return
        self._arranged[self.page.name] = self.arrangement()
        settings.store(PAGE, self.page.name)
        for name, arrangement in self._arranged.items():
            settings.store(ARRANGED.format(name), arrangement)

    def _module(self, panel: QWidget | None) -> str:
        shown = panel.widget() if isinstance(panel, Pane) else panel
        return next(module for module, one in self.panels.items() if one is shown)

    # What commands ask for.

    def show_tab(self, module: str, keep_focus: bool = False) -> None:
        """Bring a panel to the front, on the page in front if it has it, else on the first page that does.

        To keep the focus, not where that would take it from what is in front there.
        """
        focus = QApplication.focusWidget()
        page = next((page for page in PAGES.values() if page.holds(module)), None)
        if page is not None and not self.page.holds(module):
            self.show_page(page.name)
        for where, tabs in self.tabs.items():
            front, pane = tabs.current(), self._panes.get(module)
            if pane is not None and front is not None and pane in tabs.widgets():
                if keep_focus and pane is not front and focus is not None and front.isAncestorOf(focus):
                    return
                tabs.show_widget(pane)
                if where == "bottom" and not self.docks[WORK].isVisible() and self.isVisible():
                    self.docks[WORK].show()

    def toggle(self, name: str) -> None:
        """Hide a dock, or show it again."""
        self.docks[name].setVisible(self.docks[name].isHidden())

    def parts(self) -> list[QWidget]:
        """All of it, as it is read."""
        above = [self.panels[place.module] for place in PANELS if place.where in ("strip", "ledger")]
        return [*above, self.docks[MODEL], self.tabs["middle"], self.docks[INSPECTOR], self.docks[WORK]]

    def drawings(self) -> tuple[Drawing, ...]:
        """All plots that have something to show."""
        found = (one for panel in self.panels.values() for one in _drawings(panel))
        return tuple(one for one in found if one.shown())

    def panel_in_front(self) -> str:
        """Module name of the panel, or the tab, that has the focus; else of the one in the middle."""
        focus, middle = QApplication.focusWidget(), self.tabs["middle"]
        holders = (*self.tabs.values(), *self.panels.values())
        held = next((one for one in holders if focus is not None and one.isAncestorOf(focus)), middle)
        return self._module(held.current() if isinstance(held, Tabs) else held)

    def drawing_in_front(self) -> Drawing | None:
        """The plot that has the focus, else the one in the middle, else any; None where there is none."""
        focus = QApplication.focusWidget()
        middle = self.panels[self._module(self.tabs["middle"].current())]
        focused = [p for p in self.panels.values() if focus is not None and p.isAncestorOf(focus)]
        found = (one for panel in (*focused, middle) for one in _drawings(panel) if one.shown())
        return next(found, next(iter(self.drawings()), None))


def _in_card(tabs: Tabs) -> Card:
    card = Card(margin=4)
    card.body.addWidget(tabs)
    return card


def _drawings(panel: QWidget | None) -> tuple[Drawing, ...]:
    """What of a panel can be taken along."""
    return panel.drawings() if panel is not None and hasattr(panel, "drawings") else ()  # type: ignore[attr-defined]


class PanelPreloader(QObject):
    """Loads modules, then ends.

    Signals:
        loaded: All are loaded, or failed to load (then making the panel says why).
    """

    loaded = Signal()

    def __init__(self, entries: Iterable[PanelEntry], parent: QObject) -> None:
        """Take what to load; `begin` begins."""
        super().__init__(parent)
        self._entries = tuple(entries)
        self._qt = [QtCore, QtGui, QtWidgets]
        self._background = BackgroundTasks("panels")
        self._stopped = False

    @Slot()
    def begin(self) -> None:
        """Start, once every class of Qt is there.

        PySide makes them when they are first named, which two threads must not do at once: the plots' library names
        all of them, and the program ended of it now and then. One module a turn of the event loop.
        """
        if self._stopped:
            return
        if not self._qt:
            self._background.run(self._load, on_done=lambda _none: self._end())
            return
        module = self._qt.pop(0)
        for name in dir(module):
            getattr(module, name, None)
        QTimer.singleShot(0, self.begin)

    def stop(self) -> None:
        """End without beginning, or wait for the end: a window that goes must leave no thread."""
        self._stopped = True
        self._background.close()

    def _load(self) -> None:
        """Load (in another thread)."""
        # `np.unique` would load it in the interface's thread at its first call.
        importlib.import_module("numpy.ma")
        for entry in self._entries:
            if self._stopped:
                return
            # The panel fails again when it is made, where the user sees why.
            with contextlib.suppress(Exception):
                entry.load()

    def _end(self) -> None:
        self._background.close()
        self.loaded.emit()
