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
"""Seconds without a change after which a temporary name counts as left by a killed process."""


@contextlib.contextmanager
def staged_file(path: Path, beside: Sequence[str] = ()) -> Generator[Path]:
    """A temporary name in the folder of `path`; becomes `path` at the end, vanishes on any exception.

    `beside` holds the endings of other files of the same name that the file needs. They are moved first.
    """
    temporary = _temporary(path)
    moves = [*((temporary.with_suffix(one), path.with_suffix(one)) for one in beside), (temporary, path)]
    with _explain_errors(path):
        try:
            yield temporary
            # Before they are moved: else a power cut may leave half a file under the final name.
            for file, _ in moves:
                _sync(file)
            if beside:  # an older file would read the new ones
                path.unlink(missing_ok=True)
            for file, place in moves:
                os.replace(file, place)
            _remove_abandoned(path, (path.suffix, *beside))
        finally:
            for file, _ in moves:
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_folder(path: Path, is_ours: Callable[[Path], bool]) -> Generator[Path]:
    """A new folder next to `path` that becomes `path` at the end; an older one is replaced when `is_ours` says so."""
    with _explain_errors(path):
        _remove_abandoned(path, (path.suffix,))  # first: it may be as large as what is to be written
        done = False
        # Before a new folder is locked, another process that writes the same path may take it for an abandoned one and
        # remove it: then there is a next one.
        while not done:
            temporary = _temporary(path)
            try:
                temporary.mkdir()
                with lock_folder(temporary) as free:
                    if free is False or not temporary.is_dir():
                        continue
                    yield temporary
                    for file in temporary.rglob("*"):
                        if file.is_file():
                            _sync(file)
                    if path.exists():
                        _require_ours(path, is_ours)
                        old = _temporary(path)
                        os.replace(path, old)
                        os.replace(temporary, path)
                        shutil.rmtree(old, ignore_errors=True)
                    else:
                        os.replace(temporary, path)
                    done = True
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        _remove_abandoned(path, (path.suffix,))


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
    with _explain_errors(path):
        if not path.parent.is_dir():
            template = "Folder {folder} does not exist. Create it or choose another."
            raise ExportError("export.no_folder", template, folder=str(path.parent))
        if path.is_dir() and not folder:
            raise ExportError("export.is_folder", "{path} is a folder. Name a file.", path=str(path))
        if folder and path.exists() and not path.is_dir():
            raise ExportError("export.is_file", "{path} is a file. Name a folder.", path=str(path))
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
    with _explain_errors(folder / "results"), tempfile.TemporaryFile(dir=folder):
        pass


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem[:SHORT]}.{uuid.uuid4().hex[:8]}{path.suffix[:SHORT]}")


def _remove_abandoned(path: Path, suffixes: Sequence[str]) -> None:
    """Remove what processes left that were killed as they wrote a path.

    The lock of a folder tells whether a process still writes to it; anything else has to be old.
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
    """Lock a folder until the block, or the process, ends: True; False where another has it, None where none can."""
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
def _explain_errors(path: Path) -> Generator[None]:
    """Raise an `OSError` as what it means for the export to `path`."""
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
