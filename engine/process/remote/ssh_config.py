"""The machines that a user's configuration of `ssh` names, to be offered; what the names mean, `ssh` alone knows."""

import re
import shlex
from pathlib import Path

MOST = 200
"""Names that are offered."""
FILES = 50
"""Files that are read, where one includes another."""
LARGEST = 1 << 20
"""Bytes of a file that are read."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A name of one machine: no pattern, and none that is left out by a "!"."""
LINE = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)")
"""A keyword and its arguments."""


def ssh_aliases(file: Path | None = None) -> tuple[str, ...]:
    """Names of `Host` lines in the order of the file, included ones among them; () where there is no such file.

    Args:
        file: None for `~/.ssh/config`.
    """
    try:
        place = file or Path.home() / ".ssh" / "config"
    except RuntimeError:  # a user without an entry
        return ()
    return tuple(dict.fromkeys(_names(place, place.parent, set())))[:MOST]


def _names(file: Path, folder: Path, read: set[Path]) -> list[str]:
    try:
        place = file.resolve()
        if place in read or len(read) >= FILES:
            return []
        read.add(place)
        with place.open("rb") as opened:
            lines = opened.read(LARGEST).decode("utf-8", "replace").splitlines()
    except (OSError, RuntimeError):  # not there, or links in a circle
        return []
    found = list[str]()
    for line in lines:
        if (parts := LINE.fullmatch(line)) is None:
            continue
        keyword = parts[1].lower()
        try:
            words = shlex.split(parts[2], comments=True)
        except ValueError:  # a quote without its end
            continue
        if keyword == "host":
            found += [word for word in words if NAME.fullmatch(word)]
        elif keyword == "include":
            for pattern in words:
                found += [name for one in _included(folder, pattern) for name in _names(one, folder, read)]
    return found


def _included(folder: Path, pattern: str) -> list[Path]:
    """Files that a pattern names; a relative one begins where the user's configuration lies."""
    path = folder / Path(pattern).expanduser()
    try:
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))[:MOST]
    except (ValueError, OSError, NotImplementedError):
        return []
