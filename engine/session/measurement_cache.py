"""Measured points on disk, by content: whoever asks again for what was measured once gets it from here.

A file holds the points of one state on one task. Its name is the sha256 of the weights, of what is gone, and of the
task with the sizes and times of its files; each point is written when it is measured, so that a run goes on anywhere.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from ..errors import SecateurError
from ..machine.operating_system import cache_base, own_user
from ..sources.protocol import ModelSpec
from ..storage.event_log import EventLog
from ..storage.serialization import from_plain, to_json, to_plain
from ..tasks.protocol import TaskSpec
from .states import State

if TYPE_CHECKING:
    from .loaded_model import LoadedModel  # brings torch

SCHEMA = 3
"""Of what is kept: files of another one are not read, they have other names."""
TRAININGS = "recovery"
"""Folder of the checkpoints that interrupted trainings go on from; in a cache those of temporary sessions."""
ENGINES = "engines"
"""Folder of the engines that work here for windows on other machines, with the drafts of these."""
STAYS = (TRAININGS, ENGINES)
"""Folders of a cache that hold what cannot be measured again."""
Value = TypeVar("Value")


class Stored(Generic[Value]):
    """Values by key in a file of JSON lines.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, kind: type[Value]) -> None:
        """Read what is there; a damaged line is left out, and what it held is measured anew."""
        self.path = path
        self._log = EventLog(path)
        self._known = dict[str, Value]()
        for one in self._log.salvage()[0]:
            # Written by a version with another shape: what it held is measured anew.
            with suppress(KeyError, msgspec.MsgspecError):
                self._known[str(one["key"])] = from_plain(one["value"], kind)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def get(self, key: str) -> Value | None:
        """What was kept before."""
        return self._known.get(key)

    def put(self, key: str, value: Value) -> None:
        """Keep a value, on the disk before this returns."""
        self._log.append({"key": key, "value": to_plain(value)})
        self._known[key] = value


class Numbers(MutableMapping[int, float]):
    """Numbers by structure, in a file that is opened when the first is asked for."""

    def __init__(self, make: Callable[[], Stored[float]]) -> None:
        """`make` opens the file."""
        self._make = make

    @cached_property
    def _stored(self) -> Stored[float]:
        return self._make()

    def __getitem__(self, key: int) -> float:
        found = self._stored.get(str(key))
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: int, value: float) -> None:
        self._stored.put(str(key), value)

    def __delitem__(self, key: int) -> None:
        raise TypeError("Measurements so far are kept.")

    def __iter__(self) -> Iterator[int]:
        return map(int, self._stored)

    def __len__(self) -> int:
        return sum(1 for _ in self._stored)


def named_by(folder: Path, content: object) -> Path:
    """The file whose name says what its values are of: the sha256 of that, with the schema."""
    return folder / f"{hashlib.sha256(to_json([SCHEMA, content])).hexdigest()}.jsonl"


def points_of(folder: Path, state: State, live: "LoadedModel", task: TaskSpec, how: tuple[object, ...] = ()) -> Path:
    """The file of what is measured of a state on a task, in a folder of such files.

    Args:
        folder: Where the files lie.
        state: Which state.
        live: What was opened, and when: what changed later is not what is measured.
        task: What evaluates.
        how: What else decides about the values.
    """
    spec, opened = live.prepared.spec, live.opened
    code, data = fingerprint(file_of(spec)), fingerprint(task.path)
    # What tells the data of a task apart that no files tell apart; "" where files do.
    tell = getattr(live.task, "given", None)
    content = {
        "weights": state.weights,
        "removed": state.removed,
        "edits": to_plain(state.edits),
        "source": [spec.source, code, live.analysis.recorded],
        "task": [to_plain(task), data, ("" if tell is None else str(tell()))],
        "before": opened if max(code[1], data[1]) > opened else 0.0,
        "how": how,
    }
    return named_by(folder, content)


def file_of(spec: ModelSpec) -> str:
    """The Python file or folder that a model is opened from, "" where a library has it."""
    return spec.source.rpartition(":")[0] or spec.source


def user_cache() -> Path:
    """Where this user's caches are kept; below the folder of temporary files where the user has no home to write to."""
    try:
        cache = cache_base(os.environ, Path.home()) / "secateur"
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
    except (OSError, RuntimeError):  # a container that runs as a user without an entry, or a home that is read only
        pass
    user = own_user()
    own = Path(tempfile.gettempdir()) / f"secateur-cache-{'user' if user is None else user}"
    own.mkdir(mode=0o700, exist_ok=True)
    if user is not None and own.lstat().st_uid != user:
        template = "{folder} belongs to another user. Set XDG_CACHE_HOME to a folder that you can write to."
        raise SecateurError("cache.none", template, folder=str(own))
    return own


def size_of_cache(folder: Path) -> int:
    """Bytes of what `clear_cache` deletes in a cache."""
    sizes = list[int]()
    for path in _walked(folder):
        if path.relative_to(folder).parts[0] in STAYS:
            continue
        with suppress(OSError):  # another session may take it away meanwhile
            sizes.append(path.lstat().st_size)
    return sum(sizes)


def clear_cache(folder: Path) -> None:
    """Delete what was measured; trainings, drafts of windows elsewhere and what another program holds stay."""
    for one in [*folder.iterdir()] if folder.is_dir() else []:
        if one.name in STAYS:
            continue
        with suppress(OSError):
            # A link is removed, never what it leads to.
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one, ignore_errors=True)
            else:
                one.unlink()


def fingerprint(path: str) -> tuple[str, float]:
    """(of names, sizes and times of the files at a path, the latest time); ("", 0) where there are none."""
    place = Path(path)
    if not path or not place.exists():
        return "", 0.0
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    rows = [(str(p.relative_to(place)), s.st_size, s.st_mtime_ns) for p in files for s in [p.stat()]]
    latest = max((time for _, _, time in rows), default=0) / 1e9
    return hashlib.sha256(to_json(rows)).hexdigest(), latest


def listing(path: str, most: int = 50_000) -> str:
    """sha256 of names and sizes of the files at a path, the first `most` of them; "" where there are none.

    Unlike a fingerprint it is the same for a copy.
    """
    place = Path(path)
    if not path or not place.exists():
        return ""
    files = islice((p for p in _walked(place) if p.is_file()), most) if place.is_dir() else [place]
    rows = [(p.relative_to(place.parent if place.is_file() else place).as_posix(), p.stat().st_size) for p in files]
    return hashlib.sha256(to_json(rows)).hexdigest()


def _walked(folder: Path) -> Iterator[Path]:
    """Everything below a folder, in an order that stays."""
    for base, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(base) / name for name in sorted(files))
