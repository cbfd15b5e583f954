"""A lock on a session's or project's folder that the system lets go when its process ends, however it ends.

The system's own lock (`filelock`), and not a file with a process id: ids are used again, and after `kill -9` such a
file says nothing. A record next to it says who holds the folder: it names that process to whoever has to wait, and
as it stays when the process was killed and goes when the folder was released in order, it tells how the last one ended.
"""

import json
import os
import platform
import re
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import Message, OpenError
from ..jobs import Job, Progress
from ..machine.operating_system import WINDOWS, runs
from .atomic_files import not_written

WINDOW = "window.lock"
"""Held by the window that works in a folder."""
ENGINE = "engine.lock"
"""Held by the process that writes states into a folder: a command, or the engine of a window, which it may outlive by a
moment."""
PATIENCE = 15.0
"""Seconds that a process may take to end whose owner was killed: the engine of a window, the workers of a command."""
LOOKS, LOOK = 20, 0.001
"""How often, and how many seconds apart, a lock is tried that has no record of a holder: `taken` holds it for a moment,
and who takes it has not written the record yet, or has just let go."""
RECORD = 10_000
"""Bytes of a record at most."""
PROGRAM = "secateur"
OWN_FILES = frozenset({"main.py", "__main__.py", "worker.py"})
"""Files of the program that Python may be started with."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a folder.

    Attributes:
        host: Name of the machine.
        pid: Process id there; of a window, not of its engine.
        command: What it is doing, as a person would call it.
        since: When it began, in ISO 8601 with the offset from UTC.
    """

    host: str
    pid: int
    command: str
    since: str = ""

    @property
    def alive(self) -> bool:
        """Whether a process runs under that id, as far as can be seen from here."""
        return self.host != platform.node() or runs(self.pid)


def this_process() -> Holder:
    """This process as a holder: called by the program's own command where it is one, else by the script that runs."""
    script, *rest = sys.argv or [""]
    name = Path(script).name or "python"
    if name in OWN_FILES or Path(script).stem == PROGRAM:
        command = rest[0] if rest and re.fullmatch("[a-z]+", rest[0]) else ""
        name = f"{PROGRAM} {command}".strip()
    return Holder(platform.node(), os.getpid(), name)


class FolderLock:
    """A lock on a folder, held by at most one process.

    Attributes:
        path: The file that the lock is on.
        record: The file that says who holds it, or held it when it was killed.
    """

    def __init__(self, folder: Path, name: str = WINDOW, holder: Holder | None = None) -> None:
        """Name the files; nothing is locked yet. `holder` is what others read, this process by default."""
        self.path = folder / name
        self.record = folder / f"{name}.json"
        self._holder = holder
        self._lock = FileLock(self.path, timeout=0, thread_local=False)
        self._made: tuple[Path, ...] = ()

    @property
    def held(self) -> bool:
        """Whether this lock holds the folder."""
        return self._lock.is_locked

    @property
    def left(self) -> bool:
        """Whether the folder is held now, or its last holder was killed."""
        return self.record.exists()

    @property
    def holder(self) -> Holder | None:
        """Who holds the folder, or held it when it was killed; None where that is not known."""
        try:
            with open(self.record, "rb", opener=_open_record) as file:
                record: Any = json.loads(file.read(RECORD))
            words = ("".join(filter(str.isprintable, str(record[name])))[:80] for name in ("host", "command", "since"))
            host, command, since = words
            return Holder(host, int(record["pid"]), command, since)
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return None

    def take(self, looks: int = LOOKS) -> bool:
        """Lock the folder (made where it is not there); False where another process holds it.

        Args:
            looks: How often it is tried while no record names a holder.

        Raises:
            OSError: The folder cannot be written.
        """
        if self.held:
            return True
        folder = self.path.parent
        self._made = tuple(one for one in (folder, *folder.parents) if not one.exists())
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(looks):
            with suppress(Timeout):
                self._lock.acquire()
                break
            # Where a living process says that it holds the folder there is no use in waiting.
            if (holder := self.holder) is not None and holder.alive:
                return False
            time.sleep(LOOK)
        else:
            return False
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            with open(self.record, "w", opener=_open_record) as file:
                file.write(json.dumps(asdict(replace(self._holder or this_process(), since=now))))
        except BaseException:
            self.release()
            raise
        return True

    def release(self, clean: bool = True) -> None:
        """Let go; `clean` removes the files, so that the folder counts as closed in order, and goes if it is empty."""
        if self.held:
            # Somebody has removed the folder.
            with suppress(OSError):
                if clean:
                    self.record.unlink(missing_ok=True)
                    # Windows removes it by itself, and lets nothing remove an open file.
                    if sys.platform != WINDOWS:
                        # Whoever has opened it meanwhile sees that it is gone.
                        self.path.unlink(missing_ok=True)
            self._lock.release()
            # A folder with something in it stays.
            with suppress(OSError):
                for one in self._made if clean else ():
                    one.rmdir()

    def taken(self) -> bool:
        """Whether some process holds the folder now."""
        if self.held:
            return True
        if not self.path.exists():
            return False
        try:
            self._lock.acquire()
        except Timeout:
            return True
        except OSError:
            return False
        self._lock.release()
        return False

    def wait(self) -> Job[None]:
        """Lock the folder; waits for what is left of a holder that has ended, and for no other.

        Raises:
            OpenError: Another process holds it ("session.in_use"), and which.
            SecateurError: The folder cannot be written.
        """
        end = time.monotonic() + PATIENCE
        try:
            while not self.take():
                holder, own = self.holder, self._holder or this_process()
                # An engine of this window that ran before is waited for, although its window lives.
                ours = holder is not None and (holder.host, holder.pid) == (own.host, own.pid)
                if (holder is not None and holder.alive and not ours) or time.monotonic() > end:
                    raise OpenError.saying(in_use(self.path.parent, holder))
                yield Progress("Waiting for the previous engine process to end")
                time.sleep(0.1)
        except OSError as error:
            raise not_written(self.path.parent, error) from error


def _open_record(path: str, flags: int) -> int:
    """Open a record, which came along with a project perhaps: no link to another file, and no pipe to wait for."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def in_use(folder: Path, holder: Holder | None) -> Message:
    """The sentence for a folder that another process holds."""
    if holder is None:
        template = "{folder} is in use by another process. Wait until it ends, or stop it."
        return Message("session.in_use_unknown", template, {"folder": str(folder)})
    template = (
        "{folder} is in use by {command} (process {pid} on {host}, since {since}). Wait until it ends, or stop it."
    )
    words = {"command": holder.command, "pid": str(holder.pid), "host": holder.host, "since": _time(holder.since)}
    return Message("session.in_use", template, {"folder": str(folder)} | words)


def _time(since: str) -> str:
    """A time for a person, here: with the date where that is another one."""
    try:
        when = datetime.fromisoformat(since).astimezone()
    except ValueError:
        return since
    today = when.date() == datetime.now().astimezone().date()
    return when.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
