"""What a file that somebody else made may be, and how much of it is read: the one place for every such bound.

A file must be a regular one, and what it says that it unpacks to must be in proportion to what lies on disk. An honest
file of any size passes: only the smallest unpacked sizes are absolute. Loads no torch.
"""

import errno
import hashlib
import json
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

from ..errors import Message, OpenError, SecateurError
from ..machine.out_of_memory import runs_out_of_memory
from ..text.format import byte_size

UNPACKED = 256 << 20
"""Bytes that every file may unpack to, however small it is."""
RATIO = 20
"""How many times its size on disk a file may unpack to beyond that; images and arrays of numbers stay far below."""
JSON_BYTES = 256 << 20
"""Bytes of a JSON file that is read whole."""
SHOWN = 200
"""Characters of a name that a sentence says."""
DEEPEST = 100
"""Levels of lists and dicts in JSON: whatever handles them may call itself for each."""
MEMBERS = 100_000
"""Files in an archive: a checkpoint has one for each tensor."""
FOLDERS = 50_000
"""Folders below one that is named as data."""
ARCHIVE_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,  # of a password; NotImplementedError of an unknown version, method or flag is one too
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What `zipfile` raises at archives that are damaged, or made by something newer."""
SPECIAL = {
    stat.S_IFIFO: Message("file.pipe", "a named pipe"),
    stat.S_IFCHR: Message("file.device", "a device"),
    stat.S_IFBLK: Message("file.device", "a device"),
    stat.S_IFSOCK: Message("file.socket", "a socket"),
}
"""What can never be read to its end, or waits for another program when it is opened."""


def unusable(error: BaseException) -> OpenError | None:
    """The sentence for what the system says of a file, wherever that comes up; None for any other error."""
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return None
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}\u2026"
    template = "Cannot use {path}: {reason}. Name another file or folder."
    return OpenError("file.unusable", template, repr(error)[:1000], path=shown, reason=error.strerror)


@contextmanager
def foreign_reader(what: str, error: type[SecateurError] = OpenError) -> Generator[None]:
    """Turn whatever a library raises over a file of others into one sentence; its own text is in the details.

    Args:
        what: The file, folder or name, for the sentence.
        error: Class of what is raised.
    """
    try:
        yield
    except (SecateurError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as cause:  # a library in Rust panics with what is no Exception; code of a user's may exit
        if runs_out_of_memory(cause):
            raise
        if (known := unusable(cause)) is not None:
            raise known from cause
        template = "Cannot read {path}: it is damaged, or holds values that no reader takes ({kind}). Get it again."
        text, kind = f"{type(cause).__name__}: {cause}", type(cause).__name__
        raise error("file.reader", template, text, path=what[:SHOWN], kind=kind) from cause


def check_special(path: Path, error: type[SecateurError] = OpenError) -> None:
    """Raise an error where a path is a pipe, a device or a socket; what is not there, or is a folder, passes.

    Args:
        path: Looked at, never opened.
        error: Class of what is raised.
    """
    try:
        found = SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
    except (OSError, ValueError):  # whoever opens it says what is wrong
        return
    if found is not None:
        template = "{path} is {what}. Name a regular file."
        raise error("file.special", template, path=str(path), what=found)


def disk_size(path: Path) -> int:
    """Bytes that a file takes on disk: the holes of a sparse file do not count. Raises OSError."""
    found = path.stat()
    blocks: int = getattr(found, "st_blocks", 0)  # Windows and some network file systems do not tell
    if blocks or not found.st_size or not hasattr(os, "SEEK_DATA"):
        return min(found.st_size, blocks * 512) if blocks else found.st_size
    with path.open("rb") as file:
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError as error:
            return 0 if error.errno == errno.ENXIO else found.st_size  # ENXIO: there is nothing but a hole
    return found.st_size


def check_unpacked(path: Path, size: int, packed: int | None = None, error: type[SecateurError] = OpenError) -> None:
    """Raise an error where a file, or a part of one, unpacks to far more than it holds.

    Args:
        path: For the sentence.
        size: Bytes that it unpacks to, as it says.
        packed: Bytes that it takes on disk; the whole file by default.
        error: Class of what is raised.
    """
    held = disk_size(path) if packed is None else packed
    if size > max(UNPACKED, RATIO * held):
        template = (
            "{path} takes {packed} on disk but unpacks to {size}. Save it uncompressed, or get it from another source."
        )
        raise error(
            "file.unpacked", template, path=str(path), packed=byte_size(held), size=byte_size(min(size, 1 << 62))
        )


def check_archive(path: Path, archive: zipfile.ZipFile, error: type[SecateurError] = OpenError) -> None:
    """Raise an error where the members of a zip file overlap, are too many or unpack to far more than the file.

    Args:
        path: The file.
        archive: The same, opened.
        error: Class of what is raised.
    """
    infos = archive.infolist()
    if len(infos) > MEMBERS:
        template = (
            "{path} contains {count} files, more than a checkpoint or data set should. Get it from another source."
        )
        raise error("file.members", template, path=str(path), count=len(infos))
    end = 0
    for info in sorted(infos, key=lambda one: one.header_offset):
        if info.header_offset < end:
            template = "{path} contains files that overlap. Get it from another source."
            raise error("file.overlap", template, path=str(path))
        end = info.header_offset + info.compress_size
    check_unpacked(path, sum(info.file_size for info in infos), error=error)


def read_whole(path: Path, most: int = JSON_BYTES, error: type[SecateurError] = OpenError) -> bytes:
    """The content of a file that is small by its nature.

    Args:
        path: A regular file.
        most: Bytes that such a file has at most.
        error: Class of what is raised where it is special or larger.

    Raises:
        OSError: It cannot be read.
    """
    check_special(path, error)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > most else file.read(most + 1)
    if size > most or len(data) > most:
        template = "{path} has {size}; a file of this kind may have at most {most}. Get it from another source."
        raise error("file.large", template, path=str(path), size=byte_size(size), most=byte_size(most))
    return data


def parse_json(data: bytes | str) -> Any:
    """JSON as Python's own parser reads it.

    Raises:
        ValueError: It is no JSON, no UTF-8, or nested deeper than can be read.
    """
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if is_deep(found):
        raise ValueError("it is nested too deeply")
    return found


def is_deep(value: Any) -> bool:
    """Whether lists and dicts, as JSON gives them, are nested deeper than any file that is meant to be read."""
    level: list[Any] = [[value]]
    for _ in range(DEEPEST):
        inner = (cast("dict[str, Any]", one).values() if isinstance(one, dict) else one for one in level)
        level = [one for some in cast("Iterable[Iterable[Any]]", inner) for one in some if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def walked(
    folder: Path, error: type[SecateurError] = OpenError, visits: Iterator[int] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Each folder below one, links followed, with the names of its files in order; a folder twice is taken once.

    A folder that links to itself, or to one above, has no end otherwise.

    Args:
        folder: Where to begin; it comes first.
        error: Class of what is raised where there are more folders than any data set has.
        visits: Counts folders from 1; shared where several walks are one.
    """
    visits, seen = visits or count(1), set[tuple[int, int]]()
    for base, folders, files in os.walk(folder, followlinks=True):
        if next(visits) > FOLDERS:
            template = "{path} contains more than {most} folders. Name the folder that holds only the data."
            raise error("file.folders", template, path=str(folder), most=FOLDERS)
        try:
            found = os.stat(base)
        except OSError:  # it has gone meanwhile
            continue
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders.sort()
        yield base, sorted(files)


_sound = set[tuple[str | int, ...]]()
"""Digest, place on disk, size and time of the files that this process has found whole: they are not hashed again."""


def checked_weights(path: Path, owner: str = "") -> Path:
    """A file whose content is what its name says.

    Args:
        path: Named by its sha256.
        owner: The state or baseline that has these weights, for the sentence.

    Raises:
        OpenError: It is missing or damaged.
    """
    check_special(path)
    try:
        if (version := _version(path)) not in _sound:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != path.stem:
                raise damaged_weights(path, owner, f"sha256 {found}")
            _sound.add(version)
    except OSError as error:
        raise damaged_weights(path, owner, str(error)) from error
    return path


def take_as_sound(path: Path) -> None:
    """Remember a file that this process has just written and hashed."""
    _sound.add(_version(path))


def damaged_weights(path: Path, owner: str, details: str = "") -> OpenError:
    """The error for a file of weights that is not what its name says."""
    template = (
        "The weights of {owner} are missing or damaged: {path}. Restore that file from a backup; what does not need it "
        "can still be used."
    )
    return OpenError("session.weights", template, details, owner=owner or path.stem[:12], path=str(path))


def _version(path: Path) -> tuple[str | int, ...]:
    """What a file is known by until somebody writes to it."""
    found = path.stat()
    return path.stem, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
