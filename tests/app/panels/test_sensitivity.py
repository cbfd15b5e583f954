"""The Sensitivity tab: it says what it costs, shows points as they come, and a click on one plans it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from secateur.app.commands import command_named
from secateur.app.document.aspects import Selection
from secateur.app.jobs.workbench import Workbench
from secateur.app.panels.layers import LayersPanel
from secateur.app.panels.layers.model import Column
from secateur.app.panels.sensitivity import SensitivityPanel
from secateur.engine.errors import Message
from secateur.engine.planning.marks import keep
from secateur.engine.scoring.score_options import Choices
from secateur.engine.sensitivity.protocol import SHARES, Sensitivity, SensitivityPoint
from secateur.engine.session.states import StateKind
from secateur.engine.tasks.protocol import Metric, Split
from tests.app.playing import Player, top1
from tests.app.stand_in import opened, state_of

FIRST, SECOND = 2, 4
"""Two sets of filters, of 32 each."""
LEFT = Qt.MouseButton.LeftButton


def shown(qtbot, workbench: Workbench) -> SensitivityPanel:
    panel = SensitivityPanel(workbench)
    qtbot.addWidget(panel)
    panel.resize(700, 420)
    panel.show()
    qtbot.waitUntil(lambda: panel.windowHandle().isExposed())
    return panel


def measured(player: Player, *trials: SensitivityPoint) -> None:
    """The analysis was started, and these are there."""
    player.workbench.sensitivity.start()
    player.make("sensitivity", SensitivityPoint(-1, 0, top1(0.914)), *trials, done=len(trials), total=81)


def test_it_says_what_it_costs_and_the_button_starts_it(qtbot, dressed, player) -> None:
    panel = shown(qtbot, player.workbench)
    words = panel._empty._sentence.text()
    assert "81 cuts, each evaluated on the 2,000 samples of the val split: about 3 min" in words
    qtbot.mouseClick(panel._empty.step, LEFT)
    assert player.link.asked("sensitivity") == ("s0", "obs", SHARES, None, Choices())
    assert not panel._empty.step.isVisible()
    assert "already" in command_named("run.sensitivity").enabled(player.document)


def test_points_are_shown_as_they_come_and_stay_when_it_is_stopped(qtbot, dressed, player) -> None:
    panel = shown(qtbot, player.workbench)
    measured(player, SensitivityPoint(FIRST, 8, top1(0.9)))
    assert panel.plot.isVisible() and panel.note.text().startswith("1 of 81 cuts evaluated")
    player.make("sensitivity", SensitivityPoint(FIRST, 16, top1(0.8)), done=2, total=81)
    (curve,) = panel._curves
    assert curve.removed.tolist() == [0, 8, 16] and curve.values.tolist() == [0.914, 0.9, 0.8]
    qtbot.mouseClick(panel.cancel, LEFT)
    assert player.link.cancelled[-1] == player.link.last("sensitivity")
    player.stop("sensitivity")
    assert panel.note.text() == "Stopped: 2 of 81 cuts evaluated. Results are kept."
    qtbot.mouseClick(panel.start, LEFT)
    assert len([name for name, _ in player.link.calls.values() if name == "sensitivity"]) == 2


def test_a_click_on_a_point_plans_that_share_of_its_layer_and_undo_takes_it_back(qtbot, dressed, player) -> None:
    document = player.document
    panel = shown(qtbot, player.workbench)
    measured(
        player,
        SensitivityPoint(FIRST, 8, top1(0.9)),
        SensitivityPoint(FIRST, 16, top1(0.8)),
        SensitivityPoint(SECOND, 16, top1(0.5)),
    )
    where = panel.plot.pixel_of(0, 2).toPoint()
    qtbot.mouseMove(panel.plot.viewport(), where)
    assert panel.readout.text().startswith("layer1.0.conv1: 16 of 32 filters removed (50 %), top-1 80.0 %")
    qtbot.mouseClick(panel.plot.viewport(), LEFT, pos=where)
    wanted = keep(document.analysis, document.scores, document.contents.masks, FIRST, 16)
    assert (document.marked == wanted).all() and document.marked.sum() == 16
    assert document.selection == Selection("layer1.0.conv1", FIRST) and panel.plot.selected == 0
    document.plan.undo()
    assert not document.marked.any()


def test_keys_go_from_layer_to_layer_along_the_curve_and_plan(qtbot, dressed, player) -> None:
    document = player.document
    panel = shown(qtbot, player.workbench)
    measured(
        player,
        SensitivityPoint(FIRST, 16, top1(0.8)),
        SensitivityPoint(SECOND, 8, top1(0.7)),
        SensitivityPoint(SECOND, 16, top1(0.5)),
    )
    panel.plot.setFocus()
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Right):
        qtbot.keyClick(panel.plot, key)
    assert document.selection.set_number == SECOND and "16 of 32" in panel.readout.text()
    qtbot.keyClick(panel.plot, Qt.Key.Key_Return)
    assert np.flatnonzero(document.marked).min() >= document.analysis.sets[SECOND].first
    assert document.marked.sum() == 16


def test_a_click_beside_the_points_of_a_curve_only_selects_its_layer(qtbot, dressed, player) -> None:
    document = player.document
    panel = shown(qtbot, player.workbench)
    measured(player, SensitivityPoint(FIRST, 16, top1(0.8)), SensitivityPoint(SECOND, 16, top1(0.5)))
    between = (panel.plot.pixel_of(1, 0) + panel.plot.pixel_of(1, 1)) / 2
    qtbot.mouseClick(panel.plot.viewport(), LEFT, pos=between.toPoint())
    assert document.selection.set_number == SECOND and not document.marked.any()
    far = panel.plot.pixel_of(1, 1).toPoint() + QPoint(60, 0)
    document.select(Selection())
    qtbot.mouseClick(panel.plot.viewport(), LEFT, pos=far)
    assert document.selection == Selection()


def test_the_selection_of_the_tree_is_the_bold_curve(qtbot, dressed, player) -> None:
    panel = shown(qtbot, player.workbench)
    measured(player, SensitivityPoint(FIRST, 16, top1(0.8)), SensitivityPoint(SECOND, 16, top1(0.5)))
    player.document.select(Selection("layer1.1.conv1", SECOND))
    assert panel.plot.selected == 1
    player.document.select(Selection("fc", -1))
    assert panel.plot.selected == -1


def test_a_finished_analysis_says_by_what_it_was_cut_and_other_choices_are_measured_anew(qtbot, dressed, player):
    document = player.document
    panel = shown(qtbot, player.workbench)
    measured(player, SensitivityPoint(FIRST, 16, top1(0.8)))
    numbers = np.array([[16]])
    key = document.analysis.sets[FIRST].key
    found = Sensitivity(
        "obs",
        top1(0.914),
        (key,),
        np.array([0.5]),
        numbers,
        numbers / 20,
        numbers * 0.0,
        (Message("any", "A cut."),),
    )
    player.answer("sensitivity", found)
    assert "cut by Structured OBS, measured and not recovered; n = 2,000 of the val split" in panel.note.text()
    player.document.curves.metric = replace(top1(0.914), count=0)
    panel.refresh()
    assert "not recovered, evaluated on the val split." in panel.note.text()
    assert document.messages.lines()[-1] == "A cut."
    assert "Already measured" in command_named("run.sensitivity").enabled(document)
    document.set_criterion("l1")
    assert not panel.plot.isVisible() and panel._empty.step.text() == "Measure sensitivity"


def test_of_a_metric_that_should_be_small_what_rises_is_lost(qtbot, dressed, player) -> None:
    def perplexity(value: float) -> Metric:
        return Metric("perplexity", value, 500, 0.1, Split.VAL, percent=False, higher_is_better=False)

    document = player.document
    workbench = player.workbench
    panel = shown(qtbot, player.workbench)
    layers = LayersPanel(document)
    qtbot.addWidget(layers)
    workbench.sensitivity.start()
    trials = (SensitivityPoint(FIRST, 16, perplexity(14.5)), SensitivityPoint(SECOND, 16, perplexity(90.0)))
    player.make("sensitivity", SensitivityPoint(-1, 0, perplexity(12.0)), *trials)
    curve = document.curves.curve(document.analysis, document.removed, FIRST)
    assert document.curves.lost(curve) == pytest.approx(2.5)
    assert panel.plot._labels._items[0].toPlainText() == "layer1.1.conv1"  # it loses most
    panel.plot.point_at((0, 1))
    assert panel.readout.text().endswith("perplexity 14.5 \u00b1 0.100, +2.50")
    assert layers.model.cells.text(layers.model.layers.row_of["layer1.0.conv1"], Column.SENSITIVITY) == "+2.50"


def test_what_is_measured_of_another_state_is_not_taken_for_that_of_the_present_one(qtbot, dressed, player) -> None:
    document = player.document
    workbench = player.workbench
    panel = shown(qtbot, player.workbench)
    document.add_state(state_of(document.analysis, "s1", "s0", StateKind.CUT, document.removed, 0.262), "cut")
    player.settle()
    workbench.sensitivity.start()
    assert "Evaluating the first cuts." in panel._empty._sentence.text()
    document.plan.undo()
    assert "81 cuts" in panel._empty._sentence.text() and not panel.cancel.isVisible()
    assert not command_named("run.sensitivity").enabled(document)
    qtbot.mouseClick(panel._empty.step, LEFT)
    assert player.link.asked("sensitivity")[0] == "s0"
    assert "already" in command_named("run.sensitivity").enabled(document)


def test_what_may_be_lost_counts_from_the_original(qtbot, dressed, player) -> None:
    document = player.document
    workbench = player.workbench
    panel = shown(qtbot, player.workbench)
    document.contents.states["s0"] = replace(document.original, metrics=())
    document.add_state(state_of(document.analysis, "s1", "s0", StateKind.CUT, document.removed, 0.262), "cut")
    player.settle()
    workbench.sensitivity.start()
    player.make("sensitivity", SensitivityPoint(-1, 0, top1(0.262)), SensitivityPoint(FIRST, 16, top1(0.2)))
    assert math.isnan(panel.plot._shown.goal)  # nobody judged the original on that split
    document.take_measurements("s0", metrics=(top1(0.914),))
    assert panel.plot._shown.goal == pytest.approx(90.9)


def test_a_metric_that_is_beyond_all_numbers_leaves_the_others_to_be_seen(qtbot, dressed, player) -> None:
    def perplexity(value: float) -> Metric:
        return Metric("perplexity", value, 500, 0.1, Split.VAL, percent=False, higher_is_better=False)

    panel = shown(qtbot, player.workbench)
    player.workbench.sensitivity.start()
    trials = (SensitivityPoint(FIRST, 8, perplexity(14.5)), SensitivityPoint(FIRST, 16, perplexity(math.inf)))
    player.make("sensitivity", SensitivityPoint(-1, 0, perplexity(12.0)), *trials)
    low, high = panel.plot.viewRange()[1]
    assert low < 12.0 and 14.0 < high < 20.0
    player.document.select(Selection("layer1.0.conv1", FIRST))
    qtbot.mouseMove(panel.plot.viewport(), panel.plot.pixel_of(0, 1).toPoint())
    assert panel.plot.current == (0, 1) and "perplexity 14.5" in panel.readout.text()
    panel.plot.grab()


def test_without_data_it_says_what_is_missing(qtbot, dressed) -> None:
    panel = shown(qtbot, opened(task=False).workbench)
    assert panel._empty.step.text() == "Attach data..." and panel._empty.step.isVisible()
    assert "data" in command_named("run.sensitivity").enabled(panel.document)


def test_names_at_the_curves_do_not_collide(qtbot, dressed, player) -> None:
    panel = shown(qtbot, player.workbench)
    sets = [n for n, one in enumerate(player.document.analysis.sets) if one.count > 1]
    measured(
        player, *(SensitivityPoint(n, player.document.analysis.sets[n].count // 2, top1(0.6 + n / 1000)) for n in sets)
    )
    boxes = panel.plot.label_boxes()
    assert len(boxes) >= 4
    assert not any(a.intersects(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])


def test_a_selection_draws_its_own_curve_and_leaves_the_others(qtbot, dressed, player, monkeypatch) -> None:
    document = player.document
    panel = shown(qtbot, player.workbench)
    measured(player, SensitivityPoint(FIRST, 8, top1(0.9)), SensitivityPoint(SECOND, 8, top1(0.8)))
    drawn: list[int] = []
    monkeypatch.setattr(panel.plot._others, "setData", lambda *_: drawn.append(1))
    document.select(Selection(document.analysis.sets[SECOND].module, SECOND))
    assert not drawn and panel.plot.selected == 1 and panel.plot._bold.isVisible()
    player.make("sensitivity", SensitivityPoint(FIRST, 16, top1(0.85)))
    assert drawn
