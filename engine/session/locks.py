"""A lock on a session's folder that the system lets go when its process ends, however it ends.

Not a file with a process id: ids are used again, and after `kill -9` such a file says nothing. The file that the lock
is on stays when its process was killed, and goes when it was released in order: that is how a clean end is known.
"""

import os
import sys
from pathlib import Path

WINDOW = "window.lock"
"""Held by the window that works in a folder."""
ENGINE = "engine.lock"
"""Held by the engine process that works in a folder: it may outlive its window by a moment."""


class FolderLock:
    """A lock on a folder, held by at most one process.

    Attributes:
        path: The file that the lock is on.
    """

    def __init__(self, folder: Path, name: str = WINDOW) -> None:
        """Name the file; nothing is locked yet."""
        self.path = folder / name
        self._handle = -1

    @property
    def held(self) -> bool:
        """Whether this lock holds the folder."""
        return self._handle >= 0

    def take(self) -> bool:
        """Lock the folder (made where it is not there); False where another process holds it. Raises OSError."""
        if self.held:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)  # not inherited by processes that are started
        if not _lock(handle):
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self, clean: bool = True) -> None:
        """Let go; `clean` removes the file, so that the folder counts as closed in order."""
        if self.held:
            if clean and sys.platform != "win32":
                self.path.unlink(missing_ok=True)
            os.close(self._handle)  # the lock goes with it
            self._handle = -1
            if clean and sys.platform == "win32":  # where an open file cannot be removed
                self.path.unlink(missing_ok=True)

    def taken(self) -> bool:
        """Whether some process holds the folder now."""
        if self.held:
            return True
        try:
            handle = os.open(self.path, os.O_RDWR)
        except OSError:
            return False
        try:
            return not _lock(handle)
        finally:
            os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
