"""Paths in what is written down: absolute while the program runs, relative to the file that they are written in.

What has paths changes them with a `Change`: `sources.protocol`, `tasks.protocol`, `baselines.protocol`.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import OpenError

Change = Callable[[str], str]
DIGEST = re.compile(r"[0-9a-f]{64}")
"""A sha256, which files of weights are named by."""
PROJECT_PARTS = re.compile(
    r"weights|predictions|artifacts|recovery|ablation|sensitivity|latency|(events|window)\.jsonl|(project|recipe|structures)\.json"
    r"|recipe\.py|.*\.lock(\.json)?|job\.json|results"
)
"""Names in the folder of a project, or of a job, that are written to, or whose content is removed."""
_PATHS = re.compile(r"(?<![\w.~])(?:[A-Za-z]:)?(?:[/\\][^\s/\\:*?\"'<>|,;]+){2,}")
"""Absolute paths with two parts or more, of any system."""


def base_name(path: str) -> str:
    """The last part of a path of any system."""
    return PurePosixPath(PureWindowsPath(path).name).name or path


def without_paths(text: str) -> str:
    """Absolute paths in a text become the name at their end."""
    return _PATHS.sub(lambda match: base_name(match[0]), text)


def absolute_to(folder: Path) -> Change:
    """A change that reads paths as relative to a folder; raises OpenError for what no system takes as a path."""

    def change(path: str) -> str:
        if "\0" in path:
            raise OpenError("path.zero_byte", "A path has a zero byte in it: {path}.", path=repr(path))
        return os.path.normpath(folder.resolve() / Path(path).expanduser())

    return change


def relative_to(folder: Path) -> Change:
    """A change that writes paths as relative to a folder, with forward slashes; absolute where none exists."""

    def change(path: str) -> str:
        try:
            return Path(os.path.relpath(path, folder.resolve())).as_posix()
        except ValueError:
            # On another drive there is no relative path.
            return Path(path).as_posix()

    return change


def require_no_links(folder: Path) -> None:
    """Raise OpenError where a part of a project, or of a job, leads out of its folder: that would be written to."""
    base = os.path.realpath(folder)
    for path in folder.iterdir() if folder.is_dir() else ():
        # A link to nothing, or one in a circle.
        nowhere = path.is_symlink() and not path.exists()
        outside = nowhere or not Path(os.path.realpath(path)).is_relative_to(base)
        if PROJECT_PARTS.fullmatch(path.name) and outside:
            template = "{path} is a link that leads out of the folder. Put what it leads to in its place."
            raise OpenError("project.link", template, path=str(path))


def inside(path: Path, folders: Sequence[Path]) -> Path:
    """A path that a file names and that is to be written, symbolic links resolved.

    Args:
        path: Absolute.
        folders: Those that the user named.

    Raises:
        OpenError: It is in none of them.
    """
    found = path.resolve()
    if not any(found.is_relative_to(folder.resolve()) for folder in folders):
        template = "{path} lies outside {folder}, where a recipe may not write. Name an output folder."
        raise OpenError("path.outside", template, path=str(found), folder=str(folders[0]))
    return found
