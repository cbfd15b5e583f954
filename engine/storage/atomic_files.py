"""Atomic writing: a file is there whole or not at all, also when the power goes."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress, check
from .file_limits import check_special

SHORT = 40
"""Characters of a name that a temporary one begins with: with more it would be too long where the name just is not."""
PIECE = 1 << 24
"""Bytes between two looks at a token."""


@contextmanager
def staged_write(path: Path) -> Generator[Path]:
    """Give a temporary name in the same folder; when the block ends well, the file there becomes `path`.

    Raises SecateurError with a sentence when the folder cannot be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:SHORT]}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            # Else the name may outlive a power cut and the content not.
            os.fsync(file.fileno())
        # `mkstemp` makes files for this user alone; a written one has the rights of any new file. The umask can only
        # be read by setting another one.
        mask = os.umask(0o077)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with staged_write(path) as temporary:
        temporary.write_bytes(data)


def read_through(path: Path, take: Callable[[bytes], object], shown: Message, token: CancelToken) -> Job[None]:
    """Hand over what a file holds, piece by piece; raises OSError where it cannot be read, OpenError for a pipe."""
    check_special(path)
    with path.open("rb") as file:
        count = -(-os.fstat(file.fileno()).st_size // PIECE)
        for number in range(count):
            check(token)
            yield Progress(shown, number, count)
            take(file.read(PIECE))


def copy(source: Path, path: Path, token: CancelToken) -> Job[None]:
    """Copy a file atomically; a hard link where the file system has them, as files here are never changed in place."""
    check(token)
    if path.exists():
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)
        return
    shown = Message("progress.copying", "Copying {file}", {"file": source.name})
    with staged_write(path) as temporary, temporary.open("wb") as file:
        yield from read_through(source, file.write, shown, token)


def free(path: Path) -> Path:
    """A name in the folder of `path` that nothing has yet: itself, else with a number."""
    names = (path, *(path.with_name(f"{path.stem} {number}{path.suffix}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())


@contextmanager
def removed_unless_finished(*paths: Path) -> Generator[None]:
    """Remove files and folders that appear while the block runs and does not end well; older ones stay."""
    new = [path for path in paths if not path.exists()]
    try:
        yield
    except BaseException:
        for path in new:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                # Nothing is there, or the folder is none.
                with contextlib.suppress(OSError):
                    path.unlink()
        raise


def not_written(path: Path, error: OSError) -> SecateurError:
    """The sentence for a path that could not be written."""
    reason = error.strerror or str(error)
    template = "Cannot write {path}: {reason}. Free some space or choose another folder."
    return SecateurError("session.not_written", template, details=repr(error), path=str(path), reason=reason)
