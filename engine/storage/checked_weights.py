"""Files of weights that are named by the sha256 of what is in them: held against that name before they are read.

A disk, another program or a hand may have changed a file since it was written. Loads no torch.
"""

import hashlib
from pathlib import Path

from ..errors import OpenError
from .file_limits import check_special

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
