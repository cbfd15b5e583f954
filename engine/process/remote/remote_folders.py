"""The folder of an engine on this machine, the way to its socket, and what a window elsewhere sees of other folders."""

import os
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ...errors import SecateurError
from ...session.measurement_cache import ENGINES, user_cache
from .protocol import Entry, Seen

NAME = re.compile(r"[a-z0-9]{8,32}")
"""What an engine may be called."""
SOCKET, SESSIONS, WRITTEN, LOG, HELD = "socket", "sessions", "written", "log", "held"


def engine_folder(name: str) -> Path:
    """The folder of an engine, made where it is missing; only its user may read it.

    Raises:
        SecateurError: The name is none, or the folder belongs to somebody else.
    """
    if not NAME.fullmatch(name):
        raise SecateurError("engine.name", "{name} is no name of an engine. Use letters and digits.", name=name[:50])
    folder = user_cache() / ENGINES / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        template = "{path} can be read by others. Remove it and connect again."
        raise SecateurError("engine.not_private", template, path=str(folder))
    (folder / SESSIONS).mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def inside_folder(folder: Path) -> Generator[None]:
    """Work in a folder: the name of a socket may have 107 bytes only, that of a folder more."""
    before = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def connect_to_engine(folder: Path) -> socket.socket | None:
    """A connection to the engine of a folder, None where none runs."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with inside_folder(folder):
            link.connect(SOCKET)
    except OSError:
        link.close()
        return None
    return link


MOST = 5000
"""Entries of a folder that are listed: a person does not look through more of them."""


def look_at(number: int, path: str) -> Seen:
    """What is at a path of this machine, as it was typed in a window elsewhere.

    Args:
        number: Of the call.
        path: Whole, or beginning in the home folder.
    """
    try:
        place = Path.home() / Path(path).expanduser()
        if not place.is_dir():
            return Seen(number, str(place), is_there=place.exists())
        names = sorted(os.listdir(place))
        entries = tuple(map(_entry, (place / name for name in names[:MOST])))
        return Seen(number, str(place), True, True, entries, max(len(names) - MOST, 0))
    except (OSError, RuntimeError, ValueError) as error:
        # Forbidden, an unknown user (~name), or no valid name at all.
        return Seen(number, path, error=getattr(error, "strerror", None) or str(error))


def _entry(path: Path) -> Entry:
    try:
        found = path.stat()
        folder = path.is_dir()
        return Entry(path.name, folder, 0 if folder else found.st_size, found.st_mtime)
    except OSError:
        # A link to nothing, or removed meanwhile.
        return Entry(path.name, False, 0, 0.0)
