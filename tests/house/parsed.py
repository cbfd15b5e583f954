"""Each source file is read and parsed once for all tests of the house, which is most of their time."""

import ast
from functools import cache
from pathlib import Path

from tests.conftest import ROOT


@cache
def files_below(top: str) -> tuple[Path, ...]:
    return tuple(sorted((ROOT / top).rglob("*.py")))


@cache
def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@cache
def nodes_of(text: str) -> tuple[ast.AST, ...]:
    """All nodes of a source text, the module first."""
    return tuple(ast.walk(ast.parse(text)))
