"""Imports the panels' modules beside the window: plots alone take a quarter of a second, which nobody should wait for.

Only modules are loaded in the other thread; widgets are made in the window's own.
"""

import contextlib
from collections.abc import Iterable

from PySide6.QtCore import QObject, QThread

from .places import Place


class Preload(QThread):
    """Loads modules, then ends.

    Signals:
        finished: Of `QThread`: all are loaded, or failed to load (then making the panel says why).
    """

    def __init__(self, places: Iterable[Place], parent: QObject) -> None:
        """Take what to load; `start` begins."""
        super().__init__(parent)
        self._places = tuple(places)

    def run(self) -> None:
        """Load (in the new thread)."""
        for place in self._places:
            with contextlib.suppress(Exception):  # Making the panel fails again, where it is seen.
                place.load()
