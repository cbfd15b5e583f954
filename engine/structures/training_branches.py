"""Finds models whose own code does something else in training, by the text of their forwards.

Most code reads `training` to switch dropout on or off; a second run would show nothing new. Code that calls, returns or
assigns something in one mode alone may read tensors there that evaluation never touches.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from ..tracing.tree import modules_of

HARMLESS = ("drop", "norm", "rrelu", "stochastic", "train")
"""Functions with one of these in their names are what they are in both modes, but for what they drop or average."""
NORMS = nn.modules.batchnorm._NormBase  # pyright: ignore[reportPrivateUsage] - the common class of all
DOING = (ast.Call, ast.Return, ast.BinOp, ast.AugAssign)
"""What a branch that computes something has in it; one that chooses a number for dropout has none."""
Switch = frozenset[str]
"""Attributes of `self` that have to be true too for a branch to be taken."""


def branches_on_training(model: nn.Module) -> bool:
    """Whether code of the model's own computes something in training alone."""
    kinds: dict[Any, list[nn.Module]] = {}
    for module in modules_of(model).values():
        kinds.setdefault(type(module), []).append(module)
    for kind, modules in kinds.items():
        if issubclass(kind, NORMS):  # they differ in their statistics, which are compared
            continue
        for switches in _switches(kind):
            if any(all(getattr(one, name, True) for name in switches) for one in modules):
                return True
    return False


@cache
def _switches(kind: Any) -> tuple[Switch, ...]:
    """For each branch on the mode in the methods of a class: what else it asks for."""
    found: list[Switch] = []
    bases: tuple[type, ...] = kind.__mro__
    for base in bases:
        if base.__module__.partition(".")[0] == "torch":
            continue
        methods: dict[str, Any] = dict(vars(base))
        for value in methods.values():
            function: Any = inspect.unwrap(value) if callable(value) else None
            if isinstance(function, FunctionType) and "training" in _names(function.__code__):
                found += _in_text(function)
    return tuple(found)


def _names(code: CodeType) -> set[str]:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _in_text(function: FunctionType) -> Iterator[Switch]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):  # without its text it may do anything
        yield frozenset()
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)) and _asks(node.test):
            parts = [one for part in (node.body, node.orelse) for one in (part if isinstance(part, list) else [part])]
            if any(isinstance(one, DOING) for part in parts for one in ast.walk(part)):
                yield _switch(node.test)
        elif isinstance(node, ast.Call):
            handed = any(map(_is_mode, (*node.args, *(word.value for word in node.keywords))))
            if handed and not any(part in ast.unparse(node.func).lower() for part in HARMLESS):
                yield frozenset()


def _asks(test: ast.expr) -> bool:
    return any(_is_mode(node) for node in ast.walk(test))


def _is_mode(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "training"


def _switch(test: ast.expr) -> Switch:
    """Attributes in an `and` with the mode: `self.training and self.jitter > 0`."""
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else []
    parts = [p.left if isinstance(p, ast.Compare) and isinstance(p.ops[0], ast.Gt) else p for p in parts]
    own = (p for p in parts if isinstance(p, ast.Attribute) and isinstance(p.value, ast.Name) and p.value.id == "self")
    return frozenset(p.attr for p in own if not _is_mode(p))
