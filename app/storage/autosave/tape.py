"""The file of the window's log: lines are added, and now and then it is written again, shorter."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from secateur.engine.storage.atomic_files import write

from .records import Reading
from .remembered import Remembered

LOG = "window.jsonl"
BOUND = 32_000_000
"""Bytes above which a log is written again, once it has also grown to four times what it then began with."""


class Tape:
    """A log that is open for adding.

    Attributes:
        path: The file.
        long: It should be written again.
    """

    def __init__(self, folder: Path) -> None:
        """Name the file; nothing is written yet."""
        self.path = folder / LOG
        self.long = False
        self._handle = -1
        self._size = self._first = 0
        self._open = threading.Lock()

    def renew(self, lines: Iterable[bytes]) -> None:
        """Replace the file by these lines, as a whole."""
        self.close()
        content = b"".join(lines)
        if self.path.exists():
            write(self.path, content)
        else:  # nothing is lost with it, and what comes next need not wait for the disk
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(content)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        self._size = self._first = len(content)
        self.long = False

    def add(self, line: bytes) -> None:
        """Add a line: there for whoever reads the file from now on, though perhaps not on the disk before `sync`."""
        left = line
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError:
            os.truncate(self.path, self._size)  # no half line: the next one would be unreadable too
            raise
        self._size += len(line)
        self.long = self._size > max(BOUND, 4 * self._first)

    def sync(self) -> None:
        """Wait for the disk, so that what was added is there also when the power goes; from any thread."""
        with self._open:
            handle = os.dup(self._handle) if self._handle >= 0 else -1
        if handle >= 0:
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self) -> None:
        """Let go of the file."""
        with self._open:
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = -1


def read(folder: Path, damaged: Callable[[Path], object] = lambda _path: None) -> Remembered | None:
    """What a folder's log tells, None without one.

    Every line tells what changed since the one before, so damage ends it there; a last line that was torn is the step
    that was being written.

    Args:
        folder: Of the session or project.
        damaged: Told the file, when more than its last line cannot be read.
    """
    path = folder / LOG
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        damaged(path)
        return None
    reading = Reading()
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            reading.take(line)
        except Exception:  # whatever a damaged line makes of itself
            if number < len(lines) or line.endswith(b"\n"):
                damaged(path)
            break
    return reading.kept
