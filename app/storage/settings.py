"""What the window remembers between starts: geometry, splitters, theme, what was opened.

One INI file of `QSettings`, which keeps what other windows wrote meanwhile. `store` returns at once, and a thread
writes. A file that cannot be read is set aside, and everything is as at the first start. The JSON file of earlier
versions is read once, when there is no INI file yet.
"""

import base64
import json
import threading
from pathlib import Path
from typing import Any, TypeVar, cast

from PySide6.QtCore import QByteArray, QCoreApplication, QEvent, QSettings, QStandardPaths

from secateur.engine.errors import SecateurError

from . import quarantine
from .background import CLOSING, BackgroundTasks

NAME = "secateur"
RECENT = 8
THREADS, DEVICE, ASK_CANCEL, ASK_CLOSE, STILL = "threads", "device", "ask_cancel", "ask_close", "still"
"""Names of preferences."""
ENGINES = "engines"
"""Name of the addresses of machines that were connected, the last one first."""
BOARDS = "boards"
"""Name of the addresses of machines that were measured on, the last one first."""
VERSION = 2
"""Of the file. A later version's file is set aside, not misread."""
FORMER, FORMER_VERSION, FORMER_BYTES = "settings.json", 1, "base64"
"""The file of earlier versions, its version, and what marks bytes in it."""
Value = TypeVar("Value")


class _Settings(QSettings):
    """Values of one file; Qt would write them in the interface's thread, as soon as it is idle."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file), QSettings.Format.IniFormat)

    def event(self, event: QEvent) -> bool:
        """Leave the writing to `_write`."""
        return event.type() is QEvent.Type.UpdateRequest or super().event(event)


_opened: dict[Path, dict[int, _Settings]] = {}
"""By file and thread: Qt shares what they hold, but each belongs to one thread."""
_finding = threading.RLock()


def _unwritable(error: Exception) -> None:
    words = QCoreApplication.translate("Settings", "The settings could not be saved: {reason}")
    quarantine.add_notice(words.format(reason=error if isinstance(error, (SecateurError, OSError)) else repr(error)))


_tasks = BackgroundTasks("settings", _unwritable)


def path() -> Path:
    """The settings file of this user."""
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericConfigLocation)
    return Path(place) / NAME / "settings.ini"


def value(name: str, default: Value) -> Value:
    """What was stored by that name; the default where nothing was, or nothing of the default's type."""
    found = _plain(_file().value(name), type(default))
    return default if found is None else cast("Value", found)


def _plain(found: object, kind: type) -> Any:
    """A stored value as the kind that is expected, None where it is none."""
    if kind is bytes:
        return found.data() if isinstance(found, QByteArray) else None
    if not isinstance(found, str) or kind is str:
        return found if kind is str and isinstance(found, str) else None
    try:
        read = json.loads(found)
    except (ValueError, RecursionError):
        return None
    read = float(read) if kind is float and type(read) is int else read
    return read if type(read) is kind else None


def store(name: str, value: Any) -> None:
    """Keep a value: what JSON has, or bytes (a QByteArray too); None forgets it. Written soon, in another thread."""
    place = path()
    _put(_file(), name, value)
    _tasks.run(lambda: _write(place))


def _put(file: QSettings, name: str, value: Any) -> None:
    """Change a value in memory: text and bytes as they are, all else as JSON writes it."""
    if value is None:
        file.remove(name)
    elif isinstance(value, (str, QByteArray)):
        file.setValue(name, value)
    else:
        file.setValue(name, QByteArray(value) if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False))


def _write(place: Path) -> None:
    """Put what was changed into the file; Qt shares it between all settings of one file."""
    file = _Settings(place)
    file.setValue("version", str(VERSION))
    file.sync()
    if file.status() is QSettings.Status.AccessError:
        raise PermissionError(str(place))


def flush(seconds: float = CLOSING) -> bool:
    """Wait until everything that was stored is in the file, at most so long; whether it is."""
    return _tasks.flush(seconds)


# What was opened is listed for each machine that an engine ran on: a path means nothing on another one. That machine is
# `place`, "" for this one.


def recent(place: str = "") -> list[tuple[str, str]]:
    """(title, source) of what was opened, newest first; files of this machine that are gone are left out."""
    return [(title, source) for title, source, _ in _entries(place)]


def opened_with(source: str, place: str = "") -> Any:
    """What was kept with a source of `recent`, as JSON has it; None where nothing was."""
    return next((kept for _, known, kept in _entries(place) if known == source), None)


def remember(title: str, source: str, kept: Any = None, place: str = "") -> None:
    """Put something at the head of what was opened; looks at the disk."""
    _file().sync()
    entries = [(title, source, kept)] + [entry for entry in _entries(place) if entry[1] != source]
    store(_recent_at(place), [list(entry) for entry in entries[:RECENT]])


def _recent_at(place: str) -> str:
    return f"recent on {place}" if place else "recent"


def _entries(place: str) -> list[tuple[str, str, Any]]:
    found = [one for one in value(_recent_at(place), []) if isinstance(one, list) and len(one) in (2, 3)]
    entries = [(str(one[0]), str(one[1]), one[2] if len(one) > 2 else None) for one in found]
    return [entry for entry in entries if place or _exists(entry[1])]


def machines(name: str) -> list[str]:
    """Addresses of machines that are kept under a name (`ENGINES`, `BOARDS`), the last one first."""
    return [one for one in value(name, []) if isinstance(one, str)]


def remember_machine(name: str, address: str) -> None:
    """Put an address before the others of its name."""
    store(name, [address, *(one for one in machines(name) if one != address)][:RECENT])


def forget(place: str = "") -> None:
    """Forget what was opened."""
    store(_recent_at(place), None)


def load(name: str) -> QByteArray:
    """A stored geometry, empty when there is none."""
    return QByteArray(value(name, b""))


def theme_choice() -> str:
    """The look that was chosen: system, light, dark or contrast."""
    chosen = value("theme", "system")
    return chosen if chosen in ("system", "light", "dark", "contrast") else "system"


def _file() -> _Settings:
    """The settings of this user, for this thread."""
    place, thread = path(), threading.get_ident()
    with _finding:
        if place not in _opened:
            _opened[place] = {thread: _open(place)}
        elif thread not in _opened[place]:
            _opened[place][thread] = _Settings(place)
        return _opened[place][thread]


def _open(place: Path) -> _Settings:
    """Read the file; the first time what an earlier version had. What cannot be read is set aside."""
    words = QCoreApplication.translate("Settings", "The settings")
    if not place.exists():
        file = _Settings(place)
        for name, kept in _former(place.with_name(FORMER), words).items():
            _put(file, name, kept)
        return file
    file = _Settings(place)
    version = _plain(file.value("version"), int)
    if file.status() is QSettings.Status.NoError and version is not None and version <= VERSION:
        return file
    quarantine.quarantine_file(place, words)
    return _Settings(place)


def _former(place: Path, words: str) -> dict[str, Any]:
    """What the file of an earlier version holds."""
    try:
        content = json.loads(place.read_bytes())
        if content["version"] == FORMER_VERSION:
            return {name: _former_value(kept) for name, kept in dict(content["values"]).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    quarantine.quarantine_file(place, words)
    return {}


def _former_value(kept: Any) -> Any:
    bytes_in_it = isinstance(kept, dict) and list(kept) == [FORMER_BYTES]
    return base64.b64decode(str(kept[FORMER_BYTES]), validate=True) if bytes_in_it else kept


def _exists(source: str) -> bool:
    file = source.rpartition(":")[0] if ".py:" in source else source
    is_name = ":" in source and ".py:" not in source and not Path(source).exists()
    return is_name or Path(file).exists()
