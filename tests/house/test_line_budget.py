"""How many lines of code each package may have: `line_budget.json`, which is changed by hand alone.

A line of code holds a token that is neither comment nor docstring, so that nothing is gained by dense or silent code. A
change that needs more raises its package's number in the same commit, with the reason in the commit's body.
"""

import ast
import json
from collections import Counter
from pathlib import Path

from tests.conftest import ROOT

from .parsed import files_below, nodes_of, text_of

BUDGET = ROOT / "tests" / "house" / "line_budget.json"


def count_code_lines(text: str) -> int:
    """Lines with code; docstrings and other bare strings are none."""
    written = {n for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.lstrip().startswith("#")}
    documented, bare = set[int](), set[ast.AST]()
    for node in nodes_of(text):  # a statement comes before what it holds
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            bare.add(node.value)
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and node not in bare):
            written.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))  # also what is empty in a text
    return len(written - documented)


def package_of(file: Path) -> str:
    """`engine/planning` for any file below it, `engine` for one beside it; all tests are one."""
    top, *inner = file.relative_to(ROOT).parts
    return f"{top}/{inner[0]}" if len(inner) > 1 and top != "tests" else top


def test_no_package_has_more_lines_than_its_budget() -> None:
    found = Counter[str]()
    for top in ("app", "engine", "packaging", "resources", "tests"):
        for file in files_below(top):
            found[package_of(file)] += count_code_lines(text_of(file))
    allowed = json.loads(BUDGET.read_text(encoding="utf-8"))
    assert sorted(allowed) == sorted(found), "a package came or went: change line_budget.json"
    over = {name: (count, allowed[name]) for name, count in found.items() if count > allowed[name]}
    assert not over, f"more lines than line_budget.json allows (lines, allowed): {over}"


def test_words_and_empty_lines_do_not_count() -> None:
    text = '"""A module."""\n\n# Why.\nX = (\n    1,\n)\n\n\ndef f():\n    """Nothing."""\n    return X  # X\n'
    assert count_code_lines(text) == 5
