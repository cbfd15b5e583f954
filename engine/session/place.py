"""Where a session lies: its folder with history and weights, and the projects that it writes to.

No other process writes there meanwhile: whoever is second is refused, or what both made would be the last one's alone.
A session moves to another folder with each model that is opened, and when an earlier one is gone on with; the one
before stays as it is.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..jobs import Job
from ..storage.atomic_files import removed_unless_finished
from ..storage.folder_lock import ENGINE, FolderLock, Holder
from ..storage.temporary_folders import TemporaryFolder
from ..storage.weight_store import WeightStore
from .loaded_model import Live
from .state_history import History


class Place:
    """The folder of a session.

    Attributes:
        folder: Where the log and the weights lie.
        history: The tree of states.
        store: The weights of the states.
        cache: Where measurements by content are kept, in the session's folder unless told otherwise.
    """

    def __init__(
        self, folder: Path, disk_bound: int, cache: Path, temporary: TemporaryFolder | None, holder: Holder | None
    ) -> None:
        """Begin in a folder, which need not exist; see `Session`."""
        self.folder: Path = folder
        self.history: History = History(folder)
        self.store: WeightStore = WeightStore(folder / "weights", disk_bound)
        self.cache: Path = cache
        self._live: Live | None = None
        self._temporary, self._holder = temporary, holder
        self._locks: dict[Path, FolderLock] = {}
        self._former: dict[Path, FolderLock] = {}  # of the place before, while the session moves to another

    @contextmanager
    def _moving(self, folder: str) -> Generator[None]:
        """Work in another folder from now on; in the one before, as before, when the block does not end well."""
        before = (self.folder, self.history, self.store, self.cache, self._live)
        locks = dict(self._locks)
        elsewhere = bool(folder) and Path(folder) != self.folder
        if elsewhere:
            self.cache = Path(folder) if self.cache == self.folder else self.cache
            self.folder, self.history = Path(folder), History(Path(folder))
            self.store = WeightStore(self.folder / "weights", self.store.bound)
            self._locks, self._former = {}, locks
        try:
            with removed_unless_finished(self.folder) if elsewhere else nullcontext():
                yield
        except BaseException:
            self._let_go(locks)
            self.folder, self.history, self.store, self.cache, self._live = before
            self._locks = locks
            raise
        finally:
            self._former = {}
        for path in locks.keys() - self._locks.keys():
            locks[path].release()

    def _alone(self) -> Job[None]:
        """Lock the session's folder; waits for the engine of a window that has just ended."""
        if self._temporary is None:  # of that one nobody else knows
            yield from self.hold(self.folder)

    def hold(self, folder: str | Path) -> Job[None]:
        """Let no other process write to a project's folder until this session moves elsewhere or is closed.

        Args:
            folder: Need not exist.

        Raises:
            OpenError: Another process works in it ("session.in_use"), and which.
            SecateurError: It cannot be written.
        """
        path = Path(folder).expanduser().resolve()
        if path in self._locks:
            return
        if (lock := self._former.get(path)) is None:
            lock = FolderLock(path, ENGINE, self._holder)
            yield from lock.wait()
            for pattern in (".*.part", "weights/.*.part"):  # by a process that was killed as it wrote
                for unfinished in path.glob(pattern):
                    unfinished.unlink(missing_ok=True)
        self._locks[path] = lock

    def holds(self, folder: str | Path) -> bool:
        """Whether no other process can write to a project's folder."""
        return Path(folder).expanduser().resolve() in self._locks

    def _let_go(self, kept: Collection[Path] = ()) -> None:
        """Others may work in the folders from now on, but for those that are kept."""
        for path in self._locks.keys() - set(kept):
            self._locks.pop(path).release()
