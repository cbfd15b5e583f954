"""Another look in several turns of the event loop, so that the window answers in between.

Where the application's style sheet is replaced, Qt dresses each widget once for itself and once for each of its
ancestors. One that is taken away and then set anew costs a third, in two halves. Meanwhile windows keep the picture
that they have: nobody sees one that is half switched.
"""

from collections.abc import Callable, Iterable

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

PAUSE = 1
"""Milliseconds between two steps: other timers, and what a step has others do, come before the next."""


class Switching(QObject):
    """Takes the steps of a switch, one a turn."""

    def __init__(self, parent: QObject) -> None:
        """Nothing is under way."""
        super().__init__(parent)
        self._steps: list[Callable[[], object]] = []
        self._still: list[QWidget] = []
        self._turns = QTimer(self, interval=PAUSE, singleShot=True)
        self._turns.timeout.connect(self._turn)

    @property
    def busy(self) -> bool:
        """Steps are left, or windows stand still."""
        return self._turns.isActive()

    def begin(self, steps: Iterable[Callable[[], object]]) -> None:
        """Take these steps from the next turn on; those of an earlier switch are dropped."""
        self._steps = list(steps)
        for window in QApplication.topLevelWidgets():
            if window.isVisible() and window.updatesEnabled():
                window.setUpdatesEnabled(False)
                self._still.append(window)
        self._turns.start()

    def end(self) -> None:
        """Drop what is left; windows are painted again."""
        self._turns.stop()
        self._steps.clear()
        still, self._still = self._still, []
        for window in still:
            if isValid(window):
                window.setUpdatesEnabled(True)

    @Slot()
    def _turn(self) -> None:
        if self._steps:
            self._turns.start()
            self._steps.pop(0)()
        else:
            self.end()
