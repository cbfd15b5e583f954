"""Baselines from the dialog and the legend to the trade-off, the ledger and the card of one."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from secateur.app.commands import command_named
from secateur.app.dialogs.baselines import Baselines
from secateur.app.document.baseline_queries import baseline_verdict, missing_kinds
from secateur.app.panels.ledger import LedgerPanel
from secateur.app.panels.tradeoff.panel import TradeOffPanel
from secateur.app.panels.tradeoff.points import Cost as Axis
from secateur.app.panels.tradeoff.points import trade_off
from secateur.engine.baselines import stock
from secateur.engine.baselines.protocol import LIBRARIES, Baseline, BaselineKind, BaselineSpec
from secateur.engine.baselines.verdict import PrunedResult, verdict
from secateur.engine.errors import Message
from secateur.engine.planning.goal import suggest
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import OpenedModel, State, StateKind
from secateur.engine.sources import timm_models, torchvision_models
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import Metric, Split
from secateur.engine.workflows.comparison import Comparison, Missed
from tests.app.turns import settle

from ..playing import Player
from ..stand_in import state_of, task_info

LEFT = Qt.MouseButton.LeftButton


def reported(value: float) -> Metric:
    return Metric("top-1", value, 2000, (value * (1 - value) / 2000) ** 0.5, Split.TEST)


def on_report(state: State, value: float) -> State:
    return replace(state, metrics=(reported(value),))


@pytest.fixture
def player(player: Player) -> Player:
    """The original, and a recovered state that keeps half of the MACs; both judged on the test split."""
    document = player.document
    assert document.analysis is not None and document.scores is not None and document.original is not None
    analysis = document.analysis
    gone = suggest(analysis, document.scores, 0.5)
    cut = state_of(analysis, "s1", "s0", StateKind.CUT, gone)
    recovered = state_of(analysis, "s2", "s1", StateKind.RECOVERED, gone)
    recovered = replace(on_report(recovered, 0.90), recovery=RecoverySettings(epochs=4))
    document.contents.states["s0"] = on_report(document.original, 0.914)
    document.take_arrivals((cut, recovered))
    document.plan.go_to("s2")
    player.settle()
    return player


def test_the_job_is_expected_to_take_as_long_as_all_that_is_asked_for(player) -> None:
    baselines, estimator = player.workbench.baselines, player.workbench.estimator
    asked = (BaselineSpec(BaselineKind.RANDOM), BaselineSpec(BaselineKind.SCRATCH, epochs=2))
    each = [baselines.seconds(one.kind, one.epochs) for one in asked]
    assert min(each) > 0
    assert estimator.estimate("compare", "s2", asked, None).seconds == pytest.approx(sum(each))


@pytest.fixture
def panel(qtbot, player) -> TradeOffPanel:
    made = TradeOffPanel(player.workbench)
    qtbot.addWidget(made)
    made.resize(760, 460)
    made.show()
    qtbot.waitUntil(lambda: made.windowHandle().isExposed())
    made.cost.setCurrentIndex(made.cost.findData(Axis.MACS))
    return made


def dialog_over(qtbot, window) -> Baselines:
    made = Baselines(window)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    return made


def baseline(player: Player, kind: BaselineKind, value: float, number: int = 0) -> Baseline:
    state = player.document.contents.states["s2"]
    costs = (state.parameters, state.macs, 4)
    return Baseline(f"b{number}", "s2", BaselineSpec(kind), "resnet18", "", *costs, reported(value))


def test_the_dialog_says_what_each_takes_and_asks_for_those_that_are_checked(qtbot, player, window):
    document = player.document
    workbench = player.workbench
    document.contents.spec = ModelSpec("torchvision:resnet50")
    dialog = dialog_over(qtbot, window)
    original, state = document.original, document.state
    share = state.macs / original.macs
    # four epochs over 6,000 samples: teacher once, student three times its share, each judged; then 10,000 are judged
    chosen = document.task.sizes["val"]
    trained = 4 * (6000 * (1 + 3 * share) + chosen * share) / 1000 + 10 * share
    assert workbench.baselines.seconds(BaselineKind.SCRATCH) == pytest.approx(trained)
    assert workbench.baselines.seconds(BaselineKind.MAGNITUDE) == pytest.approx(4 * (6000 * 4 + chosen) / 1000 + 10)
    assert f"About {round(trained / 60)} min" in dialog.hints[BaselineKind.SCRATCH].text()
    assert "6,000 samples" in dialog.estimate.text() and "in total" in dialog.estimate.text()
    qtbot.mouseClick(dialog.boxes[BaselineKind.SCRATCH], LEFT)
    qtbot.mouseClick(dialog.boxes[BaselineKind.MAGNITUDE], LEFT)
    qtbot.mouseClick(dialog.boxes[BaselineKind.UNCUT], LEFT)
    dialog.epochs.setValue(2)
    qtbot.keyClicks(dialog.stock, "torchvision:resnet34")
    qtbot.mouseClick(dialog.accept_button, LEFT)
    name, asked, target = player.link.asked("compare")
    random = BaselineSpec(BaselineKind.RANDOM, 2)
    assert name == "s2" and asked == (random, BaselineSpec(BaselineKind.STOCK, 2, 0, "torchvision:resnet34"))
    assert target == document.target and window.fronts == ["tradeoff"]


def test_beside_a_state_that_was_never_trained_epochs_are_those_of_fresh_weights(qtbot, player, window):
    document = player.document
    dialog = dialog_over(qtbot, window)
    assert dialog.epochs.text() == "same as the state (4)"
    document.plan.go_to("s1")
    player.settle()
    assert dialog_over(qtbot, window).epochs.text() == f"{RecoverySettings().epochs} for new weights"


def test_data_of_unknown_size_is_not_told_as_none(qtbot, player, window):
    document = player.document
    document.contents.task = replace(document.task, sizes={})
    assert "samples" not in dialog_over(qtbot, window).estimate.text()


def test_beside_a_state_that_was_only_repaired_weights_that_are_fresh_are_trained(player):
    state = player.document.contents.states["s2"]
    player.document.contents.states["s2"] = replace(state, recovery=RecoverySettings(epochs=0))
    beside, judged = player.workbench.baselines, player.workbench.estimator.evaluation_seconds(Split.TEST, 1.0)
    assert beside.epochs() == RecoverySettings().epochs > 0
    assert beside.seconds(BaselineKind.MAGNITUDE) < judged + beside.seconds(BaselineKind.SCRATCH) / 10


def test_a_model_of_no_known_family_needs_its_stock_model_named(qtbot, player, window):
    dialog = dialog_over(qtbot, window)  # the sample has no family
    assert not dialog.boxes[BaselineKind.STOCK].isChecked() and dialog.accept_button.isEnabled()
    qtbot.mouseClick(dialog.boxes[BaselineKind.STOCK], LEFT)
    assert not dialog.accept_button.isEnabled() and "Enter a stock model" in dialog.missing.text()
    assert set(LIBRARIES) == {torchvision_models.PREFIX, timm_models.PREFIX} and not stock.relatives("bundled:resnet")


def test_one_click_in_the_legend_makes_one_and_it_appears_with_its_mark(qtbot, player, panel):
    document = player.document
    offered = [entry.text() for entry in panel.legend.entries]
    assert offered[0] == "+ random removal" and len(offered) == len(BaselineKind)
    qtbot.mouseClick(panel.legend.entries[0], LEFT)
    assert player.link.asked("compare")[1] == (BaselineSpec(BaselineKind.RANDOM),)
    assert not panel.legend.entries and "being made" in command_named("run.baselines").enabled(document)
    made = baseline(player, BaselineKind.RANDOM, 0.88)
    player.make("compare", made)
    assert [entry.text() for entry in panel.legend.entries] == ["random removal"] and not document.history.clean
    points = {p.state: p for p in trade_off(document, Axis.MACS).points}
    assert points["b0"].mark == "random" and points["b0"].y == pytest.approx(88.0)
    assert "b0" not in {p.state for p in trade_off(document, Axis.MACS).front}
    said = verdict(PrunedResult(reported(0.9), document.state.macs), (made,))
    player.answer("compare", Comparison(document.state, (made,), (), said))
    assert [entry.text() for entry in panel.legend.entries][1:] == offered[1:]


def test_a_click_on_its_point_says_what_it_is(qtbot, player, panel):
    player.document.add_baselines((baseline(player, BaselineKind.STOCK, 0.85),))
    point = next(p for p in trade_off(player.document, Axis.MACS).points if p.state == "b0")
    settle(qtbot)  # the legend has made room for itself
    where = panel.plot.pixel_of(point).toPoint()
    qtbot.mouseMove(panel.plot.viewport(), where)
    qtbot.mouseClick(panel.plot.viewport(), LEFT, pos=where)
    qtbot.waitUntil(panel.card.isVisible)
    assert "Baseline of s2: resnet18" in panel.card.title.text()
    assert "85.0\u00a0%" in panel.card.facts.text() and "4 epochs" in panel.card.facts.text()
    assert player.document.state.id == "s2"  # a baseline is no state to go to
    qtbot.mouseClick(panel.card.shut, LEFT)
    assert not panel.card.isVisible()


def test_one_is_opened_as_a_state_but_for_another_model(qtbot, player, panel):
    document = player.document
    random = baseline(player, BaselineKind.RANDOM, 0.88)
    document.add_baselines((random, replace(random, id="b1", source=ModelSpec("torchvision:resnet18"))))
    panel.show_baseline("b1")
    assert panel.card.open.isHidden()
    panel.show_baseline("b0")
    qtbot.mouseClick(panel.card.open, LEFT)
    assert player.link.asked("open_baseline") == ("b0",) and document.busy
    cut = replace(document.contents.states["s1"], id="s3")
    player.make("open_baseline", cut)
    assert "s3" in document.contents.states and document.contents.present == "s2"
    opened = replace(cut, id="s4", parent="s3", kind=StateKind.ATTACHED, metrics=(random.metric,))
    player.answer("open_baseline", opened)
    assert document.contents.present == "s4" and document.metric(document.state) == random.metric
    assert "evaluate" not in [job.method for job in player.workbench.runner.queue.jobs()]
    document.plan.undo()
    assert document.contents.present == "s2"


def test_the_ledger_says_when_it_was_not_worth_pruning(qtbot, player):
    ledger = LedgerPanel(player.workbench)
    qtbot.addWidget(ledger)
    ledger.show()
    assert not ledger.verdict.isVisible()
    player.document.add_baselines((baseline(player, BaselineKind.STOCK, 0.95),))
    assert ledger.verdict.isVisible() and ledger.verdict.property("role") == "marked"
    assert "Not worth pruning: the stock model resnet18 is better by" in ledger.verdict.text()
    player.document.plan.go_to("s0")
    assert not ledger.verdict.isVisible()  # it speaks of the pruned state


def test_what_could_not_be_made_is_said_and_other_data_end_them_all(qtbot, player):
    document = player.document
    workbench = player.workbench
    workbench.baselines.start((BaselineSpec(BaselineKind.STOCK),))
    said = verdict(PrunedResult(reported(0.9), document.state.macs), ())
    missed = Missed(BaselineSpec(BaselineKind.STOCK), Message("any", "No smaller model is known."))
    player.answer("compare", Comparison(document.state, (), (missed,), said))
    assert [str(one) for one in player.failures] == ["No smaller model is known."]
    assert not any("No baseline made so far" in one for one in player.sentences)  # none was
    document.add_baselines((baseline(player, BaselineKind.STOCK, 0.85),))
    document.take_task(task_info())
    assert not document.contents.baselines and baseline_verdict(document) is None


def test_a_cancelled_run_keeps_what_was_finished(player):
    document = player.document
    workbench = player.workbench
    workbench.baselines.start([BaselineSpec(kind) for kind in BaselineKind])
    player.make("compare", baseline(player, BaselineKind.RANDOM, 0.88))
    player.stop("compare")
    assert [*document.contents.baselines] == ["b0"] and "Finished results are kept" in player.sentences[-1]
    assert missing_kinds(document) == tuple(BaselineKind)[1:]


def test_without_a_cut_there_is_nothing_to_stand_beside(player):
    player.document.plan.go_to("s0")
    assert "Cut something first" in command_named("run.baselines").enabled(player.document)


def test_those_of_a_project_are_there_wherever_it_lies_and_nothing_is_unsaved(player):
    document = player.document
    workbench = player.workbench
    project, states = ModelSpec("/on/another/machine"), document.states
    workbench.model.open(project)
    original = replace(states[0])
    player.answer("open", OpenedModel("net", document.analysis, original, (), task_info(), has_history=True))
    player.answer("states", states)
    player.answer("baselines", (baseline(player, BaselineKind.STOCK, 0.85),))
    assert (
        [*document.contents.baselines] == ["b0"] and baseline_verdict(document) is not None and document.history.clean
    )
