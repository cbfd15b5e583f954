"""The fastest that loses at most half a point: from the goal row to trials in the trade-off and the result."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from secateur.app.commands import command_named
from secateur.app.dialogs.find_fastest import FindFastest
from secateur.app.document.aspects import Goal
from secateur.app.panels.ledger_figures import ledger_figures
from secateur.app.panels.tradeoff.panel import TradeOffPanel
from secateur.app.panels.tradeoff.points import Cost as Axis
from secateur.app.panels.tradeoff.points import trade_off
from secateur.app.text.verdicts import trial_label
from secateur.engine.errors import Message
from secateur.engine.planning.goal import suggest
from secateur.engine.planning.protocol import KINDS_WITH_BLOCKS, Cost, Limit
from secateur.engine.session.states import State, StateKind
from secateur.engine.structures.analysis import Kind
from secateur.engine.tasks.protocol import Metric, Split
from secateur.engine.workflows.budget_search import LossLimit, SearchResult, Trial
from secateur.engine.workflows.prune import PruneRequest

from ..playing import Player, top1
from ..stand_in import state_of
from .test_latency_goal import table

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def player(player: Player) -> Player:
    document = player.document
    assert document.original is not None
    document.contents.states["s0"] = replace(document.original, metrics=(replace(top1(0.914), split=Split.TEST),))
    return player


def dialog_over(qtbot, window) -> FindFastest:
    made = FindFastest(window)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    return made


def tried(player, number: int, share: float, accuracy: float) -> State:
    """What a trial ends in: judged on the val split alone."""
    document = player.document
    analysis = document.analysis
    gone = suggest(analysis, document.scores, share)
    return state_of(analysis, f"s{number}", "s0", StateKind.RECOVERED, gone, accuracy)


def test_the_usual_question_takes_no_field_to_be_filled(qtbot, player, window):
    document = player.document
    document.plan.set_goal(Goal(0.5, 0.5))
    dialog = dialog_over(qtbot, window)
    assert dialog.cost.cost is Cost.LATENCY and dialog.lose.value() == 0.5
    assert "onnxruntime" in dialog.estimate.text() and "About" in dialog.estimate.text()
    qtbot.mouseClick(dialog.accept_button, LEFT)
    state, settings, loss_limit, scores = player.link.asked("lowest")
    assert state == "s0" and scores is document.scores
    assert loss_limit == LossLimit(0.005, Cost.LATENCY, 6, 2)  # two of five epochs while it is searched
    assert settings.goal.limits == (Limit(Cost.LATENCY, 1.0),) and settings.goal.target == document.target
    assert settings.recovery.epochs == document.recovery.epochs and window.fronts == ["tradeoff"]
    assert "A search is running" in command_named("run.lowest").enabled(document) and not document.busy


def test_a_search_is_expected_to_take_as_long_as_all_its_trials(player):
    workbench, recovery = player.workbench, replace(player.document.recovery, minutes=20.0)
    limit = LossLimit(0.005, Cost.MACS, 3, minutes=8.0)
    asked = PruneRequest(player.document.contents.wanted, "l1", recovery)
    seconds = workbench.estimator.estimate("lowest", "s0", asked, limit, None).seconds
    assert seconds == workbench.search.seconds(limit, recovery) >= 60 * (3 * 8 + 20)


def test_a_recovery_in_minutes_is_searched_in_minutes(qtbot, player, window):
    document = player.document
    document.set_recovery(replace(document.recovery, minutes=20.0))
    dialog = dialog_over(qtbot, window)
    dialog.cost.choose(Cost.MACS)
    assert [field.accessibleName() for field in (dialog.brief, dialog.full)] == [
        "Minutes per trial",
        "Minutes for the result",
    ]
    assert (dialog.brief.value(), dialog.full.value()) == (8.0, 20.0)  # two fifths
    dialog.trials.setValue(3)
    dialog.full.setValue(30)
    assert "About 54 min" in dialog.estimate.text()  # three times 8, and 30
    qtbot.mouseClick(dialog.accept_button, LEFT)
    _, settings, loss_limit, _ = player.link.asked("lowest")
    assert settings.recovery == replace(document.recovery, minutes=30.0)
    assert loss_limit.briefly(settings.recovery) == replace(document.recovery, minutes=8.0)


def test_what_predicts_latencies_is_not_announced_where_it_is_there(qtbot, player, window):
    dialog = dialog_over(qtbot, window)
    assert "a dozen cut models" in dialog.estimate.text()
    player.document.contents.latencies[player.document.target] = table()
    dialog.check()
    assert "onnxruntime" in dialog.estimate.text() and "first" not in dialog.estimate.text()


def test_at_most_so_much_and_lose_at_most_so_much(qtbot, player, window):
    dialog = dialog_over(qtbot, window)
    dialog.cost.choose(Cost.PARAMETERS)
    dialog.most.setValue(60)
    dialog.lose.setValue(1.25)
    dialog.trials.setValue(3)
    qtbot.mouseClick(dialog.blocks, LEFT)
    qtbot.mouseClick(dialog.accept_button, LEFT)
    _, settings, loss_limit, _ = player.link.asked("lowest")
    assert settings.goal.limits == (Limit(Cost.PARAMETERS, 0.6),) and settings.goal.target is None
    assert (loss_limit.loss, loss_limit.trials) == (0.0125, 3)
    assert settings.goal.kinds == KINDS_WITH_BLOCKS and Kind.BLOCK in KINDS_WITH_BLOCKS
    assert command_named("edit.depth").title_now(player.document) == "Keep whole blocks"
    assert player.document.goal.lose == 1.25  # the line in the trade-off, and the next question


@pytest.mark.parametrize(("first", "higher"), [(20.0, False), (0.008, False), (40.0, True)])
def test_what_has_another_unit_may_lose_per_cent_of_what_the_original_has_everywhere(
    qtbot, player, window, first, higher
):
    def measured(value: float) -> Metric:
        return Metric("score", value, 100, 0.0, Split.TEST, percent=False, higher_is_better=higher)

    document, worse = player.document, -1 if higher else 1
    document.contents.states["s0"] = replace(document.original, metrics=(measured(first),))
    document.plan.set_goal(Goal(0.5, 1.5))
    for state, lost in (("s1", 0.014), ("s2", 0.016)):
        made = state_of(document.analysis, state, "s0", StateKind.RECOVERED, document.removed)
        document.contents.states[state] = replace(made, metrics=(measured(first * (1 + worse * lost)),))
        document.plan.enter(state, "recover")
        assert ledger_figures(document)["metric"].good is (state == "s1")
    assert trade_off(document, Axis.MACS).goal_y == pytest.approx(first * (1 + worse * 0.015))
    dialog = dialog_over(qtbot, window)
    assert dialog.lose.text() == "1.50 %" and dialog.accept_button.isEnabled()
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert player.link.asked("lowest")[2].loss == pytest.approx(0.015)


def test_trials_are_told_and_drawn_as_they_come(qtbot, player):
    document = player.document
    workbench = player.workbench
    panel = TradeOffPanel(workbench)
    qtbot.addWidget(panel)
    panel.resize(760, 460)
    panel.show()
    qtbot.waitUntil(lambda: panel.windowHandle().isExposed())
    workbench.search.start(LossLimit(0.005, Cost.MACS, 6, 2), 1.0, document.recovery)
    held, lost = tried(player, 1, 0.7, 0.911), tried(player, 2, 0.4, 0.88)
    player.make("lowest", held, Trial(0.7, "s1", 0.003, 0.0089, True))
    said = player.sentences[-1]
    assert said.startswith("Trial 1, 70.0 % of the MACs: within the limit: 0.30 \u00b1 0.89 points lost, 0.50 points")
    assert "more samples could change this" in player.sentences[-1]  # 0.3 lies within one standard error of 0.5
    player.make("lowest", lost, Trial(0.4, "s2", 0.034, 0.0089))
    assert "over the limit: 3.40" in player.sentences[-1] and "could change" not in player.sentences[-1]
    player.make("lowest", Trial(0.1, "", note=Message("any", "It cannot be reached.")))
    assert player.sentences[-1] == "Trial 3, 10.0 % of the MACs: It cannot be reached."
    slow = replace(lost, id="s3")
    player.make("lowest", slow, Trial(0.2, "s3", note=Message("any", "It is slower than the original."), got=1.3))
    assert player.sentences[-1] == "Trial 4, 130.0 % of the MACs: It is slower than the original."
    searched = document.contents.trials["s3"]
    assert trial_label(searched.trial, searched.number) == "trial 4, too slow"
    trade = trade_off(document, Axis.MACS)
    assert [p.state for p in trade.points] == ["s0"]  # evaluated on another split: not among the others
    assert trade.missing == "Evaluated on another split (val) and not shown: 3."
    original = document.original
    assert original is not None
    document.take_measurements("s0", (replace(original.metrics[0], value=0.92, split=Split.VAL),))
    panel.split.setCurrentText("val split")
    trade = trade_off(document, Axis.MACS, Split.VAL)
    points = {p.state: p for p in trade.points}
    assert points["s0"].y == pytest.approx(92.0) and trade.goal_y == pytest.approx(91.5)
    assert points["s1"].label == "trial 1, within limit" and points["s2"].label == "trial 2, over limit"
    assert points["s1"].y == pytest.approx(91.1) and "70.0 %" in points["s1"].tip
    assert [p.state for p in trade.front] == ["s0"]  # trials are no results
    assert "(val)" in panel.plot.getAxis("left").labelText


def test_the_result_is_gone_to_and_one_undo_leads_back(player):
    document = player.document
    workbench = player.workbench
    workbench.search.start(LossLimit(0.005, Cost.MACS, 6, 2), 1.0, document.recovery)
    result = tried(player, 1, 0.7, 0.911)
    result = replace(result, metrics=(*result.metrics, replace(top1(0.909), split=Split.TEST)))
    trial = Trial(0.7, "s1", 0.003, 0.0089, True, final=True)
    player.make("lowest", result, trial)
    assert player.sentences[-1].startswith("Result, 70.0 % of the MACs: within the limit")
    player.answer("lowest", SearchResult((trial,), top1(0.914), (result,)))
    assert document.state.id == "s1" and "Found: 70% of the MACs" in player.sentences[-1]
    assert "90.9\u00a0%" in player.sentences[-1]  # as reported
    player.settle()
    document.plan.undo()
    assert document.state.id == "s0" and "s1" in document.contents.states


def test_what_was_searched_by_its_latency_is_measured_beside_the_result(player):
    document = player.document
    workbench = player.workbench
    workbench.search.start(LossLimit(0.005, Cost.LATENCY, 6, 2), 1.0, document.recovery)
    states = tried(player, 1, 0.4, 0.8), tried(player, 2, 0.7, 0.911)
    trials = (
        Trial(0.4, "s1", 0.1, 0.009),
        Trial(0.2, "", note=Message("any", "no")),
        Trial(0.7, "s2", 0.003, 0.009, True, final=True),
    )
    player.make("lowest", *states, *trials)
    player.answer("lowest", SearchResult(trials, top1(0.914), states[1:]))
    measured, target = player.link.asked("measure")
    assert measured == ("s0", "s2", "s1") and target == document.target


def test_nothing_that_holds_is_said_and_changes_nothing(player):
    document = player.document
    workbench = player.workbench
    workbench.search.start(LossLimit(0.005, Cost.MACS, 6, 2), 1.0, document.recovery)
    player.answer("lowest", SearchResult((Trial(0.5, "", note=Message("any", "no")),), top1(0.914), ()))
    assert document.state.id == "s0" and "Every budget tried loses more than 0.50 points" in player.sentences[-1]
