"""Writes files and folders under a temporary name and moves them into place once they are checked.

Whatever goes wrong before leaves nothing behind, and what cannot be written is refused before minutes of work. What a
killed process left is removed when the same path is written again.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from ..errors import ExportError
from ..storage.atomic_files import SHORT

ABANDONED = 24 * 3600
"""Seconds without a change after which nobody writes to a temporary name any more."""


@contextlib.contextmanager
def staged_file(path: Path) -> Generator[Path]:
    """A temporary name in the folder of `path`; becomes `path` at the end, vanishes on any exception."""
    temporary = _temporary(path)
    with _sentences(path):
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _remove_abandoned(path, (path.suffix,))
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_files(path: Path, beside: Sequence[str]) -> Generator[Path]:
    """As `staged_file`, for a file that needs others of the same name: they are moved first, then the file itself.

    An older file goes before that: it would read the new ones.
    """
    temporary = _temporary(path)
    others = [(temporary.with_suffix(one), path.with_suffix(one)) for one in beside]
    with _sentences(path):
        try:
            yield temporary
            for file in (temporary, *(new for new, _ in others)):
                _sync(file)
            path.unlink(missing_ok=True)
            for new, old in (*others, (temporary, path)):
                os.replace(new, old)
            _remove_abandoned(path, (path.suffix, *beside))
        finally:
            for file in (temporary, *(new for new, _ in others)):
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_folder(path: Path, is_ours: Callable[[Path], bool]) -> Generator[Path]:
    """A new folder beside `path` that becomes `path` at the end; an older one is replaced when `is_ours` says so."""
    with _sentences(path), contextlib.ExitStack() as stack:
        _remove_abandoned(path, (path.suffix,))  # first: it may be as large as what is to be written
        temporary = stack.enter_context(_held_folder(path))
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        _swap(temporary, path, is_ours)
        _remove_abandoned(path, (path.suffix,))


@contextlib.contextmanager
def _held_folder(path: Path) -> Generator[Path]:
    """A new folder beside `path` that is held, and gone at the end.

    Before it is held, another process that writes the same path may take it for one that was left, and remove it: then
    there is a next one.
    """
    while True:
        temporary = _temporary(path)
        try:
            temporary.mkdir()
            with lock_folder(temporary) as free:
                if free is not False and temporary.is_dir():
                    yield temporary
                    return
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def require_free(path: Path, overwrite: bool) -> None:
    """Raise ExportError where what is at a path would be replaced unasked; an empty folder is as good as none."""
    if overwrite or not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    raise ExportError(
        "export.exists", "{path} already exists. Choose another path, or allow overwriting.", path=str(path)
    )


def check_destination(
    path: Path,
    need: int,
    folder: bool = False,
    overwrite: bool = True,
    is_ours: Callable[[Path], bool] | None = None,
) -> None:
    """Refuse early, with a sentence, a place that cannot take `need` bytes.

    Args:
        path: File, or folder, that is to be written.
        need: Bytes that it will take, about.
        folder: Whether a folder is to be written.
        overwrite: What is there may be replaced.
        is_ours: Says of a folder whether it may be, as for `staged_folder`; None: not asked.
    """
    with _sentences(path):
        _check_kinds(path, folder)
        require_free(path, overwrite)
        if is_ours is not None:
            _require_ours(path, is_ours)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        free = shutil.disk_usage(path.parent).free
    if free < need:
        raise _disk_full(path, need, free)


def check_writable(folder: Path) -> None:
    """Refuse early, with a sentence, a folder whose results are added to it and that may not be written to."""
    with _sentences(folder / "results"), tempfile.TemporaryFile(dir=folder):
        pass


def _check_kinds(path: Path, folder: bool) -> None:
    parent = path.parent
    if not parent.is_dir():
        raise ExportError(
            "export.no_folder", "Folder {folder} does not exist. Create it or choose another.", folder=str(parent)
        )
    if path.is_dir() and not folder:
        raise ExportError("export.is_folder", "{path} is a folder. Name a file.", path=str(path))
    if folder and path.exists() and not path.is_dir():
        raise ExportError("export.is_file", "{path} is a file. Name a folder.", path=str(path))


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem[:SHORT]}.{uuid.uuid4().hex[:8]}{path.suffix[:SHORT]}")


def _remove_abandoned(path: Path, suffixes: Sequence[str]) -> None:
    """Remove what processes left that were killed as they wrote a path.

    Of a folder the system knows whether one still writes to it; anything else has to be old.
    """
    endings = "|".join(re.escape(one[:SHORT]) for one in suffixes)
    name = re.compile(rf"{re.escape(f'.{path.stem[:SHORT]}.')}[0-9a-f]{{8}}({endings})")
    with contextlib.suppress(OSError):
        for one in path.parent.iterdir():
            if not name.fullmatch(one.name):
                continue
            old = time.time() - one.lstat().st_mtime > ABANDONED
            if one.is_symlink() or not one.is_dir():
                if old:
                    one.unlink()
                continue
            with lock_folder(one) as free:
                if free or (free is None and old):
                    shutil.rmtree(one, ignore_errors=True)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Generator[bool | None]:
    """Hold a folder until the block, or the process, ends; False where another one holds it, None where none can."""
    try:
        import fcntl

        opened = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows
        yield None
        return
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        except OSError:  # a disk without locks
            free = None
        yield free
    finally:
        os.close(opened)


def _swap(new: Path, path: Path, is_ours: Callable[[Path], bool]) -> None:
    if not path.exists():
        os.replace(new, path)
        return
    _require_ours(path, is_ours)
    old = _temporary(path)
    os.replace(path, old)
    os.replace(new, path)
    shutil.rmtree(old, ignore_errors=True)


def _require_ours(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise ExportError for a folder with files that a new one may not replace."""
    if path.is_dir() and any(path.iterdir()) and not is_ours(path):
        raise ExportError(
            "export.occupied",
            "{path} already holds other files. Choose a new folder, so that none of them is lost.",
            path=str(path),
        )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _sentences(path: Path) -> Generator[None]:
    """Say what an `OSError` means for the export to `path`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(path, 0, 0) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ExportError(
                "export.permission",
                "No permission to write to {folder} ({error}). Choose another folder.",
                folder=str(path.parent),
                error=error.strerror,
            ) from error
        raise ExportError(
            "export.write", "Cannot write {path}: {error}.", path=str(path), error=error.strerror or str(error)
        ) from error


def _disk_full(path: Path, need: int, free: int) -> ExportError:
    return ExportError(
        "export.disk_full",
        "The disk is full: no room for {path}. Free some space or choose another disk.",
        details=f"{need} bytes needed, {free} free" if need else "",
        path=str(path),
    )
