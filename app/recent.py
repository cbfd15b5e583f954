"""Writes down what was opened, in a thread of its own: a disk may take longer than the window can wait."""

from functools import partial

from PySide6.QtCore import QObject, QThreadPool

from . import settings


class Recent(QObject):
    """What was opened, for the next start."""

    def __init__(self, parent: QObject) -> None:
        """One thread, so that the newest is written last."""
        super().__init__(parent)
        self._last = ("", "")
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(1)

    def remember(self, title: str, source: str) -> None:
        """Put something at the head, unless it stands there."""
        if (title, source) != self._last:
            self._last = title, source
            self._pool.start(partial(settings.remember, title, source))

    def close(self) -> None:
        """Wait until it is written."""
        self._pool.waitForDone()
