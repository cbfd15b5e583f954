"""The Layers tab: rows aligned with the tree, what each keeps and costs, ties between layers; ten thousand scroll."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAccessible, QColor
from PySide6.QtWidgets import QApplication
from torch import nn

from secateur.app.document.aspects import Aspect, Selection
from secateur.app.panels.layers import LayersPanel
from secateur.app.panels.layers.model import Cells, Column
from secateur.app.panels.layers.rows import LANES, layers_of
from secateur.app.panels.tree import TreePanel
from secateur.app.panels.tree.rows import rows_of
from secateur.app.theme import tokens
from secateur.engine import analyse
from secateur.engine.sensitivity.protocol import SensitivityPoint
from secateur.engine.targets.latency_table import LatencyTable, Saving, TableErrors
from tests.app.demo_analysis import small_resnet, wide
from tests.app.panels.screen_reader import spoken
from tests.app.playing import play, top1
from tests.app.stand_in import opened, weak

LEFT = Qt.MouseButton.LeftButton


def text(panel: LayersPanel, row: int, column: Column) -> str:
    return panel.model.index(row, column).data()


def middle(panel: LayersPanel, row: int) -> QPoint:
    return panel.view.visualRect(panel.model.index(row, Column.NAME)).center()


def test_rows_say_what_a_layer_keeps_and_its_share_of_the_plans_costs(shown) -> None:
    document = opened()
    panel = shown(LayersPanel(document), 720, 460)
    document.plan.keep(2, 20)
    number, cells = panel.model.layers.row_of["layer1.0.conv1"], panel.model.cells
    assert text(panel, number, Column.KEEPS) == "20 of 32"
    length = (32 / 128) ** 0.5
    assert cells.bar(number) == pytest.approx((length, length, length * 20 / 32))
    # 20 filters of 3x3 over 32 channels at 28x28, and their share of all that is left
    macs, parameters = 20 * 32 * 9 * 28 * 28, 20 * 32 * 9
    plan = document.plan_costs
    assert panel.model.plan.macs[number] == pytest.approx(macs / plan.macs)
    assert panel.model.plan.parameters[number] == pytest.approx(
        parameters / plan.parameters
    )  # its norm is another module
    fc = panel.model.layers.row_of["fc"]
    assert cells.fixed(fc) and text(panel, fc, Column.KEEPS) == "10 fixed"
    assert "20 of 32 outputs kept" in panel.model.cells.words(number)


def test_rows_are_in_the_order_of_the_tree(shown) -> None:
    document = opened()
    panel, tree = shown(LayersPanel(document), 720, 460), shown(TreePanel(document))
    tree.view.expandAll()
    order = []
    index = tree.model.index(0, 0)
    while index.isValid():
        module = tree.model.module(index)
        if module in panel.model.layers.row_of and module not in order:
            order.append(module)
        index = tree.view.indexBelow(index)
    assert order == list(panel.model.layers.modules)


def test_a_click_selects_in_the_tree_and_the_trees_selection_is_reached(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), height=160)
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=middle(panel, 1))
    assert document.selection == Selection("layer1.0.conv1", 2) and panel.view.current == 1
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert document.selection.module == "layer1.0.conv2"
    document.select(Selection("fc", -1))
    last = panel.model.layers.row_of["fc"]
    assert panel.view.current == last
    assert panel.view.viewport().rect().contains(middle(panel, last))
    qtbot.keyClick(panel.view, Qt.Key.Key_Home)
    assert document.selection.module == "conv1" and panel.view.verticalScrollBar().value() == 0


def test_a_click_on_the_header_or_below_the_last_row_selects_nothing(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), height=600)
    qtbot.mouseClick(panel.view.horizontalHeader().viewport(), LEFT, pos=QPoint(50, 5))
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=QPoint(50, panel.view.viewport().height() - 10))
    assert document.selection == Selection()


def test_rows_never_scroll_sideways(shown) -> None:
    panel = shown(LayersPanel(opened()))
    view = panel.view
    for width in (900, 700, 500, 400, 340, 290):
        panel.resize(width, 400)
        QApplication.processEvents()
        assert view.horizontalScrollBar().maximum() == 0, width
        assert view.columnWidth(Column.NAME) >= 90 and not view.isColumnHidden(Column.KEEPS)
    assert view.isColumnHidden(Column.MACS)


def test_layers_that_share_a_residual_width_are_tied(shown) -> None:
    panel = shown(LayersPanel(opened()))
    by_names = {tuple(panel.model.layers.modules[n] for n in tie.rows): tie for tie in panel.model.layers.ties}
    stage = by_names["conv1", "layer1.0.conv2", "layer1.1.conv2"]
    assert not stage.joined and stage.lane >= 0
    assert ("layer2.0.conv2", "layer2.0.shortcut.0", "layer2.1.conv2") in by_names
    words = panel.model.cells.words(panel.model.layers.row_of["layer1.0.conv2"])
    assert "coupled, same residual width: conv1, layer1.0.conv2, layer1.1.conv2" in words


class Joined(nn.Module):
    """Two convolutions whose results one reads beside each other; heads whose two factors lie on one axis."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 6, 1)
        self.both, self.fc = nn.Conv2d(10, 12, 1), nn.Linear(12, 5)
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x):
        y = self.both(torch.cat([self.left(x), self.right(x)], 1)).flatten(2).mT
        q, k, v = self.qkv(y).unflatten(2, (3, 3, 4)).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.mT).softmax(-1) @ v
        return self.fc(self.proj(mixed.transpose(1, 2).flatten(2)).mean(1))


def test_layers_that_are_concatenated_are_tied_to_the_one_that_reads_them() -> None:
    analysis = analyse(Joined().eval(), (torch.randn(2, 3, 4, 4),))
    layers = layers_of(analysis, rows_of(analysis))
    joined = [tie for tie in layers.ties if tie.joined]
    assert [[layers.modules[n] for n in tie.rows] for tie in joined] == [["left", "right", "both"]]


def test_ties_that_overlap_lie_in_lanes_of_their_own() -> None:
    analysis = small_resnet(widths=(8,) * 3, blocks=4)
    layers = layers_of(analysis, rows_of(analysis))
    placed = [tie for tie in layers.ties if tie.lane >= 0]
    assert placed and all(tie.lane < LANES for tie in placed)
    for n, a in enumerate(placed):
        for b in placed[n + 1 :]:
            assert a.lane != b.lane or a.rows[-1] < b.rows[0] or b.rows[-1] < a.rows[0]


def test_marked_outputs_are_hatched_between_what_stays_and_what_is_gone(shown) -> None:
    document = opened()
    panel = shown(LayersPanel(document), 720, 460)
    before = panel.view.viewport().grab().toImage()
    assert document.analysis is not None and document.scores is not None
    document.plan.mark(weak(document.analysis, document.scores, 0.25), True)
    after = panel.view.viewport().grab().toImage()

    def is_orange(c: QColor) -> bool:
        return c.red() > 150 and c.blue() < 80 and c.green() < c.red() - 60  # high scores are yellow

    assert _count(after, is_orange) > 200 and _count(before, is_orange) == 0


def test_the_focused_row_is_framed_and_still_read(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), 720, 460)
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=middle(panel, 4))  # with ties that are highlighted
    row = panel.view.visualRect(panel.model.index(panel.view.current, Column.NAME))
    panel.activateWindow()
    panel.view.setFocus()
    qtbot.waitUntil(panel.view.hasFocus)
    image, inside = panel.view.viewport().grab().toImage(), row.adjusted(2, 2, -2, -2)
    places = [QPoint(x, y) for x in range(inside.left(), inside.right()) for y in range(inside.top(), inside.bottom())]
    colours = Counter(image.pixelColor(place).name() for place in places)
    assert colours.most_common(1)[0][0] == tokens().selection and colours[tokens().text] > 3
    assert image.pixelColor(row.center().x(), row.top()).name() == tokens().accent


def _count(image, holds) -> int:
    return sum(holds(image.pixelColor(x, y)) for x in range(image.width()) for y in range(2, image.height(), 2))


def test_what_half_of_a_layer_costs_stands_beside_it_once_it_is_known(shown) -> None:
    player = play()
    document = player.document
    workbench = player.workbench
    panel = shown(LayersPanel(document), 720, 460)
    number = panel.model.layers.row_of["layer1.0.conv1"]
    assert text(panel, number, Column.SENSITIVITY) == ""
    workbench.sensitivity.start()
    trials = (
        SensitivityPoint(2, 8, top1(0.9)),
        SensitivityPoint(2, 24, top1(0.8)),
        SensitivityPoint(4, 16, top1(0.414)),
    )
    player.make("sensitivity", SensitivityPoint(-1, 0, top1(0.914)), *trials)
    # 16 of 32 lie halfway between the two points: 85 %
    assert text(panel, number, Column.SENSITIVITY) == "\u22126.4 pt"
    assert panel.model.cells.part(number, Column.SENSITIVITY) == pytest.approx(6.4 / 50)
    workbench.close()


def test_ten_thousand_rows_scroll_and_only_those_that_are_seen_are_asked_for(shown, qtbot, monkeypatch) -> None:
    document = opened(wide(10_000, 2))
    panel = shown(LayersPanel(document), 720, 460)
    asked: list[int] = []
    text = Cells.text
    monkeypatch.setattr(Cells, "text", lambda cells, row, column: asked.append(row) or text(cells, row, column))
    qtbot.keyClick(panel.view, Qt.Key.Key_PageDown)
    panel.view.verticalScrollBar().setValue(5_000 * panel.view.rowHeight(0))
    asked.clear()
    panel.view.viewport().grab()
    seen = sorted(set(asked))
    assert seen[0] > 4_990 and len(seen) < 25 and np.diff(seen).max() == 1


def test_keys_reach_the_first_and_the_last_layer_and_letters_a_layer_by_a_part_of_its_path(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), height=160)
    qtbot.keyClick(panel.view, Qt.Key.Key_End)
    assert document.selection.module == panel.model.layers.modules[-1] == "fc"
    assert panel.view.viewport().rect().contains(middle(panel, panel.view.current))
    qtbot.keyClick(panel.view, Qt.Key.Key_Home)
    qtbot.keyClicks(panel.view, "layer2.1")
    assert document.selection.module == "layer2.1.conv1"
    panel.view.keyboardSearch("x")  # no layer begins so: nothing moves
    assert document.selection.module == "layer2.1.conv1"


def test_a_letter_typed_again_goes_on_to_the_next_layer(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document))
    reached = []
    for _ in range(3):
        qtbot.keyClick(panel.view, Qt.Key.Key_C)
        reached.append(document.selection.module)
    assert reached == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]  # whatever their paths begin with


def test_return_space_and_a_double_click_ask_for_how_many_to_keep(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document))
    asked: list[str] = []
    document.requested.connect(lambda act: act(SimpleNamespace(edit_keeps=lambda: asked.append("keep"))))
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    assert not asked  # nothing is selected
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    qtbot.keyClick(panel.view, Qt.Key.Key_Space)
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=middle(panel, 2))
    qtbot.mouseDClick(panel.view.viewport(), LEFT, pos=middle(panel, 2))
    assert asked == ["keep"] * 3 and document.selection.module == panel.model.layers.modules[2]


def test_the_structure_that_is_selected_elsewhere_stays_selected_until_the_row_is_clicked(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document))
    structure = Selection("layer1.0.conv1", 2, document.analysis.sets[2].first + 3)
    document.select(structure)
    assert panel.view.current == 1 and document.selection == structure
    qtbot.mouseClick(panel.view.viewport(), LEFT, pos=middle(panel, 1))
    assert document.selection == Selection("layer1.0.conv1", 2)


def test_a_screen_reader_finds_rows_headings_and_the_focused_layer(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), 720, 460)
    document.plan.keep(2, 20)
    document.select(Selection("layer1.0.conv1", 2))
    heading, name, keeps = (spoken(panel.view, *place) for place in ((-1, 3), (1, Column.NAME), (1, Column.KEEPS)))
    assert QAccessible.queryAccessibleInterface(panel.view).role() is QAccessible.Role.Table
    assert name.text(QAccessible.Text.Name).startswith("layer1.0.conv1, 20 of 32 outputs kept, score 0.")
    assert keeps.text(QAccessible.Text.Name) == "Keeps: 20 of 32"
    assert heading.text(QAccessible.Text.Name) == "Keeps" and heading.role() is QAccessible.Role.ColumnHeader
    assert spoken(panel.view, 1, -1).text(QAccessible.Text.Name) == "layer1.0.conv1"
    assert name.state().selected and not spoken(panel.view, 0, Column.NAME).state().selected
    ties = spoken(panel.view, panel.model.layers.row_of["layer1.0.conv2"], Column.TIES).text(QAccessible.Text.Name)
    assert "coupled, same residual width: conv1, layer1.0.conv2" in ties


def test_the_model_keeps_qts_rules(shown, qtmodeltester) -> None:
    panel = shown(LayersPanel(opened()))
    qtmodeltester.check(panel.model)


def test_a_measured_target_tells_each_layers_time_and_where_removal_buys_none(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), 720, 460)
    assert not panel.model.timed and "Double bar" not in panel._legend.text()
    modules, times = ("conv1", "layer1.0.conv1"), np.array([3000.0, 1000.0])
    nothing = np.full((2, 1), -1, np.int32)
    blocks, terms = (
        tuple((m, "Conv") for m in modules),
        (times, nothing, np.ones_like(nothing), np.arange(2, dtype=np.int32)),
    )
    trust = TableErrors((0.02,), 0.0, 0.0)
    table = LatencyTable(document.target, "", 1, 5000, 1000.0, *terms, blocks, trust, modules)
    document.contents.latencies[document.target] = table
    key = document.analysis.sets[2].key
    saving = Saving(key, 5, 0.001, 0.05, flat=True)
    document.contents.savings[document.state.id, document.target] = {key: saving}
    document.announce(Aspect.TARGET)
    number = panel.model.layers.row_of["layer1.0.conv1"]
    first, cells = panel.model.layers.row_of["conv1"], panel.model.cells
    assert panel.model.timed and cells.flat(number) and not cells.flat(first)
    assert (text(panel, number, Column.TIME), text(panel, first, Column.TIME)) == ("20 %", "60 %")
    assert cells.part(first, Column.TIME) == 1.0 and "Double bar: removal saves no time" in panel._legend.text()
    assert (
        "removal saves no time here: half of it saves 0.10 % of the latency and 5.0 % of the MACs"
        in panel.model.cells.words(number)
    )
    areas = [panel.view.visualRect(panel.model.index(row, Column.TIME)) for row in (number, first)]
    drawn, x = panel.view.viewport().grab().toImage(), areas[0].right() + 1 - 11
    seen = [{drawn.pixelColor(x, y).name() for y in range(a.top(), a.center().y())} for a in areas]
    assert tokens().marked in seen[0] and tokens().marked not in seen[1]  # the mark is drawn, and there alone
