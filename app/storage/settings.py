"""What the window remembers between starts: geometry, splitters, theme, what was opened.

One file of JSON with a version, replaced as a whole. `store` returns at once and a thread writes; what other windows
wrote meanwhile stays. A file that cannot be read is set aside, and everything is as at the first start.
"""

import base64
import json
import threading
from pathlib import Path
from typing import Any, TypeVar, cast

from PySide6.QtCore import QByteArray, QCoreApplication, QStandardPaths

from secateur.engine.errors import SecateurError
from secateur.engine.storage.atomic_files import write

from . import quarantine
from .background import BackgroundTasks

NAME = "secateur"
RECENT = 8
VERSION = 1
"""Of the file. A later version's file is set aside, not misread."""
BYTES = "base64"
Value = TypeVar("Value")


class _File:
    """What one file holds, and what of it is not written yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.guard = threading.RLock()
        self.values = self._read()
        self._unwritten: dict[str, Any] = {}
        self._writing: dict[str, Any] = {}

    def put(self, name: str, value: Any) -> None:
        """Change a value in memory; `write` keeps it."""
        with self.guard:
            for values in (self.values, self._unwritten):
                values[name] = value

    def write(self) -> None:
        """Put what was changed here into the file; the rest of it is as another window may have left it."""
        with self.guard:
            self._writing, self._unwritten = self._unwritten, {}
            changed = dict(self._writing)
        try:
            if changed:  # else an earlier task wrote it too
                values = {name: value for name, value in (self._read() | changed).items() if value is not None}
                content = json.dumps({"version": VERSION, "values": values}, indent=1, ensure_ascii=False)
                write(self.path, content.encode() + b"\n")
        finally:
            with self.guard:
                self._writing = {}

    def refresh(self) -> None:
        """See what another window has written meanwhile."""
        with self.guard:
            self.values = self._read() | self._writing | self._unwritten

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_bytes())
            version, values = content["version"], content["values"]
            if version == VERSION and isinstance(values, dict):
                return values
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass
        quarantine.set_aside(self.path, QCoreApplication.translate("Settings", "The settings"))
        return {}


_files: dict[Path, _File] = {}
_finding = threading.Lock()


def _unwritable(error: Exception) -> None:
    words = QCoreApplication.translate("Settings", "The settings could not be saved: {reason}")
    quarantine.tell(words.format(reason=error if isinstance(error, SecateurError) else repr(error)))


_tasks = BackgroundTasks("settings", _unwritable)


def path() -> Path:
    """The settings file of this user."""
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericConfigLocation)
    return Path(place) / NAME / "settings.json"


def value(name: str, default: Value) -> Value:
    """What was stored by that name; the default where nothing was, or nothing of the default's type."""
    file = _file()
    with file.guard:
        found: Any = _from_json(file.values.get(name))
    if type(default) is float and type(found) is int:
        found = float(found)
    fits = default is None or type(found) is type(default)
    return cast("Value", found) if fits else default


def store(name: str, value: Any) -> None:
    """Keep a value: what JSON has, or bytes (a QByteArray too); None forgets it. Written soon, in another thread."""
    file = _file()
    file.put(name, _to_json(value))
    _tasks.run(file.write)


def flush() -> None:
    """Wait until everything that was stored is in the file."""
    _tasks.flush()


def recent() -> list[tuple[str, str]]:
    """(title, source) of what was opened, newest first; files that are gone are left out."""
    return [(title, source) for title, source, _ in _entries()]


def opened_with(source: str) -> Any:
    """What was kept with a source of `recent`, as JSON has it; None where nothing was."""
    return next((kept for _, known, kept in _entries() if known == source), None)


def remember(title: str, source: str, kept: Any = None) -> None:
    """Put something at the head of what was opened; looks at the disk."""
    _file().refresh()
    entries = [(title, source, kept)] + [entry for entry in _entries() if entry[1] != source]
    store("recent", [list(entry) for entry in entries[:RECENT]])


def _entries() -> list[tuple[str, str, Any]]:
    found = [entry for entry in value("recent", []) if isinstance(entry, list) and len(entry) in (2, 3)]
    return [(str(one[0]), str(one[1]), one[2] if len(one) > 2 else None) for one in found if _exists(str(one[1]))]


def forget() -> None:
    """Forget what was opened."""
    store("recent", None)


def load(name: str) -> QByteArray:
    """A stored geometry, empty when there is none."""
    return QByteArray(value(name, b""))


def theme_choice() -> str:
    """The look that was chosen: system, light or dark."""
    chosen = value("theme", "system")
    return chosen if chosen in ("system", "light", "dark") else "system"


def _file() -> _File:
    place = path()
    with _finding:
        if place not in _files:
            _files[place] = _File(place)
        return _files[place]


def _to_json(value: Any) -> Any:
    if isinstance(value, QByteArray):
        value = value.data()
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict) and list(value) == [BYTES]:
        try:
            return base64.b64decode(str(value[BYTES]), validate=True)
        except ValueError:
            return None
    return value


def _exists(source: str) -> bool:
    file = source.rpartition(":")[0] if ".py:" in source else source
    is_name = ":" in source and ".py:" not in source and not Path(source).exists()
    return is_name or Path(file).exists()
