"""What holds for every panel: names for screen readers, reachable by keys, nothing clipped in the smallest window."""

import ast
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)  # fmt: skip

import secateur.app
from secateur.app.document.aspects import Selection
from secateur.app.panels.changes import ChangesPanel
from secateur.app.panels.destinations import DestinationsPanel
from secateur.app.panels.gates import GatesPanel
from secateur.app.panels.graph import GraphPanel
from secateur.app.panels.heads import HeadsPanel
from secateur.app.panels.history import HistoryPanel
from secateur.app.panels.inspector import InspectorPanel
from secateur.app.panels.jobs import JobsPanel
from secateur.app.panels.layers import LayersPanel
from secateur.app.panels.ledger import LedgerPanel
from secateur.app.panels.log import LogPanel
from secateur.app.panels.recipe import RecipePanel
from secateur.app.panels.recovery.panel import RecoveryPanel
from secateur.app.panels.registry import PANELS
from secateur.app.panels.samples import SamplesPanel
from secateur.app.panels.sensitivity import SensitivityPanel
from secateur.app.panels.state_strip import StateStrip
from secateur.app.panels.tradeoff.panel import TradeOffPanel
from secateur.app.panels.tree import TreePanel
from tests.app.painted_text import cut
from tests.app.stand_in import StandIn, opened, travelled
from tests.app.turns import settle

INTERACTIVE = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractItemView, QPlainTextEdit)
SMALLEST = {
    StateStrip: (1000, 50),
    LedgerPanel: (1000, 88),
    TreePanel: (280, 450),
    TradeOffPanel: (440, 220),
    LayersPanel: (440, 220),
    GraphPanel: (440, 220),
    HeadsPanel: (440, 220),
    ChangesPanel: (440, 220),
    SensitivityPanel: (440, 220),
    RecoveryPanel: (450, 160),
    GatesPanel: (450, 160),
    SamplesPanel: (450, 160),
    JobsPanel: (450, 160),
    HistoryPanel: (450, 160),
    LogPanel: (450, 160),
    RecipePanel: (450, 160),
    DestinationsPanel: (440, 220),
    InspectorPanel: (232, 450),
}
"""What is left for each panel in a window of 1024x700."""


def made(kind: type[QWidget], document: StandIn) -> QWidget:
    """A panel as the window makes it."""
    entry = next(one for one in PANELS if one.name == kind.__name__)
    return entry.make(document.workbench)


@pytest.fixture(params=list(SMALLEST), ids=lambda kind: kind.__name__)
def panel(request, qtbot, dressed) -> QWidget:
    document = travelled()
    document.plan.mark(np.arange(45, 55), True)
    panel = made(request.param, document)
    qtbot.addWidget(panel)
    panel.resize(*SMALLEST[request.param])
    panel.show()
    document.select(Selection("layer1.0.conv1", 2, document.analysis.sets[2].first + 3))
    settle(qtbot, document)
    return panel


def visible(panel: QWidget, kind) -> list:
    return [w for w in panel.findChildren(QWidget) if isinstance(w, kind) and w.isVisible()]


def test_everything_that_can_be_used_has_a_name(panel) -> None:
    for widget in visible(panel, INTERACTIVE):
        inner = isinstance(widget, QLineEdit) and isinstance(widget.parent(), QAbstractSpinBox)
        ours = not widget.objectName().startswith("qt_") and not inner
        if ours and not (isinstance(widget, QAbstractButton) and isinstance(widget.parent(), QLineEdit)):
            assert widget.accessibleName(), (type(widget).__name__, widget.objectName())


def test_everything_that_can_be_used_is_reached_by_tab(panel) -> None:
    for widget in visible(panel, INTERACTIVE):
        inside = isinstance(widget.parent(), (QLineEdit, QAbstractSpinBox, QComboBox))
        ours = not widget.objectName().startswith("qt_") and type(widget).__name__ != "QHeaderView"
        if widget.isEnabled() and ours and not inside:
            assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus, (type(widget).__name__, widget.accessibleName())


def test_no_words_are_clipped_in_the_smallest_window(panel) -> None:
    assert cut(panel) == []


def test_panels_fit_side_by_side_into_the_smallest_window(qtbot, dressed) -> None:
    for kind, (width, height) in SMALLEST.items():
        panel = made(kind, opened())
        qtbot.addWidget(panel)
        panel.ensurePolished()
        least = panel.minimumSizeHint()
        assert least.width() <= width and least.height() <= height, (kind.__name__, least)


def test_the_window_imports_no_torch_and_panels_touch_no_session() -> None:
    for path in Path(secateur.app.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(n.split(".")[0] in ("torch", "torchvision", "onnx", "onnxruntime") for n in names), path
