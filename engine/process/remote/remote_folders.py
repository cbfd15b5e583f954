"""What a window elsewhere sees of the folders on this machine, and where a file that it sends is kept."""

import filecmp
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from .homecoming import stays_inside
from .protocol import Entry, FileBegins, Kept, Part, Seen

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
