"""The inspector: the threshold under the mouse, what goes along, why not."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLabel, QScrollArea

from secateur.app.document.document import Aspect, Selection
from secateur.app.document.sensitivity_curves import Curves
from secateur.app.panels.inspector import InspectorPanel
from secateur.app.panels.inspector.slice_list import indices_text, lines
from secateur.app.text.format import count
from secateur.app.widgets.score_map import ScoreMap
from secateur.engine.errors import Message
from secateur.engine.sensitivity.protocol import SensitivityPoint
from secateur.engine.structures.analysis import Constraint, CountBundle, CountRule, FixedAxis, Kind
from secateur.engine.structures.costs import marginal
from secateur.engine.structures.reasons import equal_parts
from secateur.engine.tasks.protocol import Metric, Split
from secateur.engine.tracing.record import RecordedOutput
from tests.app.stand_in import opened
from tests.app.turns import settle
from tests.engine.builders import tiny_analysis, tiny_scores

CONV = "layer1.0.conv1"


@pytest.fixture
def inspector(qtbot, dressed) -> InspectorPanel:
    inspector = InspectorPanel(opened().workbench)
    qtbot.addWidget(inspector)
    inspector.resize(320, 760)
    inspector.show()
    inspector.document.select(Selection(CONV, 2))
    return inspector


def place_of(inspector: InspectorPanel, score: float) -> QPoint:
    histogram = inspector.histogram
    return QPoint(round(histogram.position(score)), histogram.height() // 2)


def expected_below(document, number: int, threshold: float) -> list[int]:
    place = document.analysis.sets[number].structures
    return (place.start + np.flatnonzero(document.scores[place] < threshold)).tolist()


def test_dragging_the_threshold_marks_while_it_moves_and_is_one_step(inspector, qtbot) -> None:
    document, histogram = inspector.document, inspector.histogram
    qtbot.mousePress(histogram, Qt.MouseButton.LeftButton, pos=place_of(inspector, 0.05))
    for score in (0.1, 0.2, 0.3):
        qtbot.mouseMove(histogram, place_of(inspector, score))
        assert document.marked.nonzero()[0].tolist() == expected_below(document, 2, histogram.threshold)
        assert document.history.undo_text == ""
    qtbot.mouseRelease(histogram, Qt.MouseButton.LeftButton, pos=place_of(inspector, 0.3))
    assert document.marked.nonzero()[0].tolist() == expected_below(document, 2, histogram.threshold)
    assert 0.25 < histogram.threshold < 0.35
    document.plan.undo()
    assert not document.marked.any()


def test_arrow_keys_move_the_threshold_by_one_structure(inspector, qtbot) -> None:
    document = inspector.document
    for expected in (1, 2):
        qtbot.keyClick(inspector.histogram, Qt.Key.Key_Right)
        assert document.marked.sum() == expected
    qtbot.keyClick(inspector.histogram, Qt.Key.Key_Left)
    weakest = expected_below(document, 2, np.sort(document.scores[document.analysis.sets[2].structures])[1])
    assert document.marked.nonzero()[0].tolist() == weakest


def test_escape_takes_a_drag_back(inspector, qtbot) -> None:
    qtbot.mousePress(inspector.histogram, Qt.MouseButton.LeftButton, pos=place_of(inspector, 0.4))
    assert inspector.document.marked.any()
    qtbot.keyClick(inspector.histogram, Qt.Key.Key_Escape)
    assert not inspector.document.marked.any() and inspector.document.history.undo_text == ""


def test_marks_made_elsewhere_move_the_line(inspector) -> None:
    document = inspector.document
    document.plan.keep(2, 20)
    scores = np.sort(document.scores[document.analysis.sets[2].structures])
    assert scores[11] < inspector.histogram.threshold < scores[12]
    assert inspector.keep.value() == 20


def test_the_keep_field_keeps(inspector, qtbot) -> None:
    inspector.keep.setFocus()
    inspector.keep.selectAll()
    qtbot.keyClicks(inspector.keep, "24")
    qtbot.keyClick(inspector.keep, Qt.Key.Key_Return)
    assert inspector.document.marked.sum() == 8


def test_every_slice_that_goes_along_is_listed(inspector) -> None:
    structure = inspector.document.analysis.sets[2].first + 5
    inspector.document.select(Selection(CONV, 2, structure))
    assert inspector._goes.text() == "Removed with filter 5"
    assert [(line.name, line.pattern) for line in inspector.slices.lines] == [
        ("layer1.0.conv1.weight", "[5, :, :, :]"),
        ("layer1.0.bn1  weight, bias, mean, var", "[5]"),
        ("layer1.0.conv2.weight", "[:, 5, :, :]"),
    ]


def test_costs_are_marginal_against_the_plan(inspector) -> None:
    document = inspector.document
    structure = document.analysis.sets[2].first + 5
    document.plan.mark(np.arange(structure + 1, structure + 9), True)
    document.select(Selection(CONV, 2, structure))
    parameters, _macs = marginal(document.analysis, document.marked, [structure])
    assert inspector.costs.text().startswith(f"\u2212{parameters:,} parameters, \u2212")
    document.plan.mark([structure], True)
    assert inspector.costs.text().startswith(f"\u2212{parameters:,} parameters, \u2212")
    assert "already counted" in inspector._note.text()


def test_what_is_under_the_mouse_in_the_tree_is_explained(inspector) -> None:
    inspector.document.hover(inspector.document.analysis.sets[2].first + 7)
    assert inspector._goes.text() == "Removed with filter 7"
    inspector.document.hover(-1)
    assert inspector._goes.text() == "Removed with filter 0"


def test_what_is_fixed_says_why(inspector) -> None:
    inspector.document.select(Selection("fc"))
    assert inspector._why_title.text() == "Why fc is fixed"
    assert inspector.why.text().startswith("Its 10 outputs are the classes")


def test_extents_of_kernels_are_not_called_inputs(inspector) -> None:
    document = inspector.document
    kernel = FixedAxis(
        document.analysis.tensors.index(document.analysis.tensors[0]), 2, 3, Message("k", "A kernel."), ""
    )
    document.contents.analysis = replace(document.analysis, fixed=(*document.analysis.fixed, kernel))
    document.select(Selection("conv1", 0))
    assert inspector._why_title.text() == "Why the inputs of conv1 are fixed"
    assert "kernel" not in inspector.why.text()


def test_sets_that_keep_equal_counts_say_so_and_go_in_step(inspector, qtbot) -> None:
    document = inspector.document
    analysis = document.analysis
    sets = [n for n, s in enumerate(analysis.sets) if s.kind == "filter"][:2]
    assert sets[0] == 2
    axes = tuple(analysis.tensors[analysis.sets[n].touches[0][0]].axes[0] for n in sets)
    even = Constraint(CountRule.EQUAL, axes, 32, tuple(sets), equal_parts("aten.split", 2), "split")
    document.contents.analysis = replace(analysis, constraints=(even,), bundles=(CountBundle(tuple(sets), (1, 1), 20),))
    inspector.refresh()
    assert inspector.coupled.text().endswith("The 2 parts of aten.split must keep equal sizes.")
    assert inspector.keep.minimum() == 12
    said = []
    document.announced.connect(said.append)
    qtbot.mouseClick(inspector.map, Qt.MouseButton.LeftButton, pos=inspector.map.cell(4).center().toPoint())
    qtbot.mouseClick(inspector.mark, Qt.MouseButton.LeftButton)
    assert [int(document.marked[analysis.sets[n].structures].sum()) for n in sets] == [1, 1]
    assert said == ["Also marked 1 structure, so that counts stay equal."]
    inspector.keep.setValue(28)
    assert [int(document.marked[analysis.sets[n].structures].sum()) for n in sets] == [4, 4]
    document.plan.undo()
    document.plan.undo()
    assert not document.marked.any()


def test_a_block_lists_the_tensors_that_vanish(inspector) -> None:
    analysis = inspector.document.analysis
    inspector.document.select(Selection("layer1.0", 1, analysis.sets[1].first))
    named = " ".join(line.name for line in inspector.slices.lines)
    assert inspector._goes.text() == "Removed with the block"
    assert "layer1.0.conv1.weight" in named and "layer1.0.bn2" in named and "layer1.1" not in named


def test_the_map_selects_and_the_buttons_act(inspector, qtbot) -> None:
    document = inspector.document
    first = document.analysis.sets[2].first
    qtbot.mouseClick(inspector.map, Qt.MouseButton.LeftButton, pos=inspector.map.cell(4).center().toPoint())
    assert document.selection.structure == first + 4
    qtbot.mouseClick(inspector.mark, Qt.MouseButton.LeftButton)
    assert document.marked[first + 4]
    assert inspector.mark.text() == "Unmark filter 4"
    qtbot.mouseClick(inspector.mark, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(inspector.lock, Qt.MouseButton.LeftButton)
    assert document.locked[first + 4] and inspector.lock.text() == "Unlock"
    assert not inspector.mark.isEnabled()


def test_mark_all_below_says_and_marks_what_lies_below(inspector, qtbot) -> None:
    document = inspector.document
    inspector.histogram.threshold = 0.25
    inspector._say_below()
    assert inspector.below.text() == "Mark all below 0.25"
    qtbot.mouseClick(inspector.below, Qt.MouseButton.LeftButton)
    assert document.marked.nonzero()[0].tolist() == expected_below(document, 2, 0.25)


def test_a_set_of_which_all_are_rated_alike_says_so(inspector) -> None:
    document = inspector.document
    scores = document.scores.copy()
    scores[document.analysis.sets[2].structures] = 0.5
    assert inspector.below.text() == "Drag the line to mark"
    document.take_scores(document.contents.present, document.contents.rating, scores)
    inspector.refresh()
    assert inspector.below.text() == "All scores are equal" and not inspector.below.isEnabled()


def test_heads_go_with_sets_of_indices(qtbot) -> None:
    analysis = tiny_analysis()
    heads = next(s for s in analysis.sets if s.kind == "head")
    shown = {line.name: line.pattern for line in lines(analysis, heads.first + 1)}
    assert shown["attn.qkv.weight"] == "[{4, 5, 6, 7, \u2026 12 in all}, :]"
    assert shown["attn.proj.weight"] == "[:, 4:8]"


def test_index_sets_are_short() -> None:
    sets = ([42], [3, 9], range(8, 16), range(0, 64, 4), [1, 5, 9, 12, 40])
    shown = [indices_text(np.array(list(s))) for s in sets]
    assert shown == ["42", "{3, 9}", "8:16", "0:64:4", "{1, 5, 9, 12, \u2026 5 in all}"]


def test_a_head_in_words(qtbot, dressed) -> None:
    document = opened(tiny_analysis(), scored=False)
    document.take_scores("s0", document.criterion, tiny_scores(tiny_analysis()))
    inspector = InspectorPanel(document.workbench)
    qtbot.addWidget(inspector)
    number = next(n for n, s in enumerate(document.analysis.sets) if s.kind == "head")
    document.select(Selection("attn.qkv", number))
    assert inspector.words.text() == "4 heads"
    assert inspector._multiple.text() == "of 4", "heads come in any number"


@pytest.mark.parametrize(("multiple", "best"), [(16, 16), (24, 6), (64, 8), (1, 0)])
def test_the_multiple_that_is_best_is_the_one_that_plans_of_this_set_keep(inspector, multiple: int, best: int) -> None:
    document = inspector.document
    document.set_target(replace(document.target, multiple=multiple))
    count = document.analysis.sets[2].count
    expected = f"of {count}, best: multiple of {best}" if best else f"of {count}"
    assert (count, inspector._multiple.text()) == (32, expected)


def test_what_goes_along_is_drawn_writers_left_and_readers_right(inspector) -> None:
    inspector.document.select(Selection("conv1", 0, 3))
    flow = inspector.flow.flow
    assert [box.module for box in flow.writers] == ["conv1", "layer1.0.conv2", "layer1.1.conv2"]
    assert [box.module for box in flow.readers] == [
        "layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.shortcut.0",
    ]  # fmt: skip
    assert [box.module for box in flow.passes] == ["bn1", "layer1.0.bn2", "layer1.1.bn2"]
    assert flow.writers[0].parts == ("weight [3, :, :, :]",) and flow.readers[0].parts == ("weight [:, 3, :, :]",)
    assert "read by layer1.0.conv1" in inspector.flow.accessibleDescription()
    left, right = [one.area for one in inspector.flow.place_boxes() if one.module in ("conv1", "layer2.0.conv1")]
    assert left.right() < right.left()


def test_a_click_in_the_graph_shows_that_layer(inspector, qtbot) -> None:
    where = next(one.area.center().toPoint() for one in inspector.flow.place_boxes() if one.module == "layer1.0.conv2")
    qtbot.mouseClick(inspector.flow, Qt.MouseButton.LeftButton, pos=where)
    document = inspector.document
    assert document.selection.module == "layer1.0.conv2"
    assert document.analysis.sets[document.selection.set_number].module == "conv1"


def test_keys_go_from_layer_to_layer_in_the_graph(inspector, qtbot) -> None:
    inspector.flow.setFocus()
    qtbot.keyClick(inspector.flow, Qt.Key.Key_Down)
    qtbot.keyClick(inspector.flow, Qt.Key.Key_Down)
    qtbot.keyClick(inspector.flow, Qt.Key.Key_Return)
    assert inspector.document.selection.module == "layer1.0.conv2"


def test_the_run_says_which_dimension_a_layer_writes() -> None:
    from dataclasses import replace as other

    from secateur.app.panels.inspector.coupling_graph import Flows
    from secateur.engine.structures.analysis import AuditStep
    from tests.app.demo_analysis import small_resnet

    analysis = small_resnet()
    hidden = analysis.tensors[[t.name for t in analysis.tensors].index("layer1.0.conv1.weight")].axes
    # as a transposed layer would have it: what is computed lies on the second dimension
    steps = (AuditStep("aten.mm", "layer1.0.conv1", (2, 32), (-1, hidden[1]), (), 0),)
    flow = Flows(other(analysis, steps=steps)).of(analysis.sets[2].first)
    assert "layer1.0.conv1" in [box.module for box in flow.readers]


def test_the_first_layers_filters_are_shown_as_images(inspector, qtbot) -> None:
    from secateur.engine.session.filter_images import Filters

    document = inspector.document
    draw = np.random.default_rng(0)
    left = np.delete(np.arange(32), [5])
    images = (draw.random((31, 3, 3, 3)) * 255).astype(np.uint8)
    document.contents.filters["s0"] = Filters("conv1.weight", left, images)
    document.select(Selection("conv1", 0, 3))
    assert "as images" in inspector._map_title.text()
    shown = inspector.map._images[6].pixelColor(1, 1)
    assert [shown.red(), shown.green(), shown.blue()] == images[5, 1, 1].tolist()
    side = inspector.map.grid()[1]
    inspector.map.setFixedHeight(7)  # as where there are many: cells too small for images
    qtbot.waitUntil(lambda: "as images" not in inspector._map_title.text())
    assert inspector.map.grid()[1] < side and "Bright: important" in inspector._map_title.text()
    document.select(Selection(CONV, 2))
    assert not inspector.map._images


def test_a_rubber_band_over_the_cells_marks_them_and_spares_them_again(inspector, qtbot) -> None:
    cells, document = inspector.map, inspector.document
    qtbot.waitUntil(lambda: inspector.windowHandle().isExposed())
    settle(qtbot, document)
    first, last = cells.cell(2).center().toPoint(), cells.cell(5).center().toPoint()
    for expected in ([2, 3, 4, 5], []):
        qtbot.mousePress(cells, Qt.MouseButton.LeftButton, pos=first)
        qtbot.mouseMove(cells, (first + last) / 2)
        qtbot.mouseMove(cells, last)
        qtbot.mouseRelease(cells, Qt.MouseButton.LeftButton, pos=last)
        assert np.flatnonzero(document.marked[document.analysis.sets[2].structures]).tolist() == expected


def test_escape_drops_the_rubber_band(inspector, qtbot) -> None:
    cells = inspector.map
    qtbot.mousePress(cells, Qt.MouseButton.LeftButton, pos=cells.cell(2).center().toPoint())
    qtbot.mouseMove(cells, cells.cell(6).center().toPoint())
    qtbot.keyClick(cells, Qt.Key.Key_Escape)
    qtbot.mouseRelease(cells, Qt.MouseButton.LeftButton, pos=cells.cell(6).center().toPoint())
    assert not inspector.document.marked.any()


def test_why_not_names_the_module_that_is_the_cause(qtbot, dressed) -> None:
    document = opened()
    assert document.analysis is not None
    cause = FixedAxis(document.analysis.fixed[0].tensor, 0, 10, Message("x", "aten.topk runs over it."), "head.topk")
    document.contents.analysis = replace(document.analysis, fixed=(cause,))
    inspector = InspectorPanel(document.workbench)
    qtbot.addWidget(inspector)
    document.select(Selection("fc"))
    assert inspector.why.text() == "aten.topk runs over it. Caused by head.topk."


def test_with_nothing_selected_it_lists_what_is_preserved_and_what_may_become_narrower(qtbot, dressed) -> None:
    document = opened()
    assert document.analysis is not None
    returned = (
        RecordedOutput("logits", (2, 10), True),
        *(RecordedOutput(f"hidden_states.{n}", (2, 64), False) for n in range(3)),
    )
    document.contents.analysis = replace(document.analysis, returned=returned)
    inspector = InspectorPanel(document.workbench)
    qtbot.addWidget(inspector)
    said = "\n".join(one.text() for one in inspector.findChildren(QLabel) if one.isVisibleTo(inspector))
    assert "Preserved outputs: logits 2x10." in said
    assert "Outputs that may become narrower: hidden_states (3 tensors)." in said


def test_before_there_are_scores_all_fits_into_the_smallest_window(inspector, qtbot) -> None:
    inspector.document.contents.scores.clear()
    inspector.resize(232, 450)
    inspector.document.announce(Aspect.SCORES)
    settle(qtbot, inspector.document)
    area = inspector.findChild(QScrollArea)
    assert inspector.map.isVisible() and not inspector.histogram.isVisible()
    assert area.widget().width() == area.viewport().width()


def said(inspector: InspectorPanel) -> str:
    return "\n".join(one.text() for one in inspector.findChildren(QLabel) if one.isVisibleTo(inspector))


def test_a_group_tells_its_costs_what_the_plan_takes_its_ties_and_what_it_can_lose(inspector) -> None:
    document = inspector.document
    analysis = document.analysis
    inside = [n for n, one in enumerate(analysis.sets) if one.module.startswith("layer2.") and one.count > 1]
    document.plan.mark([analysis.sets[n].first for n in inside], True)
    metric = Metric("top-1", 0.9, 1000, 0.01, Split.VAL)
    curves = Curves(wanted=2)
    half = {n: analysis.sets[n].count // 2 for n in inside[:2]}
    curves.take([SensitivityPoint(-1, 0, metric)])
    curves.take([SensitivityPoint(n, half[n], replace(metric, value=0.9 - 0.1 * (k + 1))) for k, n in enumerate(half)])
    document.contents.curves[document.contents.present, document.contents.rating] = curves
    document.select(Selection("layer2"))
    words = said(inspector)
    assert f"The plan takes {len(inside)}." in words
    assert "Coupled with layers outside of it: layer3.0.conv1" in words
    assert f"Most sensitive: {analysis.sets[inside[1]].module}, \N{MINUS SIGN}20.0 pt if half of it is removed" in words
    assert "of the plan)" in words and not inspector.histogram.isVisible()
    document.select(Selection(analysis.sets[inside[0]].module, inside[0]))
    words = said(inspector)
    assert "Sensitivity: \N{MINUS SIGN}10.0 pt if half of it is removed" in words
    kept = analysis.sets[inside[0]].count
    assert f"The plan keeps {kept - 1} of {kept}." in words


def test_structures_of_several_layers_are_shown_named_and_marked_together(inspector, qtbot) -> None:
    document = inspector.document
    analysis = document.analysis
    sets = [n for n, one in enumerate(analysis.sets) if one.kind is Kind.FILTER][:2]
    chosen = tuple(analysis.sets[n].first + k for n in sets for k in (1, 4))
    document.select(Selection(analysis.sets[sets[0]].module, sets[0], chosen[0], chosen))
    assert inspector.title.text() == "4 filters of 2 layers"
    for n in sets:
        assert f"{analysis.sets[n].module}: filters 1, 4" in inspector.words.text()
    assert not inspector.map.isVisible() and not inspector.slices.isVisible() and not inspector.keep.isVisible()
    parameters, _ = marginal(analysis, analysis.empty(), list(chosen))
    assert count(parameters) in inspector.costs.text()
    qtbot.mouseClick(inspector.mark, Qt.MouseButton.LeftButton)
    assert tuple(np.flatnonzero(document.marked)) == chosen
    assert inspector.mark.accessibleName() == "Unmark these 4" and "2 marked" in inspector.words.text()
    qtbot.mouseClick(inspector.lock, Qt.MouseButton.LeftButton)
    assert tuple(np.flatnonzero(document.locked)) == chosen


def test_a_map_of_very_many_structures_shows_each_of_them(qtbot, dressed) -> None:
    shown = ScoreMap()
    qtbot.addWidget(shown)
    shown.show_cells(np.linspace(0, 1, 20_000), [""] * 20_000, -1)
    shown.resize(240, shown.heightForWidth(240))
    assert shown.cell(19_999).bottom() <= shown.height()
