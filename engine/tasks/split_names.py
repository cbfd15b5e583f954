"""Decides which names of the splits a user's `task.py` expects: train, val and test, or those of version 0.1.

`batches(split)` and `evaluate(model, split)` get "train", "val" or "test". Version 0.1 said "calibrate", "choose" and
"report"; a file that was written for it still gets these. What counts, in this order:

1. `SPLITS = ("train", "val", "test")` in the file: its own three names, whatever they are, in this order.
2. The strings that the file compares with, uses as keys or matches, for example `split == "calibrate"` or
   `{"calibrate": ...}`. One of "calibrate" and "choose" means the former names, and so does "report" in a file that
   says none of the present names. "report" beside a present name can mean either, and is refused.
3. Where the file itself says none of the six, the same strings of the modules beside it that it imports.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ..errors import TaskError
from .protocol import FORMER_NAMES, Split
from .user_file import UserFile

PRESENT_NAMES: Mapping[Split, str] = {split: split.value for split in Split}
UNMISTAKABLE = {FORMER_NAMES[Split.TRAIN], FORMER_NAMES[Split.VAL]}
"""Former names that hardly anything but a split is compared with."""


def split_names(file: UserFile) -> Mapping[Split, str]:
    """The name of each split that the functions of a file expect.

    Raises:
        TaskError: Its `SPLITS` are not three different names, or its strings do not say which names it expects.
    """
    declared = file.value("SPLITS", None)
    if declared is not None:
        return _declared(declared, file.path)
    said = set(_selectors(file.path))
    if not said:
        said = {name for path in _modules_beside(file.path) for name in _selectors(path)}
    if said & UNMISTAKABLE:
        return FORMER_NAMES
    if FORMER_NAMES[Split.TEST] not in said:
        return PRESENT_NAMES
    if said.isdisjoint(PRESENT_NAMES.values()):
        return FORMER_NAMES
    template = (
        "{file} uses both '{former}' and '{present}', so the names of its splits are unclear. Add SPLITS = ('train', "
        "'val', 'test') into it, or SPLITS = ('calibrate', 'choose', 'report')."
    )
    present = next(name for name in PRESENT_NAMES.values() if name in said)
    raise TaskError(
        "task_file.split_names", template, file=str(file.path), former=FORMER_NAMES[Split.TEST], present=present
    )


def _declared(given: Any, path: Path) -> Mapping[Split, str]:
    """The names that a file declares as `SPLITS`."""
    names = cast("Sequence[Any]", given) if isinstance(given, list | tuple) else ()
    if len(names) != len(Split) or len(set(map(str, names))) != len(Split):
        template = "SPLITS in {file} is {given}. Use three different names: for training, validation and test."
        raise TaskError("task_file.declared_splits", template, file=str(path), given=f"{given!r}")
    return {split: str(name) for split, name in zip(Split, names, strict=True)}


def _selectors(path: Path) -> Iterator[str]:
    """Names of splits among the strings that a file compares with, uses as keys or matches."""
    known = {*FORMER_NAMES.values(), *PRESENT_NAMES.values()}
    for node in ast.walk(_tree(path)):
        match node:
            case ast.Compare():
                parts = [node.left, *node.comparators]
            case ast.Dict():
                parts = node.keys
            case ast.Subscript():
                parts = [node.slice]
            case ast.MatchValue():
                parts = [node.value]
            case ast.Call(func=ast.Name(id="dict")):
                yield from (word.arg for word in node.keywords if word.arg in known)
                continue
            case _:
                continue
        for part in parts:
            members = part.elts if isinstance(part, ast.Tuple | ast.List | ast.Set) else [part]
            for one in members:
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value in known:
                    yield one.value


def _modules_beside(path: Path) -> Iterator[Path]:
    """Files in the folder of a file, or packages there, that it imports."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            place = path.parent.joinpath(*name.split("."))
            yield from (one for one in (place.with_suffix(".py"), place / "__init__.py") if name and one.is_file())


def _tree(path: Path) -> ast.AST:
    """The syntax tree of a file; an empty one where it cannot be read: the import of the file says why."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])
