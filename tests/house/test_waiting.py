"""Tests wait as `tests/waiting.py` and `tests/app/turns.py` do: for a state, and as long as a busy machine takes."""

import ast
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

from .parsed import files_below, nodes_of, text_of

LEAST = 20_000
"""Milliseconds that a bound of a wait has at least, where it is written out."""
BLOCKS = {"waitActive", "waitCallback", "waitExposed", "waitSignal", "waitSignals"}
"""Waits of pytest-qt that wait at the end of a `with`, and not at all without one."""
FILES = [file for file in files_below("tests") if "fixtures" not in file.parts]


def _called(node: ast.AST) -> str:
    """Name of the method that is called, "" for anything else."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def _faults(source: str) -> Iterator[str]:
    for node in nodes_of(source):
        if isinstance(node, ast.Expr) and _called(node.value) in BLOCKS:
            yield f"line {node.lineno}: {_called(node.value)} waits for nothing without a with statement"
        if isinstance(node, ast.Call) and _called(node) in {"waitUntil", *BLOCKS}:
            for one in node.keywords:
                bound = one.value.value if isinstance(one.value, ast.Constant) else None
                if one.arg == "timeout" and isinstance(bound, int) and bound < LEAST:
                    yield f"line {node.lineno}: {bound} ms are too short on a busy machine: leave them out"


def test_no_wait_of_the_window_is_too_short_or_none():
    found = [f"{file.relative_to(ROOT)}, {one}" for file in FILES for one in _faults(text_of(file))]
    assert found == []


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("qtbot.waitExposed(window)", 1),
        ("with qtbot.waitExposed(window):\n    window.show()", 0),
        ("qtbot.waitUntil(lambda: done, timeout=1000)", 1),
        ("with qtbot.waitSignal(made, timeout=5_000):\n    pass", 1),
        ("qtbot.waitUntil(lambda: done)", 0),
        ("qtbot.waitUntil(lambda: done, timeout=LONG)", 0),
    ],
)
def test_such_waits_are_seen(line: str, faults: int):
    assert len([*_faults(line)]) == faults
