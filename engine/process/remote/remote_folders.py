"""What a window elsewhere sees of the folders on this machine, and where a file that it sends is kept."""

import filecmp
import os
import re
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ...errors import SecateurError
from ...session.measurement_cache import ENGINES, user_cache
from .homecoming import stays_inside
from .protocol import Entry, FileBegins, Kept, Part, Seen

NAME = re.compile(r"[a-z0-9]{8,32}")
"""What an engine may be called."""
SOCKET, SESSIONS, WRITTEN, LOG, HELD = "socket", "sessions", "written", "log", "held"


def engine_folder(name: str) -> Path:
    """The folder of an engine, made where it is missing; nobody else may look into it.

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


def reached(folder: Path) -> socket.socket | None:
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
"""Entries of a folder that are told; nobody looks through more of them."""
SENT = "secateur-files"
"""Folder in the home folder that files of windows elsewhere are kept in."""


def seen(number: int, path: str) -> Seen:
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
    except (OSError, RuntimeError, ValueError) as error:  # forbidden, a user that there is not, no name of anything
        return Seen(number, path, error=getattr(error, "strerror", None) or str(error))


def _entry(path: Path) -> Entry:
    try:
        found = path.stat()
        folder = path.is_dir()
        return Entry(path.name, folder, 0 if folder else found.st_size, found.st_mtime)
    except OSError:  # a link to nothing, or removed meanwhile
        return Entry(path.name, False, 0, 0.0)


class ReceivedFiles:
    """Files that a window elsewhere sends, one at a time: each is kept whole or not at all, and replaces none."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._number, self._name = 0, ""
        self._file: BinaryIO | None = None
        self._staged: Path | None = None
        self._error = ""

    def begin(self, what: FileBegins) -> None:
        """A file follows; one that was not whole is dropped."""
        self.drop()
        self._error, self._number, self._name = "", what.number, what.name
        try:
            if not stays_inside(what.name) or "/" in what.name or what.name in ("", "."):
                raise OSError(0, "this is no name of a file")
            folder = Path.home() / SENT
            folder.mkdir(exist_ok=True)
            handle, staged = tempfile.mkstemp(prefix=".secateur-", dir=folder)
            self._file, self._staged = os.fdopen(handle, "wb"), Path(staged)
        except OSError as error:
            self._error = str(error.strerror)

    def add(self, what: Part) -> None:
        """The next bytes."""
        if self._file is not None and what.number == self._number:
            try:
                self._file.write(what.data)
            except OSError as error:
                self._fail(error)

    def finish(self, number: int) -> Kept:
        """Keep the file, under a name that is free, or that has the same content."""
        if number != self._number:
            return Kept(number, "", "the file was cut short")
        if self._file is not None and self._staged is not None:
            try:
                self._file.close()
                return Kept(number, str(_kept(self._staged, self._name)))
            except OSError as error:
                self._fail(error)
            finally:
                self.drop()
        return Kept(number, "", self._error or "the file was cut short")

    def drop(self) -> None:
        """Remove what has come of a file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        if self._staged is not None:
            self._staged.unlink(missing_ok=True)
            self._staged = None

    def _fail(self, error: OSError) -> None:
        self._error = str(error.strerror)
        self.drop()


def _kept(staged: Path, name: str) -> Path:
    """Give a file its name, with a number in it where another file has that."""
    first = staged.with_name(name)
    place, count = first, 1
    while True:
        try:
            place.open("xb").close()
            os.replace(staged, place)
            return place
        except FileExistsError:
            if place.is_file() and filecmp.cmp(staged, place, shallow=False):
                return place
            count += 1
            place = first.with_name(f"{first.stem}-{count}{first.suffix}")
