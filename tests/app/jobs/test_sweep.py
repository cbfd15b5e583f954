"""A sweep from the dialog to the trade-off: what the engine is asked for, and states that appear as they come."""

import re
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox

from secateur.app.commands import command_named
from secateur.app.dialogs.settings_fields import shares
from secateur.app.dialogs.sweep import SweepDialog
from secateur.app.panels.tradeoff.panel import TradeOffPanel
from secateur.app.panels.tradeoff.points import Cost as Axis
from secateur.app.panels.tradeoff.points import trade_off
from secateur.engine.errors import EngineLost, Message
from secateur.engine.planning.goal import suggest
from secateur.engine.planning.protocol import Choose, Cost, Limit
from secateur.engine.recovery.protocol import Repair
from secateur.engine.session.states import State, StateKind
from secateur.engine.structures.analysis import identities
from secateur.engine.workflows.sweep import Sweep, SweepPoint

from ..playing import Player
from ..stand_in import state_of

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def dialog(qtbot, window) -> SweepDialog:
    made = SweepDialog(window)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    return made


def pair(player, number: int, share: float, accuracy: float) -> tuple[State, State]:
    """A cut at a share of the MACs, and what was recovered from it."""
    document = player.document
    analysis = document.analysis
    gone = suggest(analysis, document.scores, share)
    cut = state_of(analysis, f"s{number}", "s0", StateKind.CUT, gone)
    return cut, state_of(analysis, f"s{number + 1}", cut.id, StateKind.RECOVERED, gone, accuracy)


def test_the_dialog_says_what_it_costs_and_asks_the_engine_for_it(qtbot, player, window, dialog) -> None:
    document = player.document
    document.plan.lock(range(40, 44), True)
    dialog.budgets.clear()
    qtbot.keyClicks(dialog.budgets, "70 %, 30")
    dialog.length.setValue(4)
    # a training step costs about three forward passes of the cut model and one of the teacher
    said = dialog.estimate.text()
    assert re.fullmatch(
        r"2 cuts, 8 epochs of recovery in total[.] Takes about 2 min and about \d+ MB of memory[.]", said
    )
    dialog.cost.setCurrentIndex(1)
    qtbot.mouseClick(dialog.accept_button, LEFT)
    state, settings, budgets, scores = player.link.asked("sweep")
    assert (state, budgets) == ("s0", (0.7, 0.3)) and scores is document.scores
    assert settings.goal.limits == (Limit(Cost.PARAMETERS, 1.0),) and settings.goal.multiple == document.target.multiple
    assert settings.recovery == replace(document.recovery, epochs=4) and settings.criterion == "obs"
    assert settings.locked == identities(document.analysis, document.locked) and len(settings.locked) == 1
    assert window.fronts == ["tradeoff"]


def test_masks_are_asked_for_where_they_can_be_learned(qtbot, player, window, dialog) -> None:
    assert not dialog.way.steps.isEnabled()
    dialog.way.choose.setCurrentText("learned masks")
    dialog.way.steps.setValue(50)
    qtbot.mouseClick(dialog.accept_button, LEFT)
    settings = player.link.asked("sweep")[1]
    assert (settings.choose, settings.mask_steps) == (Choose.MASKS, 50)


def test_every_cut_of_the_rounds_counts(qtbot, player, window, dialog) -> None:
    dialog.length.setValue(5)
    at_once = player.workbench.estimator.estimate("sweep", "s0", dialog.settings(), (0.8, 0.65, 0.5, 0.35, 0.2))
    assert dialog.estimate.text().startswith("5 cuts, 25 epochs of recovery in total.")
    dialog.way.choose.setCurrentText("rounds")
    # a round keeps nine tenths at least: 0.9 ** 3 < 0.8, 0.9 ** 5 < 0.65, and so on: 3 + 5 + 7 + 10 + 16
    assert dialog.estimate.text().startswith("41 cuts, 205 epochs of recovery in total.")
    rounds = player.workbench.estimator.estimate("sweep", "s0", dialog.settings(), (0.8, 0.65, 0.5, 0.35, 0.2))
    assert rounds.seconds > 41 / 5 * at_once.seconds  # what is trained on the way is larger than what is asked for
    dialog.way.choose.setCurrentText("learned masks")
    assert dialog.estimate.text().startswith("Not counting the masks: 5 cuts, 25 epochs of recovery in total.")


def test_masks_on_what_is_cut_are_refused(player, window, dialog) -> None:
    document = player.document
    cut, _ = pair(player, 1, 0.5, 0.9)
    document.add_state(cut, "cut")
    dialog.way.choose.setCurrentText("learned masks")
    assert "nothing is cut" in dialog.problem() and not dialog.accept_button.isEnabled()


def test_one_budget_is_told_as_one(qtbot, player, window, dialog) -> None:
    dialog.budgets.setText("50")
    dialog.length.setValue(1)
    assert dialog.estimate.text().startswith("1 cut, 1 epoch of recovery in total.")
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert player.document.jobs[0].title == "Sweep over 1 budget"


def test_a_recovery_in_minutes_is_one_in_minutes_at_each_budget(qtbot, player, window) -> None:
    document = player.document
    document.set_recovery(replace(document.recovery, minutes=20.0))
    dialog = SweepDialog(window)
    qtbot.addWidget(dialog)
    dialog.budgets.setText("70, 30")
    assert dialog.length.accessibleName() == "Minutes each" and dialog.length.value() == 20.0
    assert isinstance(dialog.length, QDoubleSpinBox)
    dialog.length.setValue(7.5)
    assert dialog.estimate.text().startswith("2 cuts, 15 min of recovery in total. Takes about 1")
    assert dialog.way.settings() == replace(document.recovery, minutes=7.5)


def test_it_can_be_without_training(qtbot, player, dialog) -> None:
    dialog.way.recovery.setCurrentIndex(1)
    assert not dialog.length.isEnabled() and "epochs" not in dialog.estimate.text()
    assert (dialog.way.settings().epochs, dialog.way.settings().repair) == (0, Repair.AUTO)
    dialog.way.recovery.setCurrentIndex(2)
    assert dialog.way.settings() is None


def test_what_is_no_budget_is_refused_in_words(qtbot, dialog) -> None:
    dialog.budgets.setText("80, 120")
    assert not dialog.accept_button.isEnabled() and "below 100" in dialog.missing.text()
    assert shares("80 %, 50, 20") == (0.8, 0.5, 0.2)
    for wrong in ("", "0", "100", "half"):
        with pytest.raises(ValueError):
            shares(wrong)


def test_states_appear_while_it_runs_and_a_click_opens_one(qtbot, player) -> None:
    document = player.document
    workbench = player.workbench
    panel = TradeOffPanel(workbench)
    qtbot.addWidget(panel)
    panel.resize(700, 420)
    panel.show()
    qtbot.waitUntil(lambda: panel.windowHandle().isExposed())
    workbench.sweep.start()
    assert not document.busy and "A sweep is running" in command_named("run.sweep").enabled(document)
    cut, recovered = pair(player, 1, 0.6, 0.9)
    player.make("sweep", cut)
    assert [s.id for s in document.states] == ["s0", "s1"] and document.state.id == "s0" and not document.history.clean
    player.make("sweep", recovered)
    trade = trade_off(document, Axis.MACS)
    points = {p.state: p for p in trade.points}
    assert [*points] == ["s0", "s2"] and points["s2"].parent == "s0"  # the cut was never judged: it says nothing
    where = panel.plot.pixel_of(points["s2"]).toPoint()
    qtbot.mouseMove(panel.plot.viewport(), where)
    qtbot.mouseClick(panel.plot.viewport(), LEFT, pos=where)
    qtbot.waitUntil(lambda: document.state.id == "s2")
    document.plan.undo()
    assert document.state.id == "s0" and "s2" in document.contents.states


def test_what_could_not_be_reached_is_said(player) -> None:
    document = player.document
    workbench = player.workbench
    workbench.sweep.start((0.6, 0.01))
    cut, recovered = pair(player, 1, 0.6, 0.9)
    points = (SweepPoint(0.6, (cut.id, recovered.id)), SweepPoint(0.01, (), Message("any", "It cannot be reached.")))
    player.answer("sweep", Sweep(points, (recovered,)))
    assert "The sweep met 1 of 2 budgets" in player.sentences[-1]
    assert "1%: It cannot be reached." in document.messages.lines()
    states, target = player.link.asked("measure")
    assert states == ("s0", "s2") and target == document.target


def lose(player: Player) -> None:
    """The engine dies: all that runs or waits fails, and another engine has the session again."""
    error = EngineLost("engine.lost", "The engine process ended unexpectedly.")
    for job in player.workbench.runner.queue.jobs():
        player.link.failed.emit(job.id, error)
    player.link.lost.emit(error, False, True, True)
    player.link.restored.emit()


@pytest.mark.parametrize("method", ["sweep", "sensitivity"])
def test_it_goes_on_once_where_the_engine_was_lost(player, method: str) -> None:
    def asked() -> list:
        return [arguments for name, arguments in player.link.calls.values() if name == method]

    jobs = player.workbench.sweep if method == "sweep" else player.workbench.sensitivity
    jobs.start()
    cut, recovered = pair(player, 1, 0.6, 0.9)
    if method == "sweep":
        player.make(method, cut, recovered)
    lose(player)
    assert len(asked()) == 2 and all(one is other for one, other in zip(*asked(), strict=True))
    if method == "sweep":
        player.answer(method, Sweep((SweepPoint(0.6, (cut.id, recovered.id)),), (recovered,)))
        assert "The sweep met 1 of 1 budgets" in player.sentences[-1]
        player.workbench.sweep.start((0.5,))
        assert len(asked()) == 3
    lose(player)
    lose(player)
    assert len(asked()) == (4 if method == "sweep" else 2)  # one that ends the engine each time is left


def test_the_bold_line_joins_what_nothing_else_beats(player) -> None:
    document = player.document
    accuracies = {1: (0.8, 0.91), 3: (0.65, 0.88), 5: (0.5, 0.90), 7: (0.3, 0.8)}
    for number, (share, accuracy) in accuracies.items():
        document.take_arrivals(pair(player, number, share, accuracy))
    trade = trade_off(document, Axis.MACS)
    assert trade is not None
    assert [p.state for p in trade.front] == ["s8", "s6", "s2", "s0"]  # s4 costs more than s6 and scores less
    assert [p.state for p in replace(trade, higher=False).front] == ["s8"]


def test_a_cut_that_was_recovered_is_no_end_of_the_bold_line(player) -> None:
    document = player.document
    cut, recovered = pair(player, 1, 0.6, 0.9)
    judged = replace(cut, metrics=(replace(recovered.metrics[0], value=0.2),), macs=cut.macs - 1)
    document.take_arrivals((judged, recovered))
    trade = trade_off(document, Axis.MACS)
    assert trade is not None and {p.state for p in trade.points} == {"s0", "s1", "s2"}
    assert [p.state for p in trade.front] == ["s2", "s0"]
