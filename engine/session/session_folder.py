"""Where a session lies: its folder with the weights of the states, and the projects that it writes to.

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
from ..storage.paths import require_no_links
from ..storage.temporary_folders import TemporaryFolder
from ..storage.weight_store import MemoryStore, WeightStore


class SessionFolder:
    """The folder of a session.

    Attributes:
        path: Where the log and the weights lie.
        store: The weights of the states.
        cache: Where measurements by content are kept, in the folder itself unless told otherwise.
    """

    def __init__(
        self,
        folder: Path | None,
        disk_bound: int,
        cache: Path | None,
        exclusive: bool,
        holder: Holder | None,
        in_memory: bool = False,
    ) -> None:
        """Take a folder, which need not exist, or a temporary one; see `Session`."""
        self._temporary = TemporaryFolder() if folder is None else None
        self.path: Path = self._temporary.path if self._temporary is not None else Path(folder or "")
        self.store: WeightStore = MemoryStore() if in_memory else WeightStore(self.path / "weights", disk_bound)
        self.cache: Path = cache or self.path
        self.exclusive = exclusive
        self._holder = holder
        self._locks: dict[Path, FolderLock] = {}
        self._former: dict[Path, FolderLock] = {}  # of the folder before, while the session moves to another

    @property
    def temporary(self) -> bool:
        """Whether `close` removes it."""
        return self._temporary is not None

    @contextmanager
    def moving(self, folder: str) -> Generator[bool]:
        """Work in another folder from now on; in the one before, as before, when the block does not end well.

        Args:
            folder: The other one, "" for none.

        Yields:
            Whether it is another one.
        """
        # Locks of the folder before are kept until all went well: no other process may take it while we may go back.
        before, locks = (self.path, self.store, self.cache), dict(self._locks)
        elsewhere = bool(folder) and Path(folder) != self.path
        if elsewhere:
            self.cache = Path(folder) if self.cache == self.path else self.cache
            self.path = Path(folder)
            self.store = WeightStore(self.path / "weights", self.store.bound)
            self._locks, self._former = {}, locks
        try:
            with removed_unless_finished(self.path) if elsewhere else nullcontext():
                yield elsewhere
        except BaseException:
            self._let_go(locks)
            self.path, self.store, self.cache = before
            self._locks = locks
            raise
        finally:
            self._former = {}
        for path in locks.keys() - self._locks.keys():
            locks[path].release()

    def alone(self) -> Job[None]:
        """Lock the session's own folder; waits for the engine of a window that has just ended."""
        if self._temporary is None:  # of that one nobody else knows
            yield from self.hold(self.path)

    def hold(self, folder: str | Path) -> Job[None]:
        """Let no other process write to a project's folder until this session moves elsewhere or is closed.

        Args:
            folder: Need not exist.

        Raises:
            OpenError: Another process works in it ("session.in_use"), and which; or a part of it lies elsewhere.
            SecateurError: It cannot be written.
        """
        path = Path(folder).expanduser().resolve()
        if path in self._locks:
            return
        require_no_links(path)
        if (lock := self._former.get(path)) is None:
            lock = FolderLock(path, ENGINE, self._holder)
            yield from lock.wait()
            # What a process was writing as it was killed.
            for pattern in (".*.part", "weights/.*.part", "predictions/.*.part"):
                for unfinished in path.glob(pattern):
                    unfinished.unlink(missing_ok=True)
        self._locks[path] = lock

    def holds(self, folder: str | Path) -> bool:
        """Whether no other process can write to a project's folder."""
        return Path(folder).expanduser().resolve() in self._locks

    def release(self, folder: str | Path) -> None:
        """Others may work in a project's folder again, unless this session keeps every project that it wrote to."""
        path = Path(folder).expanduser().resolve()
        if not self.exclusive and path in self._locks:
            self._locks.pop(path).release()

    def stay(self) -> Path:
        """Leave the folder there when it is closed, also a temporary one; returns it."""
        if self._temporary is not None:
            self._temporary.keep()
            self._temporary = None
        return self.path

    def close(self) -> None:
        """Others may work there; a temporary folder is removed."""
        self._let_go()
        if self._temporary is not None:
            self._temporary.remove()

    def _let_go(self, kept: Collection[Path] = ()) -> None:
        """Others may work in the folders from now on, but for those that are kept."""
        for path in self._locks.keys() - set(kept):
            self._locks.pop(path).release()
