"""Imports the panels' modules beside the window: plots alone take a quarter of a second, which nobody should wait for.

Only modules are loaded in the other thread; widgets are made in the window's own.
"""

import contextlib
from collections.abc import Iterable

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject, QThread, QTimer, Slot

from ..panels.registry import Place


class Preload(QThread):
    """Loads modules, then ends.

    Signals:
        finished: Of `QThread`: all are loaded, or failed to load (then making the panel says why).
    """

    def __init__(self, places: Iterable[Place], parent: QObject) -> None:
        """Take what to load; `start` begins."""
        super().__init__(parent)
        self._places = tuple(places)
        self._qt = [QtCore, QtGui, QtWidgets]
        self._stopped = False

    @Slot()
    def begin(self) -> None:
        """Start, once every class of Qt is there.

        PySide makes them when they are first named, which two threads must not do at once: the plots' library names
        all of them, and the program ended of it now and then. One module a turn of the event loop.
        """
        if self._stopped:
            return None
        if not self._qt:
            return self.start()
        module = self._qt.pop(0)
        for name in dir(module):
            getattr(module, name, None)
        QTimer.singleShot(0, self.begin)
        return None

    def stop(self) -> None:
        """End without beginning, or wait for the end: a window that goes must leave no thread."""
        self._stopped = True
        self.wait()

    def run(self) -> None:
        """Load (in the new thread)."""
        for place in self._places:
            if self._stopped:
                return
            with contextlib.suppress(Exception):  # Making the panel fails again, where it is seen.
                place.load()
