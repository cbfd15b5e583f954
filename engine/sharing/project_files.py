"""The files of a project's folder besides its weights, and which files of others a save would replace there."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OpenError
from ..recipes.recipe import RECIPE
from ..recipes.script import SCRIPT
from ..session.project_file import PROJECT, WINDOW
from ..session.state_history import LOG, is_project
from ..session.structures_file import STRUCTURES
from ..storage.atomic_files import write
from ..storage.file_limits import read_whole

FILES = (RECIPE, SCRIPT, STRUCTURES, PROJECT, WINDOW, LOG)
"""In the order that they are written: the log comes last."""
UNFINISHED = ".unfinished"
"""There while the first save into a folder is at work, and behind a kill of it: names the files that it makes."""


def in_the_way(folder: Path) -> list[Path]:
    """Files in a folder that is no project, which saving one there would replace; not what a stopped save has left."""
    own = _unfinished_names(folder)
    names = () if is_project(str(folder)) else (name for name in FILES if name not in own)
    return [folder / name for name in names if (folder / name).exists()]


@contextmanager
def first_save(folder: Path) -> Generator[None]:
    """Mark a folder that is no project yet until the block has made it one, so that a kill in between is seen."""
    if not is_project(str(folder)):
        others = {path.name for path in in_the_way(folder)}
        write(folder / UNFINISHED, "\n".join(name for name in FILES if name not in others).encode())
    yield
    (folder / UNFINISHED).unlink(missing_ok=True)


def _unfinished_names(folder: Path) -> frozenset[str]:
    """Names of files that a save which did not end was about to make."""
    with suppress(OSError, OpenError):
        return frozenset(read_whole(folder / UNFINISHED).decode(errors="replace").splitlines())
    return frozenset()
