"""The machines that a user's configuration of `ssh` names, to be offered; what the names mean, `ssh` alone knows."""

import re
import shlex
from pathlib import Path

MOST = 200
"""Names that are offered."""
DEEPEST = 4
"""How often one file may include another."""
LARGEST = 1 << 20
"""Bytes of a file that are read."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A name of one machine: no pattern, and none that is left out by a "!"."""


def ssh_aliases(file: Path | None = None) -> tuple[str, ...]:
    """Names of `Host` lines in the order of the file, included ones among them; () where there is no such file.

    Args:
        file: None for `~/.ssh/config`.
    """
    try:
        place = file or Path.home() / ".ssh" / "config"
    except RuntimeError:  # a user without an entry
        return ()
    return tuple(dict.fromkeys(_names(place, DEEPEST)))[:MOST]


def _names(file: Path, deep: int) -> list[str]:
    try:
        with file.open("rb") as opened:
            lines = opened.read(LARGEST).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = list[str]()
    for line in lines:
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        try:
            words = shlex.split(rest, comments=True)
        except ValueError:  # a quote without its end
            continue
        if keyword.lower() == "host":
            found += [word for word in words if NAME.fullmatch(word)]
        elif keyword.lower() == "include" and deep:
            for pattern in words:
                found += [name for one in _included(file.parent, pattern) for name in _names(one, deep - 1)]
    return found


def _included(folder: Path, pattern: str) -> list[Path]:
    """Files that a pattern names; a relative one begins in the folder of the configuration."""
    path = folder / Path(pattern).expanduser()
    try:
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))[:MOST]
    except (ValueError, OSError, NotImplementedError):
        return []
