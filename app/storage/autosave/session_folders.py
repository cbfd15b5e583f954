"""The session folders of this user: which hold unsaved work, what is in them, and which can go.

All of this reads disks: call it outside the interface's thread.
"""

import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from secateur.engine.storage.folder_lock import ENGINE, WINDOW, FolderLock
from secateur.engine.structures.analysis import Kind

from ...document.job_state import UnfinishedJob
from .remote_engine import ENGINE as REMOTE
from .remote_engine import RemoteEngine, remote_engine_of
from .window_file import WINDOW as WINDOW_FILE
from .window_file import read

EVENTS = "events.jsonl"
DISCARDED = "discarded"
"""A file that says that a session is not wanted any more: it goes at the next start."""
GONE = ".gone "
"""How a folder's name begins while it is being deleted."""
FRESH = 60
"""Seconds for which an empty folder is left alone."""
KEPT = 30 * 86400
"""Seconds that a session is kept whose work was all saved in a project."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A session with unsaved work that no window is open on.

    Attributes:
        folder: The session's.
        name: Of the model, for a person.
        when: When it was last written to, in seconds since the epoch.
        states: How many states it has, the original included.
        crashed: Its window did not close normally.
        steps: That could be undone.
        marked: Kinds of structures that were marked, and how many.
        locked: Structures that were locked.
        job: What was running, None for nothing.
        engine: The engine elsewhere that has its states, None for this machine.
    """

    folder: Path
    name: str
    when: float
    states: int
    crashed: bool
    steps: int = 0
    marked: tuple[tuple[Kind, int], ...] = ()
    locked: int = 0
    job: UnfinishedJob | None = None
    engine: RemoteEngine | None = None


def drafts(root: Path) -> list[Draft]:
    """Sessions with unsaved work that no process holds, the newest first."""
    free = (one for one in _folders(root) if not (one / DISCARDED).exists() and not FolderLock(one, WINDOW).taken())
    contents = [_content(folder) for folder in free]
    found = [one.draft for one in contents if one.draft.states and (one.unsaved or one.draft.crashed)]
    return sorted(found, key=lambda draft: -draft.when)


def discard(folder: Path, on: bool = True) -> None:
    """Have a session deleted at the next start, or not."""
    if on:
        (folder / DISCARDED).touch()
    else:
        (folder / DISCARDED).unlink(missing_ok=True)


def tidy(root: Path, now: float | None = None) -> list[Path]:
    """Delete sessions without unsaved work; never one that a process works in. Returns what is gone.

    That is: what was discarded, what holds nothing but an opened model, and what was saved and closed long ago. Unsaved
    work stays until somebody discards it.

    Args:
        root: The folder of all sessions.
        now: Seconds since the epoch.
    """
    gone = list[Path]()
    for folder in root.glob(f"{GONE}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in _folders(root):
        if not _superfluous(folder, time.time() if now is None else now) or FolderLock(folder, ENGINE).taken():
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
    except OSError:
        # Some systems do not rename a folder that holds an open file.
        return False
    finally:
        lock.release(clean=False)
    shutil.rmtree(moved, ignore_errors=True)
    return True


def states_of(folder: Path) -> int:
    """How many states a session's engine has kept, the original included; 0 where nothing was opened."""
    # Imported late: the window starts without it.
    import msgspec

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


@dataclass(frozen=True, slots=True)
class _Content:
    """What a session's folder holds.

    Attributes:
        draft: What there is to go on with.
        work: More was done than to open a model.
        unsaved: Some of it is in no project.
    """

    draft: Draft
    work: bool
    unsaved: bool


def _content(folder: Path) -> _Content:
    """Read a folder, unless nothing was written in it since that was done last."""
    times = {
        name: (folder / name).stat().st_mtime for name in (EVENTS, WINDOW_FILE, REMOTE) if (folder / name).exists()
    }
    found = _read_content(folder, tuple(times.items()))
    return replace(found, draft=replace(found.draft, crashed=found.work and FolderLock(folder, WINDOW).left))


@lru_cache(maxsize=256)
def _read_content(folder: Path, times: tuple[tuple[str, float], ...]) -> _Content:
    """What its files say; `times` is when each was written to."""
    engine, kept, when = remote_engine_of(folder), read(folder), max((time for _, time in times), default=0.0)
    # The engine elsewhere knows the other states.
    states = states_of(folder) if engine is None else 1
    if kept is None:
        draft = Draft(folder, folder.name, when, states, crashed=False, engine=engine)
        return _Content(draft, work=states > 1, unsaved=states > 1)
    now, history = kept.now, kept.history
    marks = bool(history.entries or now.marked.any() or now.locked.any() or kept.job)
    found = Counter[Kind]()
    place = 0
    for key, count in zip(kept.layout.keys, kept.layout.counts, strict=True):
        marked = int(kept.now.marked[place : place + count].sum())
        place += count
        # Another version may know other kinds.
        with suppress(ValueError):
            found[Kind(key.partition("|")[0])] += marked
    draft = Draft(
        folder=folder,
        name=kept.name,
        when=when,
        states=states,
        crashed=False,
        steps=history.position,
        marked=tuple((kind, count) for kind, count in found.items() if count),
        locked=int(now.locked.sum()),
        job=kept.job,
        engine=engine,
    )
    work = states > 1 or marks
    return _Content(draft, work=work, unsaved=work and (kept.job is not None or not history.clean))


def _superfluous(folder: Path, now: float) -> bool:
    if (folder / DISCARDED).exists():
        return True
    content = _content(folder)
    here = (folder / EVENTS).exists() or content.draft.engine is not None
    if not here or not content.work:
        # A window is perhaps about to begin in a fresh one.
        return now - folder.stat().st_mtime >= FRESH
    return not content.unsaved and not content.draft.crashed and now - content.draft.when > KEPT
