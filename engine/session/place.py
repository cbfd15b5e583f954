"""Where a session lies: its folder with history and weights, which no other process may work in meanwhile.

A session moves to another folder with each model that is opened, and when an earlier one is gone on with; the one
before stays as it is.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..errors import OpenError
from ..jobs import Job, Progress
from .files import removed_unless_finished
from .history import History
from .live import Live
from .locks import ENGINE, FolderLock
from .store import WeightStore

PATIENCE = 15.0
"""Seconds that the engine of a window that was killed may take to end."""


class Place:
    """The folder of a session.

    Attributes:
        folder: Where the log and the weights lie.
        history: The tree of states.
        store: The weights of the states.
        cache: Where measurements by content are kept, in the session's folder unless told otherwise.
    """

    def __init__(self, folder: Path, disk_bound: int, cache: Path, exclusive: bool) -> None:
        """Begin in a folder, which need not exist; see `Session`."""
        self.folder: Path = folder
        self.history: History = History(folder)
        self.store: WeightStore = WeightStore(folder / "weights", disk_bound)
        self.cache: Path = cache
        self._live: Live | None = None
        self._exclusive = exclusive
        self._lock: FolderLock | None = None

    @contextmanager
    def _moving(self, folder: str) -> Generator[None]:
        """Work in another folder from now on; in the one before, as before, when the block does not end well."""
        lock = self._lock
        before = (self.folder, self.history, self.store, self.cache, self._live)
        elsewhere = bool(folder) and Path(folder) != self.folder
        if elsewhere:
            self.cache = Path(folder) if self.cache == self.folder else self.cache
            self.folder, self.history, self._lock = Path(folder), History(Path(folder)), None
            self.store = WeightStore(self.folder / "weights", self.store.bound)
        try:
            with removed_unless_finished(self.folder) if elsewhere else nullcontext():
                yield
        except BaseException:
            if self._lock is not None and self._lock is not lock:
                self._lock.release()
            self.folder, self.history, self.store, self.cache, self._live = before
            self._lock = lock
            raise
        if lock is not None and lock is not self._lock:
            lock.release()

    def _alone(self) -> Job[None]:
        """Lock the folder; waits for the engine of a window that has just ended."""
        if not self._exclusive or self._lock is not None:
            return
        lock, end = FolderLock(self.folder, ENGINE), time.monotonic() + PATIENCE
        while not lock.take():
            if time.monotonic() > end:
                template = "{folder} is open in another window. Close it there first."
                raise OpenError("session.in_use", template, folder=str(self.folder))
            yield Progress("Waiting for the engine of the window that was closed")
            time.sleep(0.1)
        self._lock = lock

    def _let_go(self) -> None:
        """Others may work in the folder from now on."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
