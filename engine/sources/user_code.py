"""Import a Python file of the user's, with its own neighbours importable under their own names.

A user's project may have its own `engine.py`, `app/` or `utils.py`; the file's folder therefore comes first on the
path, and what another project left behind under the same names is forgotten first. Errors name the file and the line.
"""

import importlib
import importlib.util
import sys
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from ..errors import OpenError, SecateurError

_inserted: list[str] = []
"""Folders of the project opened last; `sys.path` belongs to the process, this remembers what of it is ours."""


def import_file(path: str | Path, error: type[SecateurError] = OpenError) -> ModuleType:
    """Execute a Python file and return its module.

    Args:
        path: The file. In a package (an `__init__.py` beside it) its relative imports work too.
        error: What to raise, with the file, the line and the cause in a sentence.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise error("source.no_file", "There is no file {path}.", path=str(path))
    root = _root(file)
    _forget(root, file.parent)
    _insert(root, file.parent)
    try:
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


def _root(file: Path) -> Path:
    """The folder from which the file is imported: the first one up that is no package."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def _insert(root: Path, folder: Path) -> None:
    """Put the file's own folder first on the path, then the root of its package; take the last project's away."""
    for entry in _inserted:
        if entry in sys.path:
            sys.path.remove(entry)
    _inserted[:] = list(dict.fromkeys([str(folder), str(root)]))
    sys.path[:0] = _inserted
    importlib.invalidate_caches()
    for entry in _inserted:
        _claim(Path(entry))


def _claim(folder: Path) -> None:
    """Let the project's folders without `__init__.py` win over packages elsewhere, which Python prefers.

    Started from a clone of Secateur, `import app` would otherwise find Secateur's own folder.
    """
    for inner in folder.iterdir():
        if not inner.is_dir() or (inner / "__init__.py").exists() or not any(inner.glob("*.py")):
            continue
        found = PathFinder.find_spec(inner.name, sys.path)
        if found is None or found.origin is None or _installed(Path(found.origin)):
            continue
        spec = ModuleSpec(inner.name, None, is_package=True)
        spec.submodule_search_locations = [str(inner)]
        sys.modules[inner.name] = importlib.util.module_from_spec(spec)


def _forget(*folders: Path) -> None:
    """Drop modules that this project defines itself, or that the last project left under their own names."""
    places = [*map(Path, _inserted), *folders]
    for name, module in list(sys.modules.items()):
        top, origin = name.partition(".")[0], _origin(module)
        if top in ("__main__", "secateur") or origin is None or _installed(origin):
            continue
        if any(_defines(folder, top) for folder in folders) or any(origin.is_relative_to(p) for p in places):
            del sys.modules[name]


def _origin(module: ModuleType) -> Path | None:
    """Where a module was imported from: its file, or the folder of a package without one; None when that is unknown."""
    spec = module.__dict__.get("__spec__")
    if not isinstance(spec, ModuleSpec):
        return None
    places = [spec.origin if spec.has_location else None, *(spec.submodule_search_locations or ())]
    return next((Path(place) for place in places if place), None)


def _defines(folder: Path, top: str) -> bool:
    return (folder / f"{top}.py").is_file() or (folder / top).is_dir()


def _installed(origin: Path) -> bool:
    """True for installed packages and the standard library."""
    if {"site-packages", "dist-packages"} & set(origin.parts):
        return True
    return origin.is_relative_to(Path(traceback.__file__).parent)


def _execute(file: Path, root: Path) -> ModuleType:
    if file.parent != root:
        parts = file.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        module = importlib.import_module(name)
        if _origin(module) != file:
            raise ImportError(f"{name} is an installed package ({_origin(module)}); rename the folder {parts[0]}")
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
