"""Every text that a person reads goes through a translation: literals that are shown without one are found here."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .parsed import files_below, nodes_of, text_of

SHOWING = {
    "QAction", "QCheckBox", "QGroupBox", "QLabel", "QPushButton", "QRadioButton", "QToolButton",
    "Chip", "ComboBox", "DoubleSpinBox", "ElidedLabel", "EmptyState", "Plot", "PrimaryButton", "SpinBox", "Step",
    "button", "label", "add_line", "add_path", "add_row", "addAction", "addItem", "addItems", "addMenu", "addRow",
    "addTab", "drawText", "label_axis", "note", "refuse", "say", "_say", "setAccessibleDescription",
    "setAccessibleName", "setHeaderLabels", "setHorizontalHeaderLabels", "setLabelText", "setPlaceholderText",
    "setPrefix", "setSpecialValueText", "setStatusTip", "setSuffix", "setText", "setTitle", "setToolTip",
    "setWhatsThis", "setWindowTitle", "show_error", "showText", "tell",
}  # fmt: skip
"""Functions and methods whose arguments are read by a person."""
TRANSLATING = {"tr", "translate", "say", "QT_TRANSLATE_NOOP", "PanelEntry", "Message"}
KEYWORDS = {"text", "placeholderText", "toolTip", "tip", "hint", "sentence", "title"}
NAMES = {
    "ONNX", "PyTorch", "MACs", "Secateur", "AdamW", "Adam", "SGD", "left", "bottom", "right", "top",
    "caption", "code", "good", "heading", "link", "marked", "muted", "number", "primary", "role", "small", "strong",
    "chip", "card", "mark", "offer", "error", "file", "folder", "save", "px", "http", "utf", "numbers",
}  # fmt: skip
"""Names of things and roles of widgets: the same in every language, or never shown."""
EXEMPT = {"screenshots.py", "main.py"}
"""A script, and what is written to a terminal."""


def files() -> list[Path]:
    return [p for p in files_below("app") if p.name not in EXEMPT and "engine_" not in p.name]


def called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def readable(text: str) -> bool:
    """A word of two letters or more that is no name."""
    return any(word not in NAMES for word in re.findall(r"[^\W\d_]{2,}", re.sub(r"\{.*?\}|\S*\.\w+\S*", "", text)))


def untranslated(node: ast.AST, translates: set[str]) -> list[ast.Constant]:
    """Literals in an expression that are shown as they stand."""
    if isinstance(node, ast.Call):
        if called(node) in translates:
            return []
        inner = node.func.value if isinstance(node.func, ast.Attribute) else None
        parts = [inner] if inner is not None and called(node) in ("format", "strip", "join", "removesuffix") else []
        return [one for part in parts for one in untranslated(part, translates)]
    if isinstance(node, ast.Constant):
        return [node] if isinstance(node.value, str) and readable(node.value) else []
    if isinstance(node, ast.JoinedStr | ast.BinOp | ast.IfExp | ast.BoolOp | ast.Tuple | ast.List):
        parts = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        return [one for part in parts for one in untranslated(part, translates)]
    return []


def shown_literals(source: str) -> list[tuple[int, str]]:
    nodes = nodes_of(source)
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name in ("say", "_say")]
    # `say` is a translation where a file defines it so; `_say` of a panel shows what it is given.
    wrappers = {f.name for f in functions if translates(f)}
    known = TRANSLATING | wrappers
    found: list[tuple[int, str]] = []
    for node in nodes:
        if isinstance(node, ast.Call) and called(node) in SHOWING - known:
            given = node.args[:1] if called(node) == "addItem" else node.args  # the rest is data
            arguments = [*given, *(k.value for k in node.keywords if k.arg in KEYWORDS)]
            found += [(one.lineno, str(one.value)) for a in arguments for one in untranslated(a, known)]
    return found


def translates(function: ast.FunctionDef) -> bool:
    return any(isinstance(n, ast.Call) and called(n) in ("translate", "tr") for n in ast.walk(function))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_is_shown_without_a_translation(path: Path) -> None:
    found = shown_literals(text_of(path))
    assert not found, "\n".join(f"{path.relative_to(ROOT)}:{line}: {text!r}" for line, text in found)


def test_a_planted_literal_is_found() -> None:
    assert shown_literals('self.box.setToolTip("Drag the line")') == [(1, "Drag the line")]
    assert shown_literals('self.box.setText(f"{n} filters of {m}")')
    assert shown_literals('self.box.setText("yes, please" if on else self.tr("No"))')
    assert shown_literals('made = label("Some words", "muted")') == [(1, "Some words")]
    assert not shown_literals('self.box.setText(self.tr("{n} of {m}").format(n=1, m=2))')
    assert not shown_literals('QCoreApplication.translate("x", "Open")')
