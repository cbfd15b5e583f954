"""All texts of the window for translators: `python packaging/strings.py OUT.ts` writes a file that Qt Linguist opens.

lupdate alone finds only what is written as `self.tr("...")`; the tables of commands and places, the shared `say`, and
the engine's templates are found here too. `lrelease` makes `secateur_de.qm` of a translated file; put into
`app/translations/`, it is loaded where the system speaks that language.
"""

import ast
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = "engine"
COMMANDS = "Command"
"""Context of what `app/commands/command.py` says for others."""
Found = Iterator[tuple[str, str]]


def texts() -> dict[str, list[str]]:
    """Context -> its texts, in order, each once."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        for context, text in of_window(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(context, {})[text] = None
    for path in sorted((ROOT / "engine").rglob("*.py")):
        for text in of_engine(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(ENGINE, {})[text] = None
    for text in titles():
        found.setdefault(ENGINE, {})[text] = None
    return {context: [*one] for context, one in sorted(found.items())}


def of_window(tree: ast.Module) -> Found:
    """Texts of a file of the window: (context, text)."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    own = _context_of_say(tree, constants)
    yield from _walk(tree, "", constants, own)


def _walk(node: ast.AST, scope: str, constants: dict[str, str], own: str) -> Found:
    scope = node.name if isinstance(node, ast.ClassDef) else scope
    if isinstance(node, ast.Call):
        yield from _call(node, scope, constants, own)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, scope, constants, own)


def _call(node: ast.Call, scope: str, constants: dict[str, str], own: str) -> Found:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name == "tr" and node.args:
        yield from ((scope or "QObject", text) for text in _literals(node.args[0]))
    elif name in ("translate", "say", "_say", "QT_TRANSLATE_NOOP") and len(node.args) >= 2:
        context = next(iter(_literals(node.args[0])), constants.get(getattr(node.args[0], "id", ""), COMMANDS))
        yield from ((context, text) for text in _literals(node.args[1]))
    elif name in ("_command", "_help_command"):  # id, title, tooltip
        yield from ((COMMANDS, text) for argument in node.args[1:3] for text in _literals(argument))
    elif name in ("say", "_say", "engine_words") and len(node.args) == 1 and not _method(node):
        yield from ((own, text) for text in _literals(node.args[0]))


def _method(node: ast.Call) -> bool:
    """`work.say(...)` shows what it is given; only the function of that name translates."""
    return isinstance(node.func, ast.Attribute)


def _context_of_say(tree: ast.Module, constants: dict[str, str]) -> str:
    """The context that a file's own `say(text)` translates in; that of the commands where it has none."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name in ("say", "_say"):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "translate":
                    first = node.args[0]
                    return next(iter(_literals(first)), constants.get(getattr(first, "id", ""), COMMANDS))
    return COMMANDS


def _literals(node: ast.AST) -> Iterator[str]:
    """The text of an expression, both of one that chooses, and all of a table."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _literals(value)


def of_engine(tree: ast.Module) -> Iterator[str]:
    """Templates of messages and errors, and what a job says that it does."""
    for message in messages(tree):
        yield from message.templates
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Progress" and node.args:
            yield from _literals(node.args[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Option":
            for given in node.keywords:
                if given.arg in ("title", "help", "details", "zero", "titles", "hint"):
                    yield from _literals(given.value)


CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Said:
    """A code with the templates that a file of the engine gives it at one place.

    Attributes:
        code: As it is written.
        templates: All that may stand there: one, where the code has one text.
        line: Where, from 1.
    """

    code: str
    templates: tuple[str, ...]
    line: int


def messages(tree: ast.Module) -> Iterator[Said]:
    """What a file says: each code that is written beside a template, in a call or as a pair in a table."""
    constants = _assigned(tree.body)
    for node, function in _within(tree, None):
        if not isinstance(node, ast.Call | ast.Tuple):
            continue
        pair = node.args if isinstance(node, ast.Call) else node.elts
        if len(pair) < 2 or not isinstance(pair[0], ast.Constant) or not CODE.fullmatch(str(pair[0].value)):
            continue
        found = tuple(dict.fromkeys(_templates(pair[1], node.lineno, function, constants)))
        if found and (isinstance(node, ast.Call) or " " in found[0]):
            yield Said(str(pair[0].value), found, node.lineno)


def _within(node: ast.AST, function: Function | None) -> Iterator[tuple[ast.AST, Function | None]]:
    """All nodes, each with the function that it is in."""
    for child in ast.iter_child_nodes(node):
        yield child, function
        yield from _within(child, child if isinstance(child, Function) else function)


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _templates(node: ast.expr, line: int, function: Function | None, constants: dict[str, ast.expr]) -> Iterator[str]:
    """Texts of an expression; of a name those that were given to it since it was last read."""
    if not isinstance(node, ast.Name):
        yield from _literals(node)
        return
    inside = [*ast.walk(function)] if function else []
    names = [one for one in inside if isinstance(one, ast.Name) and one.id == node.id and one.lineno < line]
    read = max((one.lineno for one in names if isinstance(one.ctx, ast.Load)), default=0)
    assigned = [one for one in inside if isinstance(one, ast.Assign) and read < one.lineno < line]
    given = [one for one in assigned if any(getattr(target, "id", "") == node.id for target in one.targets)]
    for value in [one.value for one in given] or [constants[node.id]] if given or node.id in constants else []:
        yield from _literals(value)


def titles() -> Iterator[str]:
    """What the engine's tables call things."""
    from secateur.engine.baselines.protocol import BaselineKind
    from secateur.engine.baselines.table import RULES
    from secateur.engine.export.table import EXPORTERS
    from secateur.engine.recovery.expected_result import benchmark_points
    from secateur.engine.scoring.criteria import CRITERIA
    from secateur.engine.session.project_file import Role
    from secateur.engine.structures.analysis import Kind
    from secateur.engine.surgery.cut.edits import CHECKS
    from secateur.engine.tasks.data_hints import WAYS
    from secateur.engine.tasks.purposes.table import PURPOSES
    from secateur.engine.tasks.tables.protocol import ColumnKind as Cells

    for criterion in CRITERIA.values():
        yield from (criterion.title, criterion.formula)
    for exporter in EXPORTERS.values():
        yield from (exporter.title, exporter.purpose)
    yield from PURPOSES.values()
    yield from (rule.title for rule in RULES.values())
    for names in (BaselineKind, Role, Kind, Cells, CHECKS):
        yield from map(str, names)
    yield from (point.how for point in benchmark_points())
    yield from (name for ways in WAYS.values() for name in ways)


def write(path: Path) -> int:
    """Write a file for translators; returns how many texts it has."""
    root = ET.Element("TS", version="2.1", sourcelanguage="en")
    count = 0
    for name, sources in texts().items():
        context = ET.SubElement(root, "context")
        ET.SubElement(context, "name").text = name
        for source in sources:
            message = ET.SubElement(context, "message")
            ET.SubElement(message, "source").text = source
            ET.SubElement(message, "translation", type="unfinished")
            count += 1
    ET.indent(root)
    path.write_bytes(b'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n' + ET.tostring(root, encoding="utf-8"))
    return count


if __name__ == "__main__":
    print(write(Path(sys.argv[1])), "texts")
