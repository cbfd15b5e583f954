"""The tree's rows and numbers against what the analysis says, and edits that reach the document."""

import time
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QModelIndex, Qt

from secateur.app.panels.tree.model import Column, TreeModel
from secateur.app.panels.tree.query import parse
from secateur.engine.structures.costs import costs
from secateur.engine.targets.latency_table import LatencyTable, TableErrors
from tests.app.demo_analysis import llama, scores_of, wide
from tests.app.stand_in import opened
from tests.engine.builders import tiny_analysis, tiny_scores

CONV = "layer1.0.conv1"


@pytest.fixture
def model(qtbot):
    return TreeModel(opened())


def cell(model: TreeModel, index: QModelIndex, column: Column) -> str:
    return index.siblingAtColumn(column).data()


def names(model: TreeModel, above: QModelIndex) -> list[str]:
    return [model.index(n, 0, above).data() for n in range(model.rowCount(above))]


def test_the_model_keeps_the_rules_of_item_models(model, qtmodeltester) -> None:
    assert model.rowCount() == 5
    qtmodeltester.check(model)


def test_the_rules_hold_with_heads_blocks_filters_and_an_empty_window(qtbot, qtmodeltester) -> None:
    document = opened(tiny_analysis(), scored=False)
    document.take_scores("s0", document.criterion, tiny_scores(tiny_analysis()))
    model = TreeModel(document)
    every = model.rowCount()
    qtmodeltester.check(model)
    model.set_query(parse("head"))
    assert 0 < model.rowCount() < every
    qtmodeltester.check(model)
    model.sort(Column.SCORE, Qt.SortOrder.DescendingOrder)
    qtmodeltester.check(model)


def test_rows_stand_where_the_model_has_them(model) -> None:
    assert names(model, QModelIndex()) == ["conv1", "layer1", "layer2", "layer3", "fc"]
    assert names(model, model.index_of("layer1.0")) == ["whole block", "conv1", "conv2"]
    assert names(model, model.index_of(CONV))[:3] == ["filter 0", "filter 1", "filter 2"]
    assert model.rowCount(model.index_of(CONV)) == 32


def test_heads_and_head_dimensions_stand_apart_under_their_layer(qtbot) -> None:
    model = TreeModel(opened(tiny_analysis(), scored=False))
    assert names(model, model.index_of("attn.qkv")) == ["heads", "head dimensions"]
    assert names(model, model.index(0, 0, model.index_of("attn.qkv"))) == ["head 0", "head 1", "head 2", "head 3"]


def test_numbers_of_a_row_are_those_of_the_plan(model) -> None:
    document = model.document
    one = document.analysis.sets[2]
    document.plan.mark(np.arange(one.first, one.first + 8), True)
    model.refresh()
    row = model.index_of(CONV)
    assert cell(model, row, Column.KEEPS) == "24 of 32"
    assert float(cell(model, row, Column.SCORE)) == pytest.approx(document.scores[one.structures].mean(), abs=0.006)
    after = costs(document.analysis, document.marked)
    macs = sum(n for p, n in zip(document.analysis.operators.module, after.operator_macs, strict=True) if p == CONV)
    assert cell(model, row, Column.SHARE) == f"{100 * macs / after.macs:#.2g} %"


def test_a_structure_costs_what_goes_along_with_it(model) -> None:
    document = model.document
    structure = document.analysis.sets[2].first + 5
    without = document.analysis.empty()
    without[structure] = True
    whole = costs(document.analysis).macs
    expected = (whole - costs(document.analysis, without).macs) / whole
    assert cell(model, model.index_of(CONV, 2, structure), Column.SHARE) == f"{100 * expected:#.2g} %"


def test_states_are_words_as_well_as_colours(model) -> None:
    document = model.document
    first = document.analysis.sets[2].first
    document.plan.mark([first], True)
    document.plan.lock([first + 1], True)
    model.refresh()
    rows = [model.index_of(CONV, 2, first + n) for n in range(3)]
    assert [model.cells.state(r.internalId()) for r in rows] == ["marked", "locked", ""]
    assert [cell(model, r, Column.KEEPS) for r in rows] == ["marked", "locked", ""]
    fixed = model.index_of("fc")
    assert cell(model, fixed, Column.KEEPS) == "fixed"
    assert "classes of the model's answer" in fixed.data(Qt.ItemDataRole.ToolTipRole)


def test_outputs_that_go_along_are_told_with_what(model) -> None:
    row = model.index_of("layer1.0.conv2")
    assert cell(model, row, Column.KEEPS) == "32 of 32"
    assert not model.flags(row.siblingAtColumn(Column.KEEPS)) & Qt.ItemFlag.ItemIsEditable
    assert "residual width of conv1" in row.data(Qt.ItemDataRole.ToolTipRole)


@pytest.mark.parametrize("typed", ["20", "20 of 32", " 20 "])
def test_typing_how_many_to_keep_marks_the_weakest(model, typed) -> None:
    row = model.index_of(CONV).siblingAtColumn(Column.KEEPS)
    assert model.setData(row, typed)
    document, place = model.document, model.document.analysis.sets[2].structures
    assert document.marked[place].sum() == 12
    scores = document.scores[place]
    assert scores[document.marked[place]].max() < scores[~document.marked[place]].min()


@pytest.mark.parametrize("typed", ["0", "33", "-4", "many", ""])
def test_a_number_that_cannot_be_is_refused_with_a_sentence(model, qtbot, typed) -> None:
    row = model.index_of(CONV).siblingAtColumn(Column.KEEPS)
    with qtbot.waitSignal(model.refused) as said:
        assert not model.setData(row, typed)
    assert said.args == [f"Enter a whole number from 1 to 32 for the filters of {CONV}."]
    assert not model.document.marked.any()


def test_a_filter_keeps_the_rows_above_a_match(model) -> None:
    model.set_query(parse("layer2.0.conv1"))
    assert names(model, QModelIndex()) == ["layer2"]
    assert names(model, model.index_of("layer2")) == ["layer2.0"]
    assert model.rowCount(model.index_of("layer2.0.conv1")) == 64


def test_a_filter_by_score_shows_exactly_the_structures_below(model) -> None:
    model.set_query(parse("score < 0.1"))
    document = model.document
    expected = np.flatnonzero(document.scores < 0.1)
    assert sorted(structures_shown(model)) == expected.tolist()


def test_filters_combine(model) -> None:
    document = model.document
    document.plan.mark(np.arange(0, 200, 3), True)
    model.set_query(parse("marked layer1 score >= 0.2"))
    inside = np.array(["layer1" in document.analysis.set_of(s).module for s in range(document.analysis.count)])
    expected = np.flatnonzero(document.marked & inside & (document.scores >= 0.2))
    assert sorted(structures_shown(model)) == expected.tolist() and len(expected)


def test_fixed_shows_the_layers_that_are_fixed(model) -> None:
    model.set_query(parse("fixed"))
    assert names(model, QModelIndex()) == ["fc"]


def test_sorting_orders_structures_within_their_layer(model) -> None:
    model.sort(Column.SCORE, Qt.SortOrder.AscendingOrder)
    layer = model.index_of(CONV)
    shown = [model.structures(model.index(n, 0, layer))[0] for n in range(32)]
    scores = model.document.scores[shown]
    assert (np.diff(scores) >= 0).all()
    model.sort(Column.NAME)
    assert names(model, layer)[:2] == ["filter 0", "filter 1"]


def test_a_third_of_a_million_structures_are_as_quick_as_a_few(qtbot) -> None:
    analysis = wide(100, 3500)
    document = opened(analysis, task=False, scored=False)
    document.take_scores("s0", document.criterion, scores_of(analysis))
    model = TreeModel(document)
    start = time.process_time()
    model.set_query(parse("score < 0.1"))
    row = model.index_of("layers.50")
    for n in range(model.rowCount(row)):
        model.index(n, 0, row)
    model.index_of("layers.99", 99, analysis.count - 1)
    assert time.process_time() - start < 1.0


def test_the_rules_hold_on_the_shape_of_a_llama_with_5000_rows(qtbot, qtmodeltester) -> None:
    analysis = llama()
    assert 4_000 < analysis.count < 6_000
    document = opened(analysis, task=False, scored=False)
    document.take_scores("s0", document.criterion, scores_of(analysis))
    model = TreeModel(document)
    qtmodeltester.check(model)
    assert len(structures_shown(model)) == analysis.count
    model.sort(Column.SCORE, Qt.SortOrder.DescendingOrder)
    model.set_query(parse("layers.2.* score < 0.3"))
    qtmodeltester.check(model)


def test_a_glob_fits_whole_names_and_a_class_is_found(model) -> None:
    model.set_query(parse("layer3.*.conv1"))
    assert names(model, QModelIndex()) == ["layer3"]
    assert model.hits == (2 * 128, 2)
    model.set_query(parse("linear"))
    assert names(model, QModelIndex()) == ["fc"] and model.hits[1] == 1
    model.set_query(parse("basicblock layer1"))
    assert names(model, model.index_of("layer1")) == ["layer1.0", "layer1.1"]


@pytest.mark.parametrize("typed", ["score 0.1..0.2", "score 0.1-0.2", "score 0.1 to 0.2"])
def test_a_range_of_scores_shows_what_lies_in_it(model, typed) -> None:
    model.set_query(parse(typed))
    scores = model.document.scores
    expected = np.flatnonzero((scores >= 0.1) & (scores <= 0.2))
    assert sorted(structures_shown(model)) == expected.tolist() and model.hits[0] == len(expected)


def test_layers_beside_each_other_sort_by_their_share_of_macs(model) -> None:
    model.sort(Column.SHARE, Qt.SortOrder.DescendingOrder)
    figures, rows = model.figures, model.rows
    shown = [model.index(n, 0).internalId() for n in range(model.rowCount())]
    shares = [figures.shares[row] for row in shown if row < rows.module_count]
    assert shares == sorted(shares, reverse=True)
    model.sort(Column.NAME)
    assert names(model, QModelIndex()) == ["conv1", "layer1", "layer2", "layer3", "fc"]


def test_the_shape_is_what_the_plan_leaves(model) -> None:
    row = model.index_of("layer2.0.conv1")
    assert cell(model, row, Column.SHAPE) == "64\u00d732\u00d73\u00d73"
    document = model.document
    document.plan.keep(document.analysis.set_numbers()[model.structures(model.index(0, 0, row))[0]], 48)
    model.refresh()
    assert cell(model, row, Column.SHAPE) == "48\u00d732\u00d73\u00d73"
    assert cell(model, model.index_of("layer2.0.conv2"), Column.SHAPE) == "64\u00d748\u00d73\u00d73"


def test_parameters_of_a_row_are_those_of_the_plan(model) -> None:
    counted = costs(model.document.analysis)
    for name in ("layer1", "fc", "layer2.0.conv1"):
        inside = [
            int(size)
            for tensor, size in zip(model.document.analysis.tensors, counted.tensor_sizes, strict=True)
            if tensor.parameter and (tensor.module == name or tensor.module.startswith(f"{name}."))
        ]
        assert model.figures.parameters[model.index_of(name).internalId()] == sum(inside)


def table_of(model: TreeModel, nanoseconds: dict[str, float]) -> LatencyTable:
    """What a measured target says: so long in blocks that begin with these modules, whatever is kept."""
    nothing = np.full((len(nanoseconds), 1), -1, np.int32)
    terms = (
        np.array(list(nanoseconds.values())),
        nothing,
        np.ones_like(nothing),
        np.arange(len(nanoseconds), dtype=np.int32),
    )
    blocks, whole = tuple((name, "Conv") for name in nanoseconds), round(sum(nanoseconds.values()))
    target = model.document.target
    return LatencyTable(target, "", 1, whole, 0.0, *terms, blocks, TableErrors((), 0.0, 0.0), tuple(nanoseconds))


def test_time_is_shown_only_where_the_target_was_measured_and_summed_up(model) -> None:
    assert cell(model, model.index_of("layer1"), Column.TIME) == ""
    document = model.document
    times = {"layer1.0.conv1": 100.0, "layer1.0.bn1": 20.0, "layer1.1.conv2": 200.0, "fc": 680.0}
    document.contents.latencies[document.target] = table_of(model, times)
    model.refresh()
    assert cell(model, model.index_of("layer1"), Column.TIME) == "32 %"
    assert cell(model, model.index_of("layer1.0"), Column.TIME) == "12 %"
    assert cell(model, model.index_of("layer1.0.conv2"), Column.TIME) == ""
    assert cell(model, model.index_of("layer2"), Column.TIME) == ""
    document.set_target(replace(document.target, threads=7))
    model.refresh()
    assert cell(model, model.index_of("layer1"), Column.TIME) == ""


def structures_shown(model: TreeModel) -> list[int]:
    found, todo = [], [QModelIndex()]
    while todo:
        above = todo.pop()
        for n in range(model.rowCount(above)):
            index = model.index(n, 0, above)
            found.extend(model.structures(index))
            todo.append(index)
    return found


def test_rows_of_groups_say_what_the_plan_takes_from_them(qtbot, dressed) -> None:
    document = opened()
    analysis = document.analysis
    inside = [one for one in analysis.sets if one.module.startswith("layer1.") and one.count > 1]
    document.plan.mark([one.first for one in inside] + [analysis.sets[-1].first], True)
    model = TreeModel(document)
    model.reload()
    row = next(n for n, name in enumerate(model.cells._rows.modules) if name == "layer1")
    assert model.cells.text(row, Column.KEEPS) == f"\N{MINUS SIGN}{len(inside)}"
    assert f"takes {len(inside)} structures" in model.cells.tooltip(row)
    document.plan.undo()
    model.refresh()
    assert model.cells.text(row, Column.KEEPS) == ""
