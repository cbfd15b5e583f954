"""Planning for a goal in a worker thread: numpy only, but a large model takes longer than a frame."""

from typing import Any

from PySide6.QtCore import QObject, QRunnable, Qt, QThreadPool, Signal, Slot

from secateur.engine.errors import SecateurError, unexpected

from ..document.contents import Contents


class _Bridge(QObject):
    """Carries a result out of the worker thread.

    Signals:
        done: (marked, None) or (None, error), and the revision.
    """

    done = Signal(object, object, int)


class _Search(QRunnable):
    def __init__(self, bridge: _Bridge, arguments: tuple[Any, ...], revision: int) -> None:
        super().__init__()
        self._bridge, self._arguments, self._revision = bridge, arguments, revision

    def run(self) -> None:
        """Search (in the worker thread)."""
        from secateur.engine.planning.goal import solve

        try:
            self._bridge.done.emit(solve(*self._arguments).removed, None, self._revision)
        except SecateurError as error:
            self._bridge.done.emit(None, error, self._revision)
        except Exception as error:  # else nobody would hear of it: the window waits for an answer
            self._bridge.done.emit(None, unexpected(error), self._revision)


class Suggestion(QObject):
    """Searches plans.

    Signals:
        ready: (marks with what is removed [S], revision of the document it was asked at).
        failed: (SecateurError, revision).
    """

    ready = Signal(object, int)
    failed = Signal(object, int)

    def __init__(self, parent: QObject) -> None:
        """One thread, so that the last request is answered last."""
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(1)
        self._bridge = _Bridge(self)
        self._bridge.done.connect(self._take, Qt.ConnectionType.QueuedConnection)

    def start(self, contents: Contents, scores: Any, revision: int) -> None:
        """Search; what the user decided by hand stays as it is."""
        decided = contents.by_hand | contents.locked
        removed = contents.removed | (contents.marked & decided)
        locked = decided & ~contents.marked
        arguments = (contents.analysis, scores, contents.wanted, removed, locked, contents.table)
        self._pool.clear()  # what waits was asked for before the goal was changed
        self._pool.start(_Search(self._bridge, arguments, revision))

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.waitForDone()

    @Slot(object, object, int)
    def _take(self, marked: Any, error: Any, revision: int) -> None:
        if error is None:
            self.ready.emit(marked, revision)
        else:
            self.failed.emit(error, revision)
