"""Imports the panels' modules beside the window: plots alone take a quarter of a second, which nobody should wait for.

Only modules are loaded in the other thread; widgets are made in the window's own.
"""

import contextlib
import importlib
from collections.abc import Iterable

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject, QTimer, Signal, Slot

from ..panels.registry import PanelEntry
from ..storage.background import BackgroundTasks


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
        """Load (beside the interface)."""
        importlib.import_module("numpy.ma")  # `np.unique` loads it when it is first called
        for entry in self._entries:
            if self._stopped:
                return
            with contextlib.suppress(Exception):  # Making the panel fails again, where it is seen.
                entry.load()

    def _end(self) -> None:
        self._background.close()
        self.loaded.emit()
