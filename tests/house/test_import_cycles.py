"""No files of window or engine import each other in a circle, whether at the top, in a function or for types alone.

The import linter sees packages; this one sees files, and says what the circle is.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .parsed import nodes_of, text_of

TOPS = ("app", "engine")
PACKAGE = "secateur"
PLANTED = {
    "at the top": ("from . import b\n", "from .a import x\n"),
    "in a function": ("from .b import y\n", "def late():\n    from . import a\n"),
    "for types alone": (
        "from .b import y\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import x\n",
    ),
    "by its whole name": ("import secateur.top.b\n", "from secateur.top.a import x\n"),
    "through the package": ("from .inner.c import z\n", "", "from ..a import x\n"),
}
"""Circles that must be seen: contents of `a.py`, `b.py` and `inner/c.py`."""


def _modules(folder: Path, top: str) -> dict[str, Path]:
    """Files below a top folder by their dotted names, as they are imported."""
    found: dict[str, Path] = {}
    for file in sorted((folder / top).rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        found[".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))] = file
    return found


def _imported(name: str, file: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Modules among these that a file imports anywhere in it."""
    text = text_of(file) if file.is_relative_to(ROOT) else file.read_text(encoding="utf-8")  # planted ones change
    for node in nodes_of(text):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in modules)
        elif isinstance(node, ast.ImportFrom):
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for one in node.names:
                whole = f"{base}.{one.name}"
                if whole in modules:
                    yield whole
                elif base in modules:
                    yield base


def cycles(folder: Path, top: str) -> list[list[str]]:
    """Groups of files of which each comes to each by imports (strongly connected components, after Tarjan 1972)."""
    modules = _modules(folder, top)
    graph = {name: {*_imported(name, file, modules)} - {name} for name, file in modules.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


@pytest.mark.parametrize("top", TOPS)
def test_no_files_import_each_other_in_a_circle(top: str) -> None:
    assert cycles(ROOT, top) == []


@pytest.mark.parametrize("where", PLANTED)
def test_a_planted_circle_is_seen(tmp_path: Path, where: str) -> None:
    files = ("a.py", "b.py", "inner/c.py")
    (tmp_path / "top" / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py", *files):
        (tmp_path / "top" / name).write_text("")
    assert cycles(tmp_path, "top") == []
    for name, text in zip(files, PLANTED[where], strict=False):
        (tmp_path / "top" / name).write_text(text)
    (circle,) = cycles(tmp_path, "top")
    assert len(circle) == 2 and "secateur.top.a" in circle
