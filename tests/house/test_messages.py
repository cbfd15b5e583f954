"""What the engine says: each code has one text, and is `area.what`."""

import ast
import importlib.util
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT

from .parsed import files_below, nodes_of, text_of

CODE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
FROM_A_TABLE = {"phrase.title", "progress.plain"}
"""Codes whose text is what a table or a job calls something: the text alone is translated."""


@cache
def strings() -> ModuleType:
    """`packaging/strings.py`, which finds the texts for translators."""
    spec = importlib.util.spec_from_file_location("strings", ROOT / "packaging" / "strings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@cache
def files() -> tuple[tuple[Path, ast.Module], ...]:
    found = ((path, nodes_of(text_of(path))[0]) for path in files_below("engine"))
    return tuple((path, tree) for path, tree in found if isinstance(tree, ast.Module))


@cache
def messages(tree: ast.Module) -> list[Any]:
    return [*strings().messages(tree)]


@cache
def said(trees: tuple[tuple[Path, ast.Module], ...]) -> dict[str, dict[str, str]]:
    """Code -> text -> the place where it stands."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path, tree in trees:
        for one in messages(tree):
            for template in one.templates:
                found[one.code].setdefault(template, f"{path}:{one.line}")
    return found


@cache
def error_classes() -> set[str]:
    """Names of `SecateurError` and of all that derive from it."""
    bases = {
        node.name: {getattr(base, "id", "") for base in node.bases}
        for _, tree in files()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found, before = {"SecateurError"}, set[str]()
    while found != before:
        before = set(found)
        found |= {name for name, above in bases.items() if above & found}
    return found


@cache
def calls_in(tree: ast.Module) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]


def computed(tree: ast.Module, classes: set[str]) -> list[ast.Call]:
    """Messages and errors whose code is put together or chosen where they are made, so that nobody can look it up."""
    made = [call for call in calls_in(tree) if getattr(call.func, "id", "") in classes]
    return [call for call in made if isinstance(call.args[0], ast.JoinedStr | ast.IfExp | ast.BinOp | ast.Subscript)]


def untold(tree: ast.Module, classes: set[str]) -> list[ast.Call]:
    """Messages and errors with a code whose text was not found."""
    found = {(one.code, one.line) for one in messages(tree)}
    made = [call for call in calls_in(tree) if len(call.args) > 1 and getattr(call.func, "id", "") in classes]
    return [call for call in made if _code(call) and (_code(call), call.lineno) not in found]


def _code(call: ast.Call) -> Any:
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and first.value not in FROM_A_TABLE else None


def test_a_code_has_one_text() -> None:
    several = {code: texts for code, texts in said(files()).items() if len(texts) > 1}
    assert not several, "\n".join(f"{code}: {texts}" for code, texts in several.items())


def test_a_code_is_area_and_what() -> None:
    odd = [code for code in said(files()) if not CODE.fullmatch(code)]
    assert not odd


def test_a_code_is_written_where_its_message_is_made() -> None:
    classes = error_classes() | {"Message"}
    found = [f"{path}:{call.lineno}" for path, tree in files() for call in computed(tree, classes)]
    assert not found


def test_the_text_of_each_code_is_found() -> None:
    classes = error_classes() | {"Message"}
    found = [f"{path}:{call.lineno}" for path, tree in files() for call in untold(tree, classes)]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        'Message("a.b", "One")\nOpenError("a.b", "Two")',
        'Message("a.b", "One" if many else "Two")',
        'TABLE = {1: ("a.b", "One text"), 2: ("a.b", "Two texts")}',
        'def f():\n    template = "One"\n    if x:\n        template = "Two"\n    return Message("a.b", template)',
    ],
)
def test_a_second_text_is_found(source: str) -> None:
    assert len(said(((Path("made.py"), ast.parse(source)),))["a.b"]) == 2


def test_a_name_that_is_used_again_stands_for_its_last_text() -> None:
    lines = [
        "def f():",
        '    t = "One"',
        "    if x:",
        '        raise E("a.b", t)',
        '    t = "Two"',
        '    raise E("a.c", t)',
    ]
    found = said(((Path("made.py"), ast.parse("\n".join(lines))),))
    assert [*found["a.b"]] == ["One"] and [*found["a.c"]] == ["Two"]


def test_a_computed_code_is_found() -> None:
    assert computed(ast.parse('Message(f"a.{b}", "One")'), {"Message"})
    assert not computed(ast.parse('Message(*TABLE[b])\nMessage("a.b", "One")'), {"Message"})
