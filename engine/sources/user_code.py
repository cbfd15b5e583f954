"""Import a Python file of the user's, with its own neighbours importable under their own names.

Errors of any kind, a `sys.exit` included, become a sentence with the file and the line.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ..errors import OpenError, SecateurError
from ..wording import byte_size
from .import_path import enter, origin, package_root

LARGEST = 32_000_000
"""Bytes of a Python file."""


def import_file(path: str | Path, error: type[SecateurError] = OpenError, afresh: bool = False) -> ModuleType:
    """Execute a Python file and return its module.

    Args:
        path: The file. In a package (an `__init__.py` beside it) its relative imports work too.
        error: What to raise, with the file, the line and the cause in a sentence.
        afresh: The file begins a project: modules of the one before are forgotten, its own are read again.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise error("source.no_file", "There is no file {path}.", path=str(path))
    if (size := file.stat().st_size) > LARGEST:
        template = "{path} has {size}, and a Python file at most {most}. Name the file that makes the model."
        raise error("source.large", template, path=str(path), size=byte_size(size), most=byte_size(LARGEST))
    root = package_root(file)
    enter(file, afresh)
    try:
        with _without_bytecode():
            return _execute(file, root)
    except SecateurError:
        raise
    except (Exception, SystemExit) as cause:
        raise _failure(error, file, root, cause) from cause


def failing_line(cause: BaseException, root: Path) -> tuple[str, int]:
    """File and line of the last frame of a traceback that lies under `root`; ("", 0) when none does."""
    if isinstance(cause, SyntaxError) and cause.filename:
        return cause.filename, cause.lineno or 0
    frames = [f for f in traceback.extract_tb(cause.__traceback__) if Path(f.filename).is_relative_to(root)]
    return (frames[-1].filename, frames[-1].lineno or 0) if frames else ("", 0)


@contextmanager
def _without_bytecode() -> Generator[None]:
    """The user's folders stay as they are, and a file edited within the second is not taken for what it was."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _execute(file: Path, root: Path) -> ModuleType:
    if file.parent != root:
        parts = file.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sys.modules.pop(name, None)  # executed anew, also when it was imported before
        module = importlib.import_module(name)
        if origin(module) != file:
            raise ImportError(f"{name} is an installed package ({origin(module)}); rename the folder {parts[0]}")
        return module
    name = file.stem if file.stem not in sys.modules else f"user_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be found again by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _failure(error: type[SecateurError], file: Path, root: Path, cause: BaseException) -> SecateurError:
    place, line = failing_line(cause, root)
    reason = cause.msg if isinstance(cause, SyntaxError) else str(cause)
    return error(
        "source.python",
        "{file}, line {line}: {kind}: {reason}",
        "".join(traceback.format_exception(cause)),
        file=place or str(file),
        line=line,
        kind=type(cause).__name__,
        reason=reason,
    )
