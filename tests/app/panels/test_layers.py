"""The Layers tab: rows aligned with the tree, what each keeps and costs, ties between layers; ten thousand scroll."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, Qt
from torch import nn

from secateur.app.document.document import Aspect, Selection
from secateur.app.panels.layers import LayersPanel, paint
from secateur.app.panels.layers.rows import layers_of
from secateur.app.panels.layers.ties import LANES
from secateur.app.panels.tree import TreePanel
from secateur.app.panels.tree.rows import rows_of
from secateur.app.theme import tokens
from secateur.engine import analyse
from secateur.engine.latency.protocol import LatencyTable, TableErrors
from secateur.engine.latency.savings import Saving
from secateur.engine.sensitivity.protocol import SensitivityPoint
from tests.app.demo_analysis import small_resnet, wide
from tests.app.playing import play, top1
from tests.app.stand_in import opened, weak

LEFT = Qt.MouseButton.LeftButton


def test_rows_say_what_a_layer_keeps_and_its_share_of_the_plans_costs(shown) -> None:
    document = opened()
    panel = shown(LayersPanel(document), 720, 460)
    document.plan.keep(2, 20)
    row = panel._row(panel.layers.row_of["layer1.0.conv1"])
    assert row.counts == "20 of 32" and row.kept == pytest.approx(20 / 128) and row.present == pytest.approx(32 / 128)
    # 20 filters of 3x3 over 32 channels at 28x28, and their share of all that is left
    macs, parameters = 20 * 32 * 9 * 28 * 28, 20 * 32 * 9
    plan, number = document.plan_costs, panel.layers.row_of["layer1.0.conv1"]
    assert panel.plan.macs[number] == pytest.approx(macs / plan.macs)
    assert panel.plan.parameters[number] == pytest.approx(parameters / plan.parameters)  # its norm is another module
    fc = panel._row(panel.layers.row_of["fc"])
    assert fc.fixed and fc.counts == "10 fixed"
    assert "20 of 32 outputs kept" in panel.words(number)


def test_rows_are_in_the_order_of_the_tree(shown) -> None:
    document = opened()
    panel, tree = shown(LayersPanel(document), 720, 460), shown(TreePanel(document))
    tree.view.expandAll()
    order = []
    index = tree.model.index(0, 0)
    while index.isValid():
        module = tree.model.module(index)
        if module in panel.layers.row_of and module not in order:
            order.append(module)
        index = tree.view.indexBelow(index)
    assert order == list(panel.layers.modules)


def test_a_click_selects_in_the_tree_and_the_trees_selection_is_reached(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), height=160)
    where = panel.table.row_area(1).center().toPoint()
    qtbot.mouseClick(panel.table.viewport(), LEFT, pos=where)
    assert document.selection == Selection("layer1.0.conv1", 2) and panel.table.current == 1
    qtbot.keyClick(panel.table, Qt.Key.Key_Down)
    assert document.selection.module == "layer1.0.conv2"
    document.select(Selection("fc", -1))
    last = panel.layers.row_of["fc"]
    assert panel.table.current == last
    assert panel.table.viewport().rect().contains(panel.table.row_area(last).center().toPoint())
    qtbot.keyClick(panel.table, Qt.Key.Key_Home)
    assert document.selection.module == "conv1" and panel.table.verticalScrollBar().value() == 0


def test_a_click_on_the_header_or_below_the_last_row_selects_nothing(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), height=600)
    for y in (5, 590 - 40):
        qtbot.mouseClick(panel.table.viewport(), LEFT, pos=QPoint(50, y))
    assert document.selection == Selection()


def test_layers_that_share_a_residual_width_are_tied(shown) -> None:
    panel = shown(LayersPanel(opened()))
    by_names = {tuple(panel.layers.modules[n] for n in tie.rows): tie for tie in panel.layers.ties}
    stage = by_names["conv1", "layer1.0.conv2", "layer1.1.conv2"]
    assert not stage.joined and stage.lane >= 0
    assert ("layer2.0.conv2", "layer2.0.shortcut.0", "layer2.1.conv2") in by_names
    words = panel.words(panel.layers.row_of["layer1.0.conv2"])
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
    before = panel.table.viewport().grab().toImage()
    assert document.analysis is not None and document.scores is not None
    document.plan.mark(weak(document.analysis, document.scores, 0.25), True)
    after = panel.table.viewport().grab().toImage()
    orange = _count(after, lambda c: c.red() > 150 and c.blue() < 80)
    assert orange > 200 and _count(before, lambda c: c.red() > 150 and c.blue() < 80) == 0


def _count(image, holds) -> int:
    return sum(holds(image.pixelColor(x, y)) for x in range(image.width()) for y in range(26, image.height(), 2))


def test_what_half_of_a_layer_costs_stands_beside_it_once_it_is_known(shown) -> None:
    player = play()
    document = player.document
    workbench = player.workbench
    panel = shown(LayersPanel(document), 720, 460)
    number = panel.layers.row_of["layer1.0.conv1"]
    assert panel._row(number).lost[0] == ""
    workbench.sensitivity.start()
    trials = (
        SensitivityPoint(2, 8, top1(0.9)),
        SensitivityPoint(2, 24, top1(0.8)),
        SensitivityPoint(4, 16, top1(0.414)),
    )
    player.make("sensitivity", SensitivityPoint(-1, 0, top1(0.914)), *trials)
    # 16 of 32 lie halfway between the two points: 85 %
    assert panel._row(number).lost[0] == "\u22126.4 pt"
    assert panel._row(number).lost[1] == pytest.approx(6.4 / 50)
    workbench.close()


def test_ten_thousand_rows_scroll_and_only_those_that_are_seen_are_drawn(shown, qtbot) -> None:
    analysis = wide(400, 2)
    document = opened(analysis)
    panel = shown(LayersPanel(document), 720, 460)
    asked: list[int] = []

    def row(number: int):
        asked.append(number)
        return panel._row(number % 400)

    panel.table.show_rows(10_000, row, panel.layers.ties)
    asked.clear()
    qtbot.keyClick(panel.table, Qt.Key.Key_PageDown)
    panel.table.verticalScrollBar().setValue(5_000 * 24)
    panel.table.viewport().grab()
    assert min(asked[-1:]) > 4_990 and len(asked) <= 4 * panel.table.drawn and panel.table.drawn < 25
    assert np.diff(sorted(set(asked[-panel.table.drawn :]))).max() == 1


def test_a_measured_target_tells_each_layers_time_and_where_removal_buys_none(shown, qtbot) -> None:
    document = opened()
    panel = shown(LayersPanel(document), 720, 460)
    assert not panel.table.timed and "Double bar" not in panel._legend.text()
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
    number = panel.layers.row_of["layer1.0.conv1"]
    row, first = panel._row(number), panel._row(panel.layers.row_of["conv1"])
    assert panel.table.timed and (row.time[0], first.time[0]) == ("20 %", "60 %") and row.flat and not first.flat
    assert first.time[1] == 1.0 and "Double bar: removal saves no time" in panel._legend.text()
    assert "removal saves no time here: half of it saves 0.10 % of the latency and 5.0 % of the MACs" in panel.words(
        number
    )
    places = paint.columns(panel.table.viewport().width(), panel.table._lanes, panel.table.measured, timed=True)
    areas = panel.table.row_area(number), panel.table.row_area(panel.layers.row_of["conv1"])
    drawn, x = panel.table.viewport().grab().toImage(), round(sum(places.time) - 11)
    seen = [{drawn.pixelColor(x, y).name() for y in range(int(a.top()), int(a.center().y()))} for a in areas]
    assert tokens().marked in seen[0] and tokens().marked not in seen[1]  # the mark is drawn, and there alone
