"""A function that takes more than a glance says what it does: ruff sees the public ones, this those inside them."""

import ast

import pytest

from .parsed import files_below, nodes_of, text_of

GLANCE = 10
"""Lines from which on a function within a function, or in a class of one file's own, has a docstring."""


def silent(source: str) -> list[str]:
    """Functions whose names are not private that are long and have no docstring."""
    found = [node for node in nodes_of(source) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = [one for one in found if not one.name.startswith("_") and (one.end_lineno or 0) - one.lineno + 1 >= GLANCE]
    return [f"{one.name}, line {one.lineno}" for one in named if ast.get_docstring(one) is None]


@pytest.mark.parametrize("top", ["app", "engine", "packaging", "resources"])
def test_every_function_of_more_than_a_glance_says_what_it_does(top: str) -> None:
    found = {str(path): silent(text_of(path)) for path in files_below(top)}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_planted_one_is_found() -> None:
    body = "\n".join(f"        x{n} = {n}" for n in range(GLANCE))
    assert silent(f"def outer():\n    def inner():\n{body}\n    return inner\n") == ["outer, line 1", "inner, line 2"]
    assert silent(f'def outer():\n    """It."""\n    def _inner():\n{body}\n') == []
