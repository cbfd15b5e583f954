"""The trade-off: an axis for what matters, outliers at the border with their value, x by hand, and the verdict."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QWheelEvent
from PySide6.QtWidgets import QApplication, QLabel

from secateur.app.document.aspects import Aspect, Goal
from secateur.app.document.job_state import JobView
from secateur.app.panels.ledger import LedgerPanel
from secateur.app.panels.samples import SamplesPanel
from secateur.app.panels.state_strip import StateStrip
from secateur.app.panels.tradeoff.panel import TradeOffPanel
from secateur.app.panels.tradeoff.plot import TradeOffPlot
from secateur.app.panels.tradeoff.points import Cost, Point, trade_off
from secateur.app.theme import tokens
from secateur.engine.planning.goal_verdict import goal_verdict
from secateur.engine.planning.protocol import Cost as Limited
from secateur.engine.planning.protocol import Reached
from secateur.engine.tasks.protocol import Metric, Split
from tests.app.stand_in import StandIn, opened, travelled

MARKER = 20
"""Pixels from which a marker is seen."""


def judged(document: StandIn, **values: float) -> StandIn:
    """States with these accuracies on the test split."""
    for name, value in values.items():
        metric = Metric("top-1", value, 2000, (value * (1 - value) / 2000) ** 0.5, Split.TEST)
        document.contents.states[name] = replace(document.contents.states[name], metrics=(metric,))
    document.plan.enter(document.contents.present, "")
    return document


def run(cut: float = 0.104, recovered: float = 0.908) -> StandIn:
    """A run as it usually goes: 93 % at first, next to nothing after the cut, most of it back after the recovery."""
    document = judged(travelled(), s0=0.93, s1=cut, s2=recovered)
    document.plan.set_goal(Goal(0.9, 0.5))
    return document


def painted(plot: TradeOffPlot, point: Point) -> int:
    """Pixels of a point's marker, in the colour of results."""
    QApplication.processEvents()
    picture, at, colour = plot.grab().toImage(), plot.pixel_of(point).toPoint(), QColor(tokens().accent)
    around = [QPoint(x, y) for x in range(-8, 9) for y in range(-8, 9)]
    return sum(picture.rect().contains(at + by) and picture.pixelColor(at + by) == colour for by in around)


def test_the_line_through_the_best_ends_at_the_markers(shown) -> None:
    document = run(recovered=0.05)
    document.contents.states.pop("s2")
    document.plan.enter("s1", "")
    plot = shown(TradeOffPanel(document.workbench), 640, 420).plot
    (low, high), heights = plot.viewRange()[1], plot._front.getData()[1]
    assert len(heights) == 2 and all(low < y < high for y in heights)


def test_an_unrecovered_cut_stretches_no_axis_and_is_told_at_the_border(shown) -> None:
    document = run()
    plot = shown(TradeOffPanel(document.workbench), 640, 420).plot
    trade = trade_off(document, Cost.MACS)
    low, high = plot.viewRange()[1]
    assert low > 85 and high < 97
    points = {p.state: p for p in trade.points}
    assert trade.outside(points["s1"]) and not trade.outside(points["s2"])
    labels = {item.toPlainText() for item in plot._labels._items}
    assert "cut s1, 10.4 %" in labels and "recovered s2" in labels
    assert plot.pixel_of(points["s1"]).y() > plot.getViewBox().sceneBoundingRect().bottom() - 20
    assert painted(plot, points["s1"]) > MARKER and painted(plot, points["s2"]) > MARKER


def test_a_point_of_difference_can_be_seen_whatever_else_there_is(shown) -> None:
    document = run(recovered=0.40)
    panel = shown(TradeOffPanel(document.workbench), 640, 420)
    plot = panel.plot
    one_point = [plot.getViewBox().mapViewToScene(QPointF(0, y)).y() for y in (92, 93)]
    assert one_point[0] - one_point[1] >= 8
    assert any(item.toPlainText() == "recovered s2, 40.0 %" for item in plot._labels._items)


def test_a_result_a_few_points_off_is_on_the_axis_with_its_error(shown) -> None:
    document = run(recovered=0.88)
    trade = trade_off(document, Cost.MACS)
    assert trade.y_range[0] < 88 - 0.7 and not trade.outside(next(p for p in trade.points if p.state == "s2"))


def test_the_axis_ends_at_a_whole_hundred_but_for_the_mark_there() -> None:
    trade = trade_off(judged(opened(), s0=1.0), Cost.MACS)
    low, high = trade.y_range
    assert low < 99 and 100 < high < 100 + 0.1 * (high - low)
    uncertain = opened()
    judged(uncertain, s0=0.99)
    original = uncertain.contents.states["s0"]
    metric = replace(original.metrics[0], error=0.06)  # by bootstrap of few samples
    uncertain.contents.states["s0"] = replace(original, metrics=(metric,))
    low, high = trade_off(uncertain, Cost.MACS).y_range
    assert low < 93 and 100 < high < 100 + 0.1 * (high - low)


def test_a_value_above_the_axis_is_told_at_the_upper_border(shown) -> None:
    document = run(cut=0.999)
    plot = shown(TradeOffPanel(document.workbench), 640, 420).plot
    point = next(p for p in trade_off(document, Cost.MACS).points if p.state == "s1")
    labels = [item.toPlainText() for item in plot._labels._items]
    assert painted(plot, point) > MARKER and "cut s1, 99.9 %" in labels


def test_the_x_axis_changes_by_hand_alone(shown, qtbot) -> None:
    document = judged(opened(), s0=0.93)
    panel = shown(TradeOffPanel(document.workbench), 640, 420)
    plot = panel.plot
    whole = plot.viewRange()[0]
    assert whole[0] == 0 and panel.cost.currentText() == "MACs"
    document.plan.mark(np.arange(40, 60), True)
    document.plan.set_goal(Goal(0.2, 3.0))
    assert plot.viewRange()[0] == whole
    for name in ("s1", "s2"):
        document.contents.states[name] = travelled().contents.states[name]
    judged(document, s1=0.1, s2=0.9)
    assert plot.viewRange()[0] == whole and panel.cost.currentText() == "MACs"
    plot.setFocus()
    qtbot.keyClick(plot, Qt.Key.Key_Plus)
    by_hand = plot.viewRange()[0]
    assert by_hand[0] > whole[0] and by_hand[1] < whole[1]
    document.plan.set_goal(Goal(0.3, 1.0))
    assert plot.viewRange()[0] == by_hand
    middle = plot.viewport().rect().center()
    wheel = QWheelEvent(
        QPointF(middle), QPointF(plot.viewport().mapToGlobal(middle)), QPoint(), QPoint(0, 240),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(plot.viewport(), wheel)
    assert plot.viewRange()[0] != by_hand
    qtbot.mouseDClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=middle)
    assert plot.viewRange()[0] == whole
    panel.cost.setCurrentText("Parameters")
    assert plot.viewRange()[0] != whole


def test_the_verdict_is_the_engines_in_ledger_and_strip(shown) -> None:
    document = run()
    costs, before = document.plan_costs, document.original_costs
    asked = Reached(Limited.MACS, before.macs, int(0.9 * before.macs + 0.5), costs.macs)
    first, last = (document.contents.states[name].metrics[0] for name in ("s0", "s2"))
    said = goal_verdict((asked,), first, last, 0.005)
    words = str(said.sentence)
    assert words.startswith("Goal missed: −2.2 pt, allowed −0.5; ") and words.endswith("% MACs, reached")
    ledger, strip = shown(LedgerPanel(document.workbench), 1200, 120), shown(StateStrip(document), 1000, 60)
    assert ledger.goal.text() == words
    step = strip.steps["judge"]
    assert step.remark == "goal missed" and words in step.toolTip() and "goal missed" in step.accessibleName()
    assert "test split, n = 2,000" in ledger.goal.toolTip()
    document.plan.set_goal(Goal(0.9, 3.0))
    assert ledger.goal.text().startswith("Goal met: −2.2 pt")
    assert step.remark == "goal met"
    document.plan.go_to("s0")
    assert ledger.goal.text() == "Goal: keep at most 90 % of the MACs, lose at most 3 pt"
    assert not any(one.remark for one in strip.steps.values())


def test_where_less_of_a_metric_is_better_no_panel_asks_for_more(shown) -> None:
    document = opened()
    perplexity = Metric("perplexity", 20.0, 100, 0.1, Split.TEST, percent=False, higher_is_better=False)
    document.contents.states["s0"] = replace(document.contents.states["s0"], metrics=(perplexity,))
    panel = shown(TradeOffPanel(document.workbench), 640, 420)
    samples = shown(SamplesPanel(document.workbench), 640, 190)
    notes = [one.text() for one in panel.findChildren(QLabel)]
    assert any(text.startswith("Down and to the left is better.") for text in notes)
    assert not samples.expected.isVisible() and samples.verdict.text().startswith("Compare it with the value")


def test_a_plan_leaves_the_goal_open_until_it_is_evaluated(shown) -> None:
    document = judged(opened(), s0=0.93)
    document.plan.set_goal(Goal(0.99, 0.5))
    document.plan.mark(np.arange(40, 60), True)
    ledger = shown(LedgerPanel(document.workbench), 1200, 120)
    assert ledger.goal.text().startswith("Plan so far: top-1 not measured, allowed −0.5; −")
    assert ledger.goal.text().endswith(" % MACs, reached")


def test_only_a_result_misses_the_goal_a_plan_or_a_cut_before_its_recovery_does_not(shown) -> None:
    document = run()
    document.plan.set_goal(Goal(0.1, 0.5))
    ledger, strip = shown(LedgerPanel(document.workbench), 1200, 120), shown(StateStrip(document), 1000, 60)
    assert ledger.goal.text().startswith("Goal missed: ") and ledger.goal.property("role") == "marked"
    document.plan.go_to("s1")
    assert ledger.goal.text().startswith("Before recovery: −") and " MACs, asked for −90.0 %" in ledger.goal.text()
    document.plan.go_to("s0")
    document.plan.mark(np.arange(40, 60), True)
    assert ledger.goal.text().startswith("Plan so far: ") and ledger.goal.property("role") == "strong"
    assert not any(one.remark for one in strip.steps.values())
    document.contents.task = None  # what cannot be recovered is a result
    document.plan.go_to("s1")
    document.plan.clear_marks()
    assert document.state.id == "s1" and document.goal_verdict.met is False


@pytest.mark.parametrize("cost", [Limited.PARAMETERS, Limited.SIZE, Limited.PEAK])
def test_every_cost_has_its_verdict(cost) -> None:
    document = run()
    document.plan.set_goal(Goal(0.9, 3.0, cost))
    found = document.goal_verdict
    assert found.met is (found.costs[0].got <= 0.9 * found.costs[0].original) and found.costs[0].cost is cost


def test_a_latency_that_was_not_measured_leaves_the_goal_open() -> None:
    document = run()
    document.plan.set_goal(Goal(0.9, 3.0, Limited.LATENCY))
    assert document.goal_verdict.met is True and "latency, reached" in str(document.goal_verdict.sentence)
    document.contents.states["s2"] = replace(document.contents.states["s2"], timings=())
    document.plan.enter("s2", "")
    assert document.goal_verdict.met is None and "latency not measured" in str(document.goal_verdict.sentence)


def test_an_original_that_is_being_evaluated_is_not_asked_for_again(qtbot, dressed) -> None:
    document = opened()
    document.contents.states["s0"] = replace(document.contents.states["s0"], metrics=())
    panel, samples = TradeOffPanel(document.workbench), SamplesPanel(document.workbench)
    for each in (panel, samples):
        qtbot.addWidget(each)
    assert not panel._empty.step.isHidden() and "not evaluated yet" in samples.scores.text()
    document.jobs = (JobView(1, "Evaluate the original", "", 0, 0, 0.0, -1.0, method="evaluate_original"),)
    document.announce(Aspect.JOBS)
    document.dispatcher.settle()
    assert panel._empty.step.isHidden() and "is being evaluated" in samples.scores.text()
    document.jobs = ()
    document.announce(Aspect.JOBS)
    document.dispatcher.settle()
    assert not panel._empty.step.isHidden()
