"""The modules of a project that a Python file imports, found by reading the source: nothing is run.

For whoever copies a user's code, or remembers what it was: with these files, and no others of what may be a large
folder, it can be imported.
"""

import ast
import os
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from .sys_path import LARGEST, SOURCE, import_places, is_installed, package_root

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
