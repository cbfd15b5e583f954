"""What this process has read and run of users' code, by content: what was trusted is what runs.

Consent is to files as they were when the user gave it, and somebody may write to them before they are imported. Whoever
imports one (`sys_path`) therefore hands in the very bytes that it is about to run.
"""

import hashlib
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import OpenError
from ..messages import all_of

ANY = ""
"""In the place of a digest: the file as it is when it is read, for the user has just named it."""
asked: dict[str, str] = {}
"""Files that the user was asked about, with the sha256 that they had then: an answer is about these."""
_read: dict[str, str] = {}
"""Files that were imported, with the sha256 of what ran."""
_imported_with: dict[str, set[str]] = {}
"""File that was imported by name -> all that its import has read."""


@dataclass(slots=True)
class _Latest:
    """What the user consented to last, and the file whose import is going on; "" where none is."""

    allowed: Mapping[str, str] = field(default_factory=dict[str, str])
    root: str = ""


_latest = _Latest()


def digest_of(path: str | Path) -> str:
    """sha256 of a file's content; of one that cannot be read a word that no file has."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def content_as_read(path: str) -> str:
    """sha256 of a file as it ran in this process; as it is now where it did not."""
    return _read.get(path) or digest_of(path)


def imported_with(path: str) -> Iterable[str]:
    """Files that were read as a file was imported, whatever name they were asked for by."""
    return _imported_with.get(path, ())


@contextmanager
def importing(root: str, allowed: Mapping[str, str]) -> Generator[None]:
    """Hold what is imported meanwhile against what the user consented to.

    Args:
        root: The file that was named.
        allowed: File -> sha256, or `ANY`. Where it has `root` by its content, it has all that may run: whoever adds a
            file to the folder could take the place of a module otherwise. Files that are named there are held against
            it also later, when a model imports them as it runs.
    """
    outer, _latest.root, _latest.allowed = _latest.root, root, allowed
    _imported_with[root] = set()
    try:
        yield
        asked.clear()  # that was answered
    finally:
        _latest.root = outer


def admit(path: str, data: bytes) -> None:
    """Take note of what is about to run; raises OpenError where it is not what the user consented to.

    Args:
        path: A file of the user's.
        data: All that is in it.
    """
    path, found = os.path.realpath(path), hashlib.sha256(data).hexdigest()
    allowed, root = _latest.allowed, _latest.root
    closed = allowed.get(root, ANY) != ANY
    if allowed.get(path, "none" if closed else ANY) not in (ANY, found):
        asked[path] = found
        raise changed_code([path])
    _read[path] = found
    if root:
        _imported_with[root].add(path)


def changed_code(files: Iterable[str]) -> OpenError:
    """The error for files that are not as they were when the user consented to them."""
    template = (
        "{files} changed since you last allowed this code to run, or were not part of it. Allow it again only if you "
        "trust it as it is now."
    )
    return OpenError("source.changed_code", template, files=all_of(files))
