"""The Compare tab as a hand uses it: two models in trees that move together, and the table of all runs."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QApplication

from secateur.app.document.aspects import Aspect, Selection, Side
from secateur.app.document.document import Document
from secateur.app.panels.compare import ComparePanel
from secateur.app.panels.compare import panel as compare_panel
from secateur.app.panels.compare.model import Column, CompareModel
from secateur.app.panels.compare.panel import shorten_to_fit
from secateur.app.panels.compare.runs import MACS, METRIC, NAME, as_csv
from secateur.app.widgets.labels import shortened
from secateur.engine.baselines.protocol import Baseline, BaselineKind, BaselineSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from tests.app.branches import begun, branched
from tests.app.playing import top1


@pytest.fixture
def panel(qtbot, dressed) -> ComparePanel:
    document = branched()
    panel = ComparePanel(document)
    qtbot.addWidget(panel)
    panel.resize(640, 420)
    panel.show()
    document.compare(Side("s2"), Side("s3"))
    document.dispatcher.settle()
    return panel


def text(panel: ComparePanel, module: str, column: Column) -> str:
    return panel.model.index_of(module).siblingAtColumn(column).data()


def test_the_model_keeps_the_rules_of_item_models(panel, qtmodeltester) -> None:
    every = panel.model.rowCount()
    qtmodeltester.check(panel.model)
    panel.model.show_only(True)
    assert 0 < panel.model.rowCount() < every
    qtmodeltester.check(panel.model)


def test_states_of_two_branches_stand_side_by_side_with_what_each_keeps(panel) -> None:
    document = panel.document
    analysis, states = document.analysis, document.contents.states
    gone = [document.contents.removed_in(name) for name in ("s2", "s3")]
    for number, one in enumerate(analysis.sets):
        if one.count > 1:
            left, right = (int((~mask[one.structures]).sum()) for mask in gone)
            assert text(panel, one.module, Column.KEEPS_LEFT) == str(left), number
            assert text(panel, one.module, Column.KEEPS_RIGHT) == str(right)
            words = text(panel, one.module, Column.CHANGE)
            if left > right and "removed" not in words:
                assert words.startswith(f"{left - right} fewer ")
            elif right > left:
                assert words.startswith(f"{right - left} more ")
    assert panel.boxes[0].currentText() == "recovered s2" and panel.boxes[1].currentText() == "cut s3"
    assert states["s2"].parent == "s1"


def test_macs_of_a_row_are_those_that_the_engine_counts(panel) -> None:
    document = panel.document
    for side, name in enumerate(("s2", "s3")):
        counted = costs(document.analysis, document.contents.removed_in(name))
        whole = panel.model.difference.macs[side]
        rows = panel.model.rows
        assert sum(int(whole[n]) for n in range(rows.module_count) if rows.parent[n] < 0) == counted.macs
        held = panel.model.difference.parameters[side]
        alone = (rows.tensor_node < 0) & rows.parameters  # a norm of the model itself has no row
        inside = sum(int(held[n]) for n in range(rows.module_count) if rows.parent[n] < 0)
        assert inside + counted.tensor_sizes[alone].sum() == counted.parameters


def test_a_removed_block_is_struck_out_and_said_in_words(panel) -> None:
    row = panel.model.index_of("layer1.0")
    assert row.siblingAtColumn(Column.CHANGE).data() == "\u2212 removed"
    cells = panel.model.cells
    assert cells.gone(row.internalId(), 1) and not cells.gone(row.internalId(), 0)
    assert "MACs" in row.data(Qt.ItemDataRole.ToolTipRole)


def test_what_one_tree_opens_scrolls_and_selects_the_other_does(panel, qtbot) -> None:
    left, right = panel.trees.left, panel.trees.right
    layer = panel.model.index_of("layer3.0.conv1")
    left.scrollTo(layer)
    assert left.isExpanded(layer.parent()) and right.isExpanded(layer.parent())
    right.expand(layer)
    assert left.isExpanded(layer)
    qtbot.waitUntil(lambda: left.verticalScrollBar().maximum() > 50)
    right.verticalScrollBar().setValue(40)
    assert left.verticalScrollBar().value() == 40
    left.collapse(layer)
    assert not right.isExpanded(layer)
    left.scrollTo(layer)
    qtbot.mouseClick(right.viewport(), Qt.MouseButton.LeftButton, pos=right.visualRect(layer).center())
    assert panel.document.selection.module == "layer3.0.conv1"
    assert left.selectionModel().isSelected(layer)


def test_a_selection_from_elsewhere_is_shown_in_both(panel) -> None:
    from secateur.app.document.aspects import Selection

    panel.document.select(Selection("layer2.0.conv1", 4))
    panel.document.dispatcher.settle()
    assert panel.trees.left.currentIndex() == panel.model.index_of("layer2.0.conv1")
    assert panel.trees.right.currentIndex() == panel.trees.left.currentIndex()


def test_only_differences_leaves_out_what_is_the_same(panel, qtbot) -> None:
    qtbot.mouseClick(panel.only, Qt.MouseButton.LeftButton)
    shown = list(structures(panel.model))
    gone = [panel.document.contents.removed_in(name) for name in ("s2", "s3")]
    assert sorted(shown) == np.flatnonzero(gone[0] != gone[1]).tolist()
    assert not panel.model.index_of("fc").isValid()


def structures(model: CompareModel):
    todo = [QModelIndex()]
    while todo:
        above = todo.pop()
        for n in range(model.rowCount(above)):
            index = model.index(n, 0, above)
            yield from model.structures(index)
            todo.append(index)


def test_at_first_the_original_stands_beside_what_is_present(qtbot, dressed) -> None:
    document = begun()
    panel = ComparePanel(document)
    qtbot.addWidget(panel)
    assert [box.currentText() for box in panel.boxes] == ["original", "original"]
    document.plan.mark([40, 41], True)
    document.dispatcher.settle()
    assert [box.currentText() for box in panel.boxes] == ["original", "plan, 2 marked"]
    assert text(panel, "layer1.0.conv1", Column.CHANGE) == "2 fewer filters"


def test_as_many_but_other_structures_are_told(qtbot, dressed) -> None:
    document = begun()
    panel = ComparePanel(document)
    qtbot.addWidget(panel)
    one = document.analysis.sets[2]
    first, second = document.analysis.empty(), document.analysis.empty()
    first[one.first], second[one.first + 1] = True, True
    document.compare(Side("s0", first), Side("s0", second))
    document.dispatcher.settle()
    assert text(panel, one.module, Column.CHANGE) == "\u2260 1 differ"


def test_the_table_of_runs_sorts_by_numbers_and_a_click_opens_the_state(panel, qtbot) -> None:
    qtbot.mouseClick(panel.pages["runs"], Qt.MouseButton.LeftButton)
    table = panel.table
    table.sortByColumn(MACS, Qt.SortOrder.AscendingOrder)
    states = panel.document.contents.states
    assert [run.state for run in panel.runs.runs()] == sorted(states, key=lambda name: states[name].macs)
    table.sortByColumn(METRIC, Qt.SortOrder.DescendingOrder)
    assert [run.state for run in panel.runs.runs()] == ["s0", "s2", "s3", "s1"]
    assert panel.runs.index(1, METRIC).data() == "90.5 % \u00b1 0.66"
    where = table.visualRect(panel.runs.index(3, NAME)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert panel.document.state.id == "s1"
    panel.document.dispatcher.settle()
    assert "cut s1, current" in [panel.runs.index(row, NAME).data() for row in range(4)]


def test_the_table_of_runs_never_scrolls_sideways(panel, qtbot) -> None:
    document, table = panel.document, panel.table
    qtbot.mouseClick(panel.pages["runs"], Qt.MouseButton.LeftButton)
    across, shown = table.horizontalScrollBar(), list[list[int]]()
    for long in (False, True):
        if long:
            name = "a_very_long_name_of_a_network_" * 3
            spec, metric = BaselineSpec(BaselineKind.STOCK), document.contents.states["s3"].metrics[0]
            document.take_baselines((Baseline("b0", "s3", spec, name, "", 1, 2, 3, metric),))
            document.dispatcher.settle()
        for width in (900, 640, 480, 360, 300, 640):
            panel.resize(width, 420)
            QApplication.processEvents()
            assert across.maximum() == 0, (width, long)
            shown.append([column for column in range(7) if not table.isColumnHidden(column)])
            assert {NAME, MACS, METRIC} <= set(shown[-1])
            assert table.columnWidth(NAME) >= 56
    assert shown[0] == list(range(7)) == shown[6] and len(shown[4]) < 7  # a long name is elided before that
    assert "a_very_long_name" in panel.runs.index(4, NAME).data(Qt.ItemDataRole.ToolTipRole)


def test_the_table_is_copied_as_csv_with_plain_numbers(panel, qtbot) -> None:
    document = panel.document
    metric = document.contents.states["s3"].metrics[0]
    spec = BaselineSpec(BaselineKind.RANDOM, epochs=3)
    document.take_baselines((Baseline("b0", "s3", spec, "random removal", "", 1000, 2000, 3, metric),))
    document.dispatcher.settle()
    qtbot.mouseClick(panel.pages["runs"], Qt.MouseButton.LeftButton)
    panel.table.setFocus()
    qtbot.mouseClick(panel.copy, Qt.MouseButton.LeftButton)
    rows = list(csv.DictReader(io.StringIO(QApplication.clipboard().text())))
    assert [row["run"] for row in rows] == ["original", "cut s1", "recovered s2", "cut s3", "random removal"]
    assert [int(row["MACs"]) for row in rows[:4]] == [one.macs for one in document.states]
    assert float(rows[2]["metric value"]) == 0.905 and rows[2]["n"] == "2000"
    assert float(rows[1]["latency ms"]) == 0.44 and rows[4]["latency ms"] == ""
    assert "baseline of s3" in rows[4]["made"]


def test_rows_stay_selected_and_current_when_something_is_measured_or_their_state_is_gone_to(panel, qtbot) -> None:
    document, table = panel.document, panel.table
    qtbot.mouseClick(panel.pages["runs"], Qt.MouseButton.LeftButton)
    rows = table.selectionModel()
    table.sortByColumn(MACS, Qt.SortOrder.AscendingOrder)
    at = {run.state: row for row, run in enumerate(panel.runs.runs())}
    table.setCurrentIndex(panel.runs.index(at["s1"], NAME))
    rows.select(
        panel.runs.index(at["s2"], NAME),
        QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows,
    )

    def chosen() -> set[str]:
        return {panel.runs.runs()[index.row()].state for index in rows.selectedRows()}

    document.take_measurements("s3", metrics=(top1(0.9),))
    document.dispatcher.settle()
    assert chosen() == {"s1", "s2"} and panel.runs.runs()[table.currentIndex().row()].state == "s1"
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Return)
    document.dispatcher.settle()
    assert document.state.id == "s1" and panel.runs.runs()[table.currentIndex().row()].state == "s1"
    reset: list[int] = []
    panel.runs.modelReset.connect(lambda: reset.append(1))
    document.announce(Aspect.STATES)
    document.dispatcher.settle()
    assert not reset


def test_a_stale_metric_says_so_in_cell_tip_and_csv_and_the_target_is_told_whole(panel) -> None:
    document = panel.document
    document.contents.states["s2"] = replace(document.contents.states["s2"], stale=True)
    document.set_target(replace(document.target, machine="pi5", tokens=128))
    document.dispatcher.settle()
    runs = {run.state: run for run in panel.runs.runs()}
    assert runs["s2"].texts[METRIC] == "90.5 % \u00b1 0.66, stale" and "stale" not in runs["s1"].texts[METRIC]
    told = {name: next(line for line in runs[name].tip.splitlines() if "top-1" in line) for name in ("s1", "s2")}
    assert "n\u00a0=\u00a02,000, measured on the" in told["s1"] and "stale" not in told["s1"]
    assert told["s2"].endswith(", stale")
    rows = list(csv.DictReader(io.StringIO(as_csv(panel.runs.runs()))))
    assert [row["metric is"] for row in rows] == ["measured", "measured", "stale", "measured"]
    assert rows[0]["target"] == "onnxruntime, batch 1, 1 thread, prompt of 128 tokens, on pi5"


def test_one_is_told_as_one(qtbot, dressed) -> None:
    document = begun()
    one = next(s for s in document.analysis.sets if s.kind is Kind.FILTER)
    gone = document.analysis.empty()
    gone[one.first] = True
    panel, said = ComparePanel(document), []
    qtbot.addWidget(panel)
    document.compare(Side("s0"), Side("s0", gone))
    document.dispatcher.settle()
    assert panel._said.text() == f"1 structure only in {panel.model.titles[0]}."
    document.announced.connect(said.append)
    panel.copy_csv()
    assert said == ["1 run copied as CSV"]


def test_a_baseline_is_no_state_to_go_to(panel, qtbot) -> None:
    document = panel.document
    metric = document.contents.states["s3"].metrics[0]
    document.take_baselines((Baseline("b0", "s3", BaselineSpec(BaselineKind.STOCK), "half", "", 1, 2, 3, metric),))
    document.dispatcher.settle()
    qtbot.mouseClick(panel.pages["runs"], Qt.MouseButton.LeftButton)
    before = document.state
    where = panel.table.visualRect(panel.runs.index(4, NAME)).center()
    qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert document.state is before


def test_a_difference_in_too_little_room_keeps_its_sign() -> None:
    assert shorten_to_fit("24 fewer channels", 50, lambda text: 8 * len(text)) == "24 fewer"
    assert shorten_to_fit("+172.3 % MACs", 70, lambda text: 8 * len(text)) == "+172.3 %"


def test_a_name_in_too_little_room_keeps_its_end_and_takes_what_is_free(panel, monkeypatch) -> None:
    measure = QFontMetrics(panel.font())
    room = measure.horizontalAdvance("channel 12") + 2
    assert shortened("width channel 12", room, measure) == "channel 12"
    assert shortened("width channel 12", room - 4, measure) == "12"
    assert shortened("layer10.downsample", room, measure).endswith("sample")
    panel.resize(344, 420)
    (one, *_) = (one for one in panel.document.analysis.sets if one.kind is Kind.WIDTH)
    panel.document.select(Selection(one.module, panel.document.analysis.sets.index(one), one.first))
    panel.document.dispatcher.settle()
    drawn = set[str]()
    monkeypatch.setattr(compare_panel, "shortened", lambda *asked: drawn.add(shortened(*asked)) or shortened(*asked))
    panel.grab()
    assert "width channel 0" in drawn
    assert panel.trees.left.currentIndex().data(Qt.ItemDataRole.ToolTipRole).startswith("width channel 0")


def test_an_empty_window_says_what_the_tab_is_for(qtbot, dressed) -> None:
    panel = ComparePanel(Document())
    qtbot.addWidget(panel)
    panel.show()
    assert not panel.trees.isVisible() and not panel.table.isVisible()


def test_keys_move_in_both_trees(panel, qtbot) -> None:
    first = panel.model.index(0, 0)
    flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
    panel.trees.right.selectionModel().setCurrentIndex(first, flags)
    panel.trees.right.setFocus()
    qtbot.keyClick(panel.trees.right, Qt.Key.Key_Down)
    assert panel.trees.left.currentIndex().row() == 1
    qtbot.keyClick(panel.trees.right, Qt.Key.Key_Right)
    assert panel.trees.left.isExpanded(panel.model.index(1, 0))


def test_a_side_is_headed_by_what_is_measured_of_it_also_when_that_comes_later(panel) -> None:
    document = panel.document
    assert panel.trees._costs[0].text().startswith("90.5 %, 0.440 ms, ")
    faster = replace(document.contents.states["s2"].timings[0], median=0.31)
    document.take_measurements("s2", timings=(faster,))
    document.dispatcher.settle()
    assert panel.trees._costs[0].text().startswith("90.5 %, 0.310 ms, ")
    assert "MACs (" in panel.trees._costs[1].text()
    for one in (panel.trees._costs[0], panel.boxes[0]):
        words, metric, timing = one.toolTip().splitlines()
        assert words == panel.trees._costs[0].text() and "measured on the" in metric and "400 runs" in timing
