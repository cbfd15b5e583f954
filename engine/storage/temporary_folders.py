"""Temporary folders, which go when they are no longer needed: also those of a run that was killed, at the next start.

Each holds a lock that the system lets go when its process ends. Folders without a living process are removed
before the first new one is made.
"""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ..errors import SecateurError
from ..machine.operating_system import own_user
from .folder_lock import FolderLock

PREFIX = "secateur-"
LOCK = ".temporary"
"""Says that a folder is a temporary one, and held by the process that made it."""


class TemporaryFolder:
    """A new folder, held by this process until it is removed or kept.

    Attributes:
        path: Where it is.
    """

    def __init__(self) -> None:
        """Make it; raises SecateurError where no temporary folder can be made."""
        remove_leftovers()
        try:
            while True:
                self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
                self._lock = FolderLock(self.path, LOCK)
                # Else another process took it for one that is left, and removes it.
                if self._lock.take(looks=1):
                    break
        except OSError as error:
            template = (
                "Cannot create a temporary folder: {reason}. Free some space, or set TMPDIR to a folder with space."
            )
            raise SecateurError("temporary.none", template, repr(error), reason=error.strerror or str(error)) from error

    def remove(self) -> None:
        """Remove it with all that is in it."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def keep(self) -> Path:
        """Let it stay after this process; returns its path."""
        self._lock.release()
        return self.path


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder that is there until the block ends."""
    folder = TemporaryFolder()
    try:
        yield folder.path
    finally:
        folder.remove()


@cache
def remove_leftovers() -> int:
    """Remove the temporary folders of this user whose processes have ended, once a process; returns how many."""
    count = 0
    try:
        names = [entry.path for entry in os.scandir(tempfile.gettempdir()) if entry.name.startswith(PREFIX)]
    except OSError:
        return 0
    for folder in map(Path, names):
        # A folder of this user's that was made here and not kept; a link is none.
        try:
            mine = own_user() in (None, folder.lstat().st_uid)
        except OSError:
            continue
        if not (mine and folder.is_dir() and not folder.is_symlink() and (folder / LOCK).is_file()):
            continue
        lock = FolderLock(folder, LOCK)
        try:
            taken = lock.take()
        except OSError:
            continue
        if taken:
            lock.release()
            shutil.rmtree(folder, ignore_errors=True)
            count += 1
    return count
