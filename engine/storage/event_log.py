"""The append-only event log of a session: one JSON object a line, each line flushed to the disk before going on."""

import contextlib
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec

from ..errors import OpenError
from .atomic_files import not_written
from .file_limits import read_whole
from .serialization import decoded, to_json

BYTES = 512 << 20
"""Bytes of a log that is read."""
PATIENCE, LOOK = 10.0, 0.005
"""Seconds that another program may take to add its record, and between two looks at whether it has."""


class EventLog:
    """A file of JSON lines. A last line torn by a crash is dropped; damage anywhere else is an error.

    Attributes:
        path: The file; need not exist.
    """

    def __init__(self, path: Path) -> None:
        """Take the file's path; nothing is written before the first `append`."""
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; after an error the file is as it was."""
        line = to_json(record) + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file, _lock_file(file.fileno()):
                file.truncate(end := self._sound_size())
                try:
                    while line:
                        line = line[os.write(file.fileno(), line) :]
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(file.fileno(), end)
                    raise
        except OSError as error:
            raise not_written(self.path, error) from error

    def read(self) -> list[dict[str, Any]]:
        """All records, oldest first."""
        if not self.path.exists():
            return []
        lines = self._content()[: self._sound_size()].splitlines()
        return [self._record(number, line) for number, line in enumerate(lines, 1)]

    def salvage(self) -> tuple[list[dict[str, Any]], list[int]]:
        """The records that can be read, and the numbers of the lines that cannot."""
        records, damaged = list[dict[str, Any]](), list[int]()
        lines = self._content()[: self._sound_size()].splitlines()
        for number, line in enumerate(lines, 1):
            try:
                records.append(self._record(number, line))
            except OpenError:
                damaged.append(number)
        return records, damaged

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            return _record(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            template = (
                "The history {path} is damaged at line {line}. Restore it from a backup, or open the model again."
            )
            raise OpenError(
                "session.damaged", template, details=str(error), path=str(self.path), line=number
            ) from error

    def _content(self) -> bytes:
        return read_whole(self.path, BYTES) if self.path.exists() else b""

    def _sound_size(self) -> int:
        """Bytes up to the last line that is whole."""
        data = self._content()
        end = data.rfind(b"\n") + 1
        start = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
        try:
            _record(data[start:end])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return start
        return end


@contextlib.contextmanager
def _lock_file(handle: int) -> Generator[None]:
    """No other process adds to an open file meanwhile: a cache of a user is one for all windows and commands.

    Else the record that another process has added after a look at the size would be cut off for a torn one. On systems
    and disks without such locks that may still happen, to what is measured again then; and where another program was
    stopped (Ctrl+Z) as it wrote, as it is waited for no longer than `PATIENCE`.
    """
    with contextlib.suppress(ImportError, OSError):
        # There is no such lock on Windows.
        import fcntl

        end = time.monotonic() + PATIENCE
        while True:
            try:
                # The lock goes with the open file.
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    break
                time.sleep(LOOK)
    yield


def _record(line: bytes) -> dict[str, Any]:
    """A line of the log; raises msgspec.MsgspecError."""
    return msgspec.convert(decoded(line), dict[str, Any])
