"""The area of the panels: tree at the left, views and work in the middle, inspector at the right; docks that move.

The panels' modules are imported in another thread, because the plots' library alone takes a quarter of a second;
widgets are made in the interface's own thread.
"""

import contextlib
import importlib
from collections.abc import Iterable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QMainWindow, QTabWidget, QVBoxLayout, QWidget

from ..jobs.workbench import Workbench
from ..panels.registry import PANELS, PanelEntry
from ..storage import settings
from ..storage.background import BackgroundTasks
from ..widgets.card import Card
from ..widgets.pane import Pane
from ..widgets.plot_export import Drawing
from .dock import THICK, Dock, DockSizes

VERSION = 1
"""Of the layout that is remembered: another one's is not restored."""


class PanelArea(QWidget):
    """All panels of an open model.

    Attributes:
        panels: By module.
        holder: Holds the docks, around the tabs in the middle.
        docks: By name: "model", "inspector", "work".
        sizes: Of the docks.
        tabs: By place, "middle" and "bottom".
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Make the docks; `add_next` makes the panels, one after the other."""
        super().__init__(parent)
        self._workbench = workbench
        self._sized = False
        self._afloat: list[Dock] = []
        self.panels: dict[str, Any] = {}
        self.top = QVBoxLayout()
        self.tabs = {"middle": self._tabs(self.tr("Views")), "bottom": self._tabs(self.tr("Activity"))}
        self.holder = QMainWindow(self)
        # The constructor makes it a window, whatever flags it is given.
        self.holder.setWindowFlags(Qt.WindowType.Widget)
        self.holder.setObjectName("area")
        self.docks = {
            "model": self._dock("model", self.tr("Model"), Qt.DockWidgetArea.LeftDockWidgetArea),
            "inspector": self._dock("inspector", self.tr("Inspector"), Qt.DockWidgetArea.RightDockWidgetArea),
            "work": self._dock("work", self.tr("Activity"), Qt.DockWidgetArea.BottomDockWidgetArea),
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
        middle = QWidget()
        inside = QVBoxLayout(middle)
        inside.setContentsMargins(0, THICK, 0, 0)
        inside.addWidget(_carded(self.tabs["middle"]))
        self.holder.setCentralWidget(middle)
        self.docks["work"].setWidget(_carded(self.tabs["bottom"]))
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
            elif place.where in self.tabs:
                self.tabs[place.where].addTab(Pane(panel), place.shown())
            else:
                self.docks["model" if place.where == "left" else "inspector"].setWidget(panel)
            return True
        for where, tabs in self.tabs.items():
            self._order(tabs, str(settings.value(f"tabs {where}", "")).split(","))
        return False

    # Sizes and places.

    def showEvent(self, event: QShowEvent) -> None:
        """Sizes mean something only now that the window gave this area its own."""
        super().showEvent(event)
        if not self._sized:
            self._sized = True
            self.sizes.fit()
            QTimer.singleShot(0, self._restore)
        for dock in self._afloat:
            dock.show()
        self._afloat = []

    def hideEvent(self, event: QHideEvent) -> None:
        """Hide floating panels with the rest: nothing of another model may be clicked."""
        super().hideEvent(event)
        self._afloat = [dock for dock in self.docks.values() if dock.isFloating() and dock.isVisible()]
        for dock in self._afloat:
            dock.hide()

    @Slot()
    def _restore(self) -> None:
        """As it was left; Qt wants to be shown first."""
        if self.holder.restoreState(settings.load("layout"), VERSION):
            self.sizes.restore(settings.value("dock sizes", {}))
        else:
            self.sizes.fit()

    def reset(self) -> None:
        """Every panel where the sketch has it, in its size; tabs in their order."""
        layout = self.holder.layout()
        assert layout is not None
        # Lay out once for all docks, not for each of them.
        layout.setEnabled(False)
        for dock in self.docks.values():
            dock.go_home()
        layout.setEnabled(True)
        self.sizes.reset()
        for where, tabs in self.tabs.items():
            self._order(tabs, [place.module for place in PANELS if place.where == where])

    def remember(self) -> None:
        """Keep places and sizes for the next start."""
        if not self._sized:
            return
        settings.store("layout", self.holder.saveState(VERSION))
        settings.store("dock sizes", self.sizes.kept())
        for where, tabs in self.tabs.items():
            settings.store(f"tabs {where}", ",".join(self._module(tabs.widget(n)) for n in range(tabs.count())))

    def _order(self, tabs: QTabWidget, modules: list[str]) -> None:
        """Put tabs into an order; those that it does not know stay behind."""
        known = [module for module in modules if self._tab_of(tabs, module) >= 0]
        for place, module in enumerate(known):
            tabs.tabBar().moveTab(self._tab_of(tabs, module), place)

    def _module(self, panel: QWidget | None) -> str:
        shown = panel.widget() if isinstance(panel, Pane) else panel
        return next(module for module, one in self.panels.items() if one is shown)

    def _tab_of(self, tabs: QTabWidget, module: str) -> int:
        """The index of a panel among some tabs, -1 for not there."""
        return next((n for n in range(tabs.count()) if self._module(tabs.widget(n)) == module), -1)

    # What commands ask for.

    def show_tab(self, module: str, keep_focus: bool = False) -> None:
        """Bring a panel to the front; to keep the focus, not where that would take it from what is in front there."""
        focus = QApplication.focusWidget()
        for where, tabs in self.tabs.items():
            if (index := self._tab_of(tabs, module)) >= 0:
                front = tabs.currentWidget()
                if keep_focus and index != tabs.currentIndex() and focus is not None and front.isAncestorOf(focus):
                    return
                tabs.setCurrentIndex(index)
                if where == "bottom" and not self.docks["work"].isVisible() and self.isVisible():
                    self.docks["work"].show()

    def toggle(self, name: str) -> None:
        """Hide a dock, or show it again."""
        self.docks[name].setVisible(self.docks[name].isHidden())

    def parts(self) -> list[QWidget]:
        """All of it, as it is read."""
        above = [self.panels[place.module] for place in PANELS if place.where in ("strip", "ledger")]
        return [*above, self.docks["model"], self.tabs["middle"], self.docks["inspector"], self.docks["work"]]

    def drawings(self) -> tuple[Drawing, ...]:
        """All plots that have something to show."""
        found = (one for panel in self.panels.values() for one in _drawings(panel))
        return tuple(one for one in found if one.shown())

    def panel_in_front(self) -> str:
        """Module name of the panel, or the tab, that has the focus; else of the one in the middle."""
        focus, middle = QApplication.focusWidget(), self.tabs["middle"]
        holders = (*self.tabs.values(), *self.panels.values())
        held = next((one for one in holders if focus is not None and one.isAncestorOf(focus)), middle)
        return self._module(held.currentWidget() if isinstance(held, QTabWidget) else held)

    def drawing_in_front(self) -> Drawing | None:
        """The plot that has the focus, else the one in the middle, else any; None where there is none."""
        focus = QApplication.focusWidget()
        middle = self.panels[self._module(self.tabs["middle"].currentWidget())]
        focused = [p for p in self.panels.values() if focus is not None and p.isAncestorOf(focus)]
        found = (one for panel in (*focused, middle) for one in _drawings(panel) if one.shown())
        return next(found, next(iter(self.drawings()), None))

    def _tabs(self, name: str) -> QTabWidget:
        tabs = QTabWidget()
        tabs.setDocumentMode(True)
        tabs.setMovable(True)
        tabs.setAccessibleName(name)
        tabs.tabBar().setAccessibleName(name)
        return tabs


def _carded(tabs: QTabWidget) -> Card:
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
