"""The session folders of this user: which ended without being closed, what is in them, and which can go.

All of this looks at disks: it runs beside the interface's thread.
"""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.engine.storage.folder_lock import ENGINE, WINDOW, FolderLock

from ...document.job_state import UnfinishedJob
from .tape import LOG, read

EVENTS = "events.jsonl"
DISCARDED = "discarded"
"""A file that says that a session is not wanted any more: it goes at the next start."""
GONE = ".gone "
"""How a folder's name begins while it is being deleted."""
KEPT = 30 * 86400
"""Seconds that a session that was closed in order is kept, unless it stands in the list of what was opened lately."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A session that ended without being closed.

    Attributes:
        folder: Where it lies.
        name: Of the model, for a person.
        when: When it was last written to, in seconds since the epoch.
        states: How many states it has, the original included.
        steps: That could be undone.
        marked: Structures that were marked.
        locked: Structures that were locked.
        job: What was running, None for nothing.
    """

    folder: Path
    name: str
    when: float
    states: int
    steps: int = 0
    marked: int = 0
    locked: int = 0
    job: UnfinishedJob | None = None


def offers(root: Path) -> list[Offer]:
    """Sessions that ended without being closed and hold something, the newest first."""
    found = [offer for folder in _folders(root) if _broken_off(folder) if (offer := _offer(folder)) is not None]
    return sorted(found, key=lambda offer: -offer.when)


def discard(folder: Path, on: bool = True) -> None:
    """Have a session deleted at the next start, or not."""
    if on:
        (folder / DISCARDED).touch()
    else:
        (folder / DISCARDED).unlink(missing_ok=True)


def tidy(root: Path, wanted: Iterable[str] = (), now: float | None = None) -> list[Path]:
    """Delete sessions that nobody will miss; never one that a process works in. Returns what is gone.

    That is: what was discarded, what holds nothing but an opened model, and what was closed in order long ago.

    Args:
        root: Where session folders lie.
        wanted: Folders that stand in the list of what was opened lately.
        now: Seconds since the epoch.
    """
    kept, gone = set(wanted), list[Path]()
    for folder in root.glob(f"{GONE}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in _folders(root):
        if not _superfluous(folder, kept, time.time() if now is None else now) or FolderLock(folder, ENGINE).taken():
            continue
        lock = FolderLock(folder, WINDOW)
        if lock.take() and _delete(folder, lock):
            gone.append(folder)
    return gone


def _delete(folder: Path, lock: FolderLock) -> bool:
    """Under a name that no start looks at, so that half a folder is never offered."""
    moved = folder.with_name(f"{GONE}{folder.name}")
    try:
        folder.rename(moved)
    except OSError:  # where the system renames nothing that holds an open file
        return False
    finally:
        lock.release(clean=False)
    shutil.rmtree(moved, ignore_errors=True)
    return True


def states_of(folder: Path) -> int:
    """How many states a session's engine has kept, the original included; 0 where nothing was opened."""
    import msgspec  # not at the top: the window starts without it

    named = msgspec.defstruct("Named", [("id", str, "")])
    fields = [("event", str, ""), ("state", named, msgspec.field(default_factory=named))]
    decoder: Any = msgspec.json.Decoder(msgspec.defstruct("Record", fields))
    found = set[str]()
    try:
        lines = (folder / EVENTS).read_bytes().splitlines()
    except OSError:
        return 0
    for line in lines:
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if record.event == "opened":
            found = {record.state.id}
        elif record.event == "state":
            found.add(record.state.id)
    return len(found)


def _folders(root: Path) -> list[Path]:
    try:
        return [one for one in root.iterdir() if one.is_dir() and not one.name.startswith(".")]
    except OSError:
        return []


def _broken_off(folder: Path) -> bool:
    """Its window's lock is there, and no process holds it."""
    lock = FolderLock(folder, WINDOW)
    return lock.left and not (folder / DISCARDED).exists() and not lock.taken()


def _offer(folder: Path) -> Offer | None:
    """What there is to restore; None where that is no more than an opened model."""
    states, kept = states_of(folder), read(folder)
    if not states or (states == 1 and (kept is None or _untouched(folder))):
        return None
    when = _touched(folder)
    if kept is None:
        return Offer(folder, folder.name, when, states)
    now = kept.now
    counts = (kept.history.position, int(now.marked.sum()), int(now.locked.sum()))
    return Offer(folder, kept.name, when, states, *counts, kept.job)


def _touched(folder: Path) -> float:
    """When a session was last written to."""
    return max((folder / name).stat().st_mtime for name in (EVENTS, LOG) if (folder / name).exists())


def _untouched(folder: Path) -> bool:
    """Nothing but a model was opened there."""
    kept = read(folder)
    nothing = kept is None or not (kept.history.entries or kept.now.marked.any() or kept.now.locked.any() or kept.job)
    return nothing and states_of(folder) <= 1


def _superfluous(folder: Path, wanted: set[str], now: float) -> bool:
    if (folder / DISCARDED).exists():
        return True
    if str(folder) in wanted:
        return False
    if not (folder / EVENTS).exists() or _untouched(folder):
        return not _fresh(folder, now)
    return not FolderLock(folder, WINDOW).left and now - _touched(folder) > KEPT


def _fresh(folder: Path, now: float) -> bool:
    """A window is perhaps about to begin there."""
    return now - folder.stat().st_mtime < 60
