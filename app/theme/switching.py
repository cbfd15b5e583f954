"""Another look in several turns of the event loop, so that the window answers in between.

Where the application's style sheet is replaced, Qt dresses each widget once for itself and once for each of its
ancestors. One that is taken away and then set again costs a third, and both go in parts. Meanwhile windows keep the
picture that they have: nobody sees one that is half switched.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

Step: TypeAlias = Callable[[], Iterator[None] | None]
"""What is done at once, or in parts."""
PAUSE = 1
"""Milliseconds between two steps: other timers, and what a step has others do, come before the next."""
_DONE = object()


class Switching(QObject):
    """Takes the steps of a switch, one a turn, or one part of a step."""

    def __init__(self, parent: QObject) -> None:
        """Nothing is under way."""
        super().__init__(parent)
        self._steps: list[Step] = []
        self._parts: Iterator[None] = iter(())
        self._still: list[QWidget] = []
        self._turns = QTimer(self, interval=PAUSE, singleShot=True)
        self._turns.timeout.connect(self._turn)

    @property
    def busy(self) -> bool:
        """Steps are left, or windows stand still."""
        return self._turns.isActive()

    def begin(self, steps: Iterable[Step]) -> None:
        """Take these steps from the next turn on; those that an earlier switch has not begun are dropped."""
        self._steps = list(steps)
        for window in QApplication.topLevelWidgets():
            if window.isVisible() and window.updatesEnabled():
                window.setUpdatesEnabled(False)
                self._still.append(window)
        self._turns.start()

    def end(self) -> None:
        """Finish the step that was begun, drop what is left; windows are painted again."""
        self._turns.stop()
        self._steps.clear()
        take_all(self._parts)
        still, self._still = self._still, []
        for window in still:
            if isValid(window):
                window.setUpdatesEnabled(True)

    @Slot()
    def _turn(self) -> None:
        self._turns.start()
        if next(self._parts, _DONE) is not _DONE:
            return
        if self._steps:
            self._parts = self._steps.pop(0)() or iter(())
        else:
            self.end()


def take_all(parts: Iterator[None] | None) -> None:
    """All parts of a step at once."""
    for _ in parts or ():
        pass
