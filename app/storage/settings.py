"""What the window remembers between starts: geometry, splitters, theme, what was opened.

One INI file of `QSettings`, which keeps what other windows wrote meanwhile. `store` returns at once, and a thread
writes. A file that cannot be read is set aside, and everything is as at the first start.
"""

import json
import threading
from pathlib import Path
from typing import Any, TypeVar, cast

from PySide6.QtCore import QByteArray, QCoreApplication, QEvent, QSettings, QStandardPaths

from secateur.engine.errors import SecateurError
from secateur.engine.sources.protocol import ModelSpec

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
    file, place = _file(), path()
    if value is None:
        file.remove(name)
    elif isinstance(value, (str, QByteArray)):
        file.setValue(name, value)
    else:
        file.setValue(name, QByteArray(value) if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False))
    _tasks.run(lambda: _write(place))


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

    def exists(source: str) -> bool:
        file = source.rpartition(":")[0] if ".py:" in source else source
        is_name = ":" in source and ".py:" not in source and not Path(source).exists()
        return is_name or Path(file).exists()

    return [entry for entry in entries if place or exists(entry[1])]


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
    """Read the file; one that cannot be read is set aside."""
    is_new = not place.exists()
    file = _Settings(place)
    version = _plain(file.value("version"), int)
    if is_new or (file.status() is QSettings.Status.NoError and version is not None and version <= VERSION):
        return file
    quarantine.quarantine_file(place, QCoreApplication.translate("Settings", "The settings"))
    return _Settings(place)


class RecentFiles:
    """Notes what was opened, in another thread: a disk may take longer than the window can wait."""

    def __init__(self, background: BackgroundTasks) -> None:
        """Write there, so that the newest is written last."""
        self._last: tuple[Any, ...] = ()
        self._background = background

    def remember(self, title: str, source: str, spec: ModelSpec | None = None, place: str = "") -> None:
        """Put something at the head of the list, unless it is there.

        Args:
            title: For a person.
            source: What it was opened by.
            spec: With which checkpoint and data.
            place: The machine of the engine that opened it, "" for this one.
        """
        if (title, source, spec, place) != self._last:
            self._last = title, source, spec, place

            def write() -> None:
                # Imported late: the window starts without it.
                import msgspec

                remember(title, source, None if spec is None else msgspec.to_builtins(spec), place)

            self._background.run(write)


def spec_of(source: str, place: str = "") -> ModelSpec | None:
    """How something of a place's list was opened, with checkpoint and data; None where only its name is known.

    Consent to run what came with a file is not remembered: the file may be another one now.
    """
    import msgspec

    try:
        spec = msgspec.convert(opened_with(source, place), ModelSpec)
    except msgspec.ValidationError:
        return None
    return spec.without_consent if spec.source == source else None
