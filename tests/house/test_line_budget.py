"""How many lines of code each package may have: `line_budget.json`, which is changed by hand alone.

A line of code holds a token that is neither comment nor docstring, so that nothing is gained by dense or silent code. A
change that needs more raises its package's number in the same commit, with the reason in the commit's body.
"""

import ast
import io
import json
import tokenize
from collections import Counter
from pathlib import Path

from tests.conftest import ROOT

BUDGET = ROOT / "tests" / "house" / "line_budget.json"
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def count_code_lines(text: str) -> int:
    """Lines with code; docstrings and other bare strings are none."""
    documented = set[int]()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for child in body if isinstance(body, list) else ():
            if isinstance(child, ast.Expr) and isinstance(getattr(child.value, "value", None), str):
                documented.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def package_of(file: Path) -> str:
    """`engine/planning` for any file below it, `engine` for one beside it; all tests are one."""
    top, *inner = file.relative_to(ROOT).parts
    return f"{top}/{inner[0]}" if len(inner) > 1 and top != "tests" else top


def test_no_package_has_more_lines_than_its_budget() -> None:
    found = Counter[str]()
    for top in ("app", "engine", "packaging", "resources", "tests"):
        for file in sorted((ROOT / top).rglob("*.py")):
            found[package_of(file)] += count_code_lines(file.read_text(encoding="utf-8"))
    allowed = json.loads(BUDGET.read_text(encoding="utf-8"))
    assert sorted(allowed) == sorted(found), "a package came or went: change line_budget.json"
    over = {name: (count, allowed[name]) for name, count in found.items() if count > allowed[name]}
    assert not over, f"more lines than line_budget.json allows (lines, allowed): {over}"


def test_words_and_empty_lines_do_not_count() -> None:
    text = '"""A module."""\n\n# Why.\nX = (\n    1,\n)\n\n\ndef f():\n    """Nothing."""\n    return X  # X\n'
    assert count_code_lines(text) == 5
