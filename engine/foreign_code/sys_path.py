"""Where a user's file imports from: the path of this process, and what other projects left in its table of modules.

A user's project may have its own `engine.py`, `app/` or `utils.py`; its folders therefore come first on the path. A
model starts a project afresh; a further file (its `task.py`) joins it without taking the model's modules away.
`own_modules` follows those imports by reading the source, without running it.
"""

import ast
import importlib
import importlib.util
import itertools
import os
import sys
import traceback
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType

from .read_code import admit

SOURCE = ".py"
"""The ending of what is run."""
LARGEST = 32_000_000
"""Bytes of a Python file."""
ROOT_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".git")
"""What stands in the root of a project."""

OWN = ("engine", "app", "resources")
"""Our folders, where a clone of Secateur runs; elsewhere they are installed."""
_inserted: list[str] = []
"""Folders of the present project; `sys.path` belongs to the process, this remembers what of it is ours."""


class SourceLoader(SourceFileLoader):
    """Compiles what stands in the file, whatever bytecode lies beside it, and leaves none there.

    What was read and trusted is then what runs, and a file edited within the second is not taken for what it was.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the source, never of a cache."""
        path = self.get_filename(fullname)
        data = self.get_data(path)
        admit(path, data)
        return self.source_to_code(data, path)


class ExtensionLoader(ExtensionFileLoader):
    """Loads an extension module of the user's, once its content may run."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module of the file."""
        admit(self.path, Path(self.path).read_bytes())
        return super().create_module(spec)


def enter(file: Path, afresh: bool) -> None:
    """Make the imports of `file` find its own project.

    Args:
        file: About to be executed.
        afresh: The project before is over: its folders leave the path, and modules are read again. Otherwise only
            modules of the same name from other folders give way.
    """
    folders = [file.parent, package_root(file)]
    for name, module in _foreign(folders):
        if afresh or not any(module.is_relative_to(folder) for folder in folders):
            del sys.modules[name]
    if afresh:
        # Take the present project's folders off the path and drop what was imported from them.
        for name, place in _users():
            if any(place.is_relative_to(entry) for entry in _inserted):
                del sys.modules[name]
        _take_off(list(_inserted))
    first, last = import_places(file)
    last = [entry for entry in last if entry not in sys.path]
    _take_off([entry for entry in first if entry in _inserted])
    _inserted[:0] = [*first, *last]
    sys.path[:] = [*first, *sys.path, *last]
    take_source_only()
    importlib.invalidate_caches()
    for entry in first:
        # Let the project's folders without `__init__.py` win over packages elsewhere, which Python prefers.
        folder = Path(entry)
        for inner in folder.iterdir():
            if not inner.is_dir() or (inner / "__init__.py").exists() or not any(inner.glob("*.py")):
                continue
            found = PathFinder.find_spec(inner.name, sys.path)
            if found is None or found.origin is None or is_installed(Path(found.origin)):
                continue
            spec = ModuleSpec(inner.name, None, is_package=True)
            spec.submodule_search_locations = [str(inner)]
            sys.modules[inner.name] = importlib.util.module_from_spec(spec)


def take_source_only() -> None:
    """From now on this process takes source and extensions from users' folders, whatever bytecode lies there."""
    if _from_source not in sys.path_hooks:
        sys.path_hooks.insert(0, _from_source)
        for entry in [one for one in sys.path_importer_cache if _is_users(one)]:
            del sys.path_importer_cache[entry]  # whoever finds modules there now may take bytecode


def import_places(file: Path) -> tuple[list[str], list[str]]:
    """Folders that a file's imports come from: those before everything else, and those after it.

    First its own folder and the root of its package, as if it were run as a script or as a module. Last the root of the
    project, and the working folder where the file lies beneath it: `from models.blocks import Block`.
    """
    first = [file.parent, package_root(file)]
    marked = (folder for folder in file.parents if any((folder / name).exists() for name in ROOT_MARKERS))
    last = [*itertools.islice(marked, 1), *(folder for folder in (Path.cwd(),) if file.is_relative_to(folder))]
    return list(dict.fromkeys(map(str, first))), list(dict.fromkeys(str(one) for one in last if one not in first))


def package_root(file: Path) -> Path:
    """The folder from which the file is imported: the first one up that is no package."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def origin(module: ModuleType) -> Path | None:
    """Where a module was imported from: its file, or the folder of a package without one; None when that is unknown."""
    place = _written_origin(module)
    return Path(place) if place else None


def _written_origin(module: ModuleType) -> str | None:
    spec = module.__dict__.get("__spec__")
    if not isinstance(spec, ModuleSpec):
        return None
    places = [spec.origin if spec.has_location else None, *(spec.submodule_search_locations or ())]
    return next((place for place in places if place), None)


def _defines(folder: Path, top: str) -> bool:
    return (folder / f"{top}.py").is_file() or (folder / top).is_dir()


def is_installed(origin: Path) -> bool:
    """True for installed packages and the standard library."""
    if {"site-packages", "dist-packages"} & set(origin.parts):
        return True
    return origin.is_relative_to(Path(traceback.__file__).parent)


@lru_cache(maxsize=1 << 15)
def _is_place_installed(place: str) -> bool:
    """The same of a path as text: a process has thousands of modules, and each model's file asks it of all of them."""
    return is_installed(Path(place))


def _foreign(folders: list[Path]) -> Iterator[tuple[str, Path]]:
    """Modules of the user's, with their origin, under names that `folders` define themselves."""
    for name, place in _users():
        if any(_defines(folder, name.partition(".")[0]) for folder in folders):
            yield name, place


def _users() -> Iterator[tuple[str, Path]]:
    """Imported modules that are neither installed nor ours, with their origin."""
    for name, module in list(sys.modules.items()):
        place = _written_origin(module)
        if place is None or _is_place_installed(place) or name.partition(".")[0] in ("__main__", "secateur"):
            continue
        yield name, Path(place)


def _take_off(entries: list[str]) -> None:
    """Take folders that we put there off the path."""
    for entry in entries:
        _inserted.remove(entry)
        if entry in sys.path:
            sys.path.remove(entry)


def _is_users(entry: str) -> bool:
    """Whether modules of a folder are neither installed nor ours."""
    folder, own = Path(entry), Path(__file__).parents[2]
    return not is_installed(folder) and not any(folder.is_relative_to(own / name) for name in OWN)


def _from_source(entry: str) -> FileFinder:
    """A hook of `sys.path_hooks` that finds no bytecode."""
    if not os.path.isdir(entry) or not _is_users(entry):
        raise ImportError(f"{entry} is no folder of a user's", path=entry)
    return FileFinder(entry, (ExtensionLoader, EXTENSION_SUFFIXES), (SourceLoader, SOURCE_SUFFIXES))


PACKAGE_FILE = "__init__.py"
ENDINGS = (SOURCE, *EXTENSION_SUFFIXES)


def own_modules(file: Path) -> dict[Path, Path]:
    """A Python file and those of its own project that it imports, directly or not -> where each is imported from.

    They are looked for where `import_file` lets them be found. A module that is named only while the code runs
    (`importlib.import_module(name)`) is not found, and neither is any other file that the code reads.

    Args:
        file: Absolute, without `..`.
    """
    root = package_root(file)
    if is_installed(root):
        return {file: root}
    first, last = import_places(file)
    places = [Path(place) for place in (*first, *last)]
    found = dict[Path, Path]()
    left = [(root, file.relative_to(root).with_suffix("").parts)]
    while left:
        place, name = left.pop()
        for one in _files(place, name):
            if one not in found:
                found[one] = place
                left += _imports(one, place, places)
    return found


def _files(place: Path, name: tuple[str, ...]) -> Iterator[Path]:
    """The files that importing a dotted name runs, as far as they are there."""
    for count in range(1, len(name) + 1):
        path = place.joinpath(*name[:count])
        files = (path / PACKAGE_FILE, *(path.with_name(f"{path.name}{ending}") for ending in ENDINGS))
        yield from (one for one in files if os.path.isfile(one))


def _imports(file: Path, place: Path, places: list[Path]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """What a file imports: the place that it comes from, and its dotted name there."""
    try:
        tree = ast.parse(file.read_bytes() if file.suffix == SOURCE and file.stat().st_size <= LARGEST else b"")
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # whoever imports it says what is wrong
    package = file.relative_to(place).parent.parts
    for node in ast.walk(tree):
        names = list[tuple[str, ...]]()
        if isinstance(node, ast.Import):
            names = [tuple(one.name.split(".")) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = (*above, *(node.module.split(".") if node.module else ()))
            names = [(*module, one.name) for one in node.names]
        for name in names:
            if isinstance(node, ast.ImportFrom) and node.level:
                yield place, name
            elif (first := next((one for one in places if _begins(one, name[0])), None)) is not None:
                yield first, name


def _begins(place: Path, top: str) -> bool:
    return os.path.isdir(place / top) or any(os.path.isfile(place / f"{top}{ending}") for ending in ENDINGS)
