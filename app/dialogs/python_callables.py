"""What in a Python file may make a model: read from its text, nothing of it runs here."""

import ast
from pathlib import Path

LARGEST = 4_000_000
"""Bytes of a file that is read."""


def callables_in(file: Path) -> tuple[str, ...]:
    """Functions and classes at the top of a file that can be called with nothing: what may make a model.

    Args:
        file: A Python file; one that cannot be read or parsed has none.

    Returns:
        Names in the order of the file, functions first. A class counts where it is derived from something.
    """
    try:
        if file.stat().st_size > LARGEST:
            return ()
        body = ast.parse(file.read_bytes()).body
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return ()
    functions = [one.name for one in body if isinstance(one, ast.FunctionDef) and _asks_nothing(one, bound=0)]
    classes = [one.name for one in body if isinstance(one, ast.ClassDef) and _made_of_nothing(one)]
    return tuple(name for name in (*functions, *classes) if not name.startswith("_") and name != "main")


def _made_of_nothing(one: ast.ClassDef) -> bool:
    made = next((part for part in one.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    return bool(one.bases) and (made is None or _asks_nothing(made, bound=1))


def _asks_nothing(one: ast.FunctionDef, bound: int) -> bool:
    """Whether all arguments but the `bound` first have a default."""
    given = one.args
    by_place = len(given.posonlyargs) + len(given.args) - bound - len(given.defaults)
    return by_place <= 0 and all(default is not None for default in given.kw_defaults)
