"""Writes files in a thread of its own: a disk that is busy must not hold the window."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QRunnable, Qt, QThreadPool, Signal, Slot

from secateur.engine.errors import SecateurError
from secateur.engine.storage.atomic_files import write


class _Bridge(QObject):
    """Carries a result out of the worker thread.

    Signals:
        done: (path, None or SecateurError).
    """

    done = Signal(object, object)


class _Task(QRunnable):
    def __init__(self, bridge: _Bridge, path: Path, content: Callable[[], bytes]) -> None:
        super().__init__()
        self._bridge, self._path, self._content = bridge, path, content

    def run(self) -> None:
        """Make and write (in the worker thread)."""
        error = None
        try:
            write(self._path, self._content())
        except SecateurError as caught:
            error = caught
        self._bridge.done.emit(self._path, error)


class Saver(QObject):
    """Files to write, one after the other.

    Signals:
        saved: Path, a file is there, whole.
        failed: SecateurError, and the file is as it was.
    """

    saved = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        """One thread."""
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(1)
        self._bridge = _Bridge(self)
        self._bridge.done.connect(self._done, Qt.ConnectionType.QueuedConnection)

    def save(self, path: Path, content: Callable[[], bytes]) -> None:
        """Write what `content` gives; it is called in the thread, so it touches no widget."""
        self._pool.start(_Task(self._bridge, path, content))

    def close(self) -> None:
        """Wait for what is being written."""
        self._pool.waitForDone()

    @Slot(object, object)
    def _done(self, path: Path, error: SecateurError | None) -> None:
        if error is None:
            self.saved.emit(path)
        else:
            self.failed.emit(error)
