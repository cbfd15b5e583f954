"""Collects garbage in the interface's thread only.

Python collects cycles in whichever thread happens to allocate; one that holds a widget or a timer must not be destroyed
in a thread of the engine's link or of the autosave: Qt ends the program then. So automatic collection is off, and a
timer does the same here, generation by generation, as Python would.
"""

import gc

from PySide6.QtCore import QObject, QTimer, Slot

PAUSE = 500
"""Milliseconds between two looks."""


class GcTimer(QObject):
    """Collects for as long as it lives."""

    def __init__(self, parent: QObject) -> None:
        """Take over from Python."""
        super().__init__(parent)
        self._thresholds = gc.get_threshold()
        gc.disable()
        self.freeze()
        self._timer = QTimer(self, interval=PAUSE)
        self._timer.timeout.connect(self.collect)
        self._timer.start()

    @Slot()
    def freeze(self) -> None:
        """What is there now stays, and is not looked through again: that would take longer than a few frames."""
        gc.freeze()

    @Slot()
    def collect(self) -> None:
        """Collect the oldest generation that is due."""
        counts = gc.get_count()
        due = [age for age, (count, limit) in enumerate(zip(counts, self._thresholds)) if count > limit]
        if due:
            gc.collect(due[-1])

    def stop(self) -> None:
        """Give back to Python."""
        self._timer.stop()
        gc.enable()
