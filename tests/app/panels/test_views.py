"""Trade-off, recovery, samples, jobs, history and log, as they are seen and used."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from secateur.app.dialogs.recovery_settings import RecoverySettingsDialog
from secateur.app.document.aspects import Aspect
from secateur.app.document.document import CurvePoint, JobView
from secateur.app.document.message_log import Level, MessageLog, level_of
from secateur.app.panels.compare.runs import runs_of
from secateur.app.panels.history import HistoryPanel
from secateur.app.panels.jobs import JobsPanel
from secateur.app.panels.log import LogPanel
from secateur.app.panels.plot_tables import recovery_table
from secateur.app.panels.recovery.panel import RecoveryPanel
from secateur.app.panels.registry import PANELS
from secateur.app.panels.samples import Picture, SamplesPanel
from secateur.app.panels.tradeoff.panel import TradeOffPanel
from secateur.app.panels.tradeoff.points import Cost, trade_off
from secateur.app.theme import DARK, Scheme, apply
from secateur.app.widgets.buttons import is_available, set_available
from secateur.engine.export.protocol import Exported
from secateur.engine.jobs import Progress
from secateur.engine.process.events import Progressed
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recovery.expected_result import benchmark_points
from secateur.engine.recovery.protocol import Mixing, Optimizer, RecoverySettings, Repair
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.tasks.protocol import Sample, TaskSpec
from tests.app.playing import Window
from tests.app.stand_in import SPEC, StandIn, opened, state_of, task_info, travelled

RUNNING = JobView(7, "Fine-tuning", "epoch 3 of 8", 412, 1100, 80.0, 130.0, method="recover")


def test_states_are_points_at_their_measured_places(shown) -> None:
    document = travelled()
    shown(TradeOffPanel(document.workbench))
    points = {p.state: p for p in trade_off(document, Cost.LATENCY).points}
    assert (points["s0"].x, points["s0"].y) == (0.76, pytest.approx(91.4))
    assert points["s2"].present and points["s2"].parent == "s1"
    assert points["s1"].error == pytest.approx(100 * math.sqrt(0.812 * 0.188 / 2000))


def test_files_in_lower_precision_stand_beside_their_states(shown) -> None:
    document = travelled()
    shown(TradeOffPanel(document.workbench))
    state = document.contents.states["s2"]
    metric = replace(state.metrics[0], value=0.87)
    timing = replace(state.timings[0], median=0.2)
    done = Exported("onnx-int8", ("m.int8.onnx",), 0.02, metric, 1000)
    document.take_export("s2", done)
    assert not any(p.mark for p in trade_off(document, Cost.LATENCY).points)
    document.take_measurements("s2:onnx-int8", timings=(timing,))
    point = next(p for p in trade_off(document, Cost.LATENCY).points if p.mark == "int8")
    assert (point.x, point.y, point.parent) == (0.2, pytest.approx(87.0), "s2")
    assert point not in trade_off(document, Cost.LATENCY).front
    run = next(run for run in runs_of(document) if run.id == "s2:onnx-int8")
    assert run.state == "s2" and "int8" in run.texts[0] and "File: 1.00 kB" in run.tip


def test_a_plan_stands_at_its_exact_cost_and_claims_no_metric(shown) -> None:
    document = opened()
    document.plan.mark(np.arange(40, 60), True)
    trade = trade_off(document, Cost.MACS)
    plan = next(p for p in trade.points if p.kind is None)
    assert plan.x * trade.unit == pytest.approx(document.plan_costs.macs)
    assert math.isnan(plan.y) and "metric unknown" in plan.label
    assert all(p.kind is not None for p in trade_off(document, Cost.LATENCY).points)


def test_a_click_on_a_point_goes_to_its_state(shown, qtbot) -> None:
    document = travelled()
    plot = shown(TradeOffPanel(document.workbench)).plot
    point = next(p for p in trade_off(document, Cost.MACS).points if p.state == "s0")
    qtbot.mouseMove(plot.viewport(), plot.pixel_of(point).toPoint())
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=plot.pixel_of(point).toPoint())
    qtbot.waitUntil(lambda: document.state.id == "s0")


def test_labels_of_the_trade_off_do_not_collide(shown) -> None:
    document = travelled()
    for n in range(3, 7):
        near = replace(document.contents.states["s2"], id=f"s{n}", macs=document.contents.states["s2"].macs + n * 1000)
        document.contents.states[near.id] = near
    document.plan.enter("s2", "")
    boxes = shown(TradeOffPanel(document.workbench), 700, 480).plot.label_boxes()
    assert len(boxes) >= 7
    assert not any(a.intersects(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])


def test_the_trade_off_asks_for_what_is_missing(shown, qtbot) -> None:
    document = opened()
    assert document.original is not None
    document.contents.states["s0"] = replace(document.original, metrics=())
    panel = shown(TradeOffPanel(document.workbench))
    assert not panel.plot.isVisible()
    qtbot.mouseClick(panel._empty.step, Qt.MouseButton.LeftButton)
    assert document.calls == [("evaluate", ())]


def test_plots_recolour_while_they_are_shown(shown, dressed) -> None:
    plot = shown(TradeOffPanel(travelled().workbench)).plot
    apply(dressed, Scheme.DARK)
    assert plot.grab().toImage().pixelColor(plot.width() - 3, 3).name() == DARK.panel
    apply(dressed, Scheme.LIGHT)


def test_recovery_starts_with_what_the_fields_say(shown, qtbot) -> None:
    document = travelled()
    panel = shown(RecoveryPanel(document.workbench), 640, 190)
    assert "What to expect" in panel.text.text()
    panel.epochs.setValue(5)
    assert panel.start.text() == "Recover, 5 epochs"
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    method, (settings,) = document.calls[0]
    assert (method, settings.epochs, settings.learning_rate) == ("recover", 5, 0.0)
    assert panel.rate.text() == "automatic"


def test_what_to_expect_has_figures_of_benchmarks_of_the_same_kind_alone(shown) -> None:
    document = travelled()
    panel = shown(RecoveryPanel(document.workbench), 640, 190)
    assert document.task is not None
    said = panel.text.text()
    assert any(one.subject in said and one.source not in said for one in benchmark_points())
    assert "usually recover most" not in said and "Recover continues from there" in said
    document.contents.task = replace(document.task, classes=tuple(map(str, range(1000))))
    panel.refresh()
    assert "usually recover most" in panel.text.text() and "benchmark" not in panel.text.text()


def test_a_repair_without_training_is_a_recovery_of_no_epochs(shown, qtbot) -> None:
    document = travelled()
    panel = shown(RecoveryPanel(document.workbench), 640, 190)
    panel.epochs.setValue(0)
    assert "as 160 of training" in panel.text.text() and panel.start.text() == "Repair without training"
    panel.repair.setCurrentText("none")
    assert "only the BatchNorm statistics" in panel.text.text()
    panel.repair.setCurrentText("least squares")
    assert "no training" in panel.text.text() and panel.start.text() == "Repair without training"
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    _, (settings,) = document.calls[0]
    assert (settings.epochs, settings.repair) == (0, Repair.LEAST_SQUARES)


def test_further_settings_hold_for_the_next_recovery(shown, qtbot) -> None:
    document = travelled()
    panel, window = shown(RecoveryPanel(document.workbench), 640, 190), Window(document.workbench)
    qtbot.addWidget(window)
    qtbot.mouseClick(panel.more, Qt.MouseButton.LeftButton)
    dialog = window.findChild(RecoverySettingsDialog)
    fields: dict[str, Any] = dialog.fields.widgets
    fields["optimizer"].setCurrentText("SGD")
    fields["patience"].setValue(3)
    fields["features"].setValue(0.5)
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    panel.epochs.setValue(2)
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    _, (settings,) = document.calls[0]
    wanted = RecoverySettings(epochs=2, optimizer=Optimizer.SGD, patience=3, features=0.5)
    assert replace(settings, learning_rate=wanted.learning_rate) == wanted


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("minutes", 20, "20 min"), ("steps", 2000, "2,000 steps"), ("tokens", 10_000_000, "10M tokens")],
)
def test_another_budget_takes_the_place_of_epochs(shown, qtbot, name: str, value: int, words: str) -> None:
    document = travelled()
    document.contents.task = replace(task_info(), tokens=64)
    panel, window = shown(RecoveryPanel(document.workbench), 640, 190), Window(document.workbench)
    qtbot.addWidget(window)
    qtbot.mouseClick(panel.more, Qt.MouseButton.LeftButton)
    dialog = window.findChild(RecoverySettingsDialog)
    fields: dict[str, Any] = dialog.fields.widgets
    assert fields[name].text() == "by epochs"
    other = fields["steps" if name == "minutes" else "minutes"]
    other.setValue(3)
    fields[name].setValue(value)
    assert not dialog.accept_button.isEnabled()  # one of them, or neither could be said to end it
    other.setValue(0)
    assert dialog.accept_button.isEnabled() and other.text() == f"by {name}"
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    assert not panel.epochs.isVisible() and panel.length.isVisible() and panel.length.text() == words
    assert f"takes {words}," in panel.length.toolTip() and "first epochs" not in panel.text.text()
    assert panel.start.text() == f"Recover, {words}"
    assert name != "minutes" or panel.text.text().startswith("About 20 min")
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    _, (settings,) = document.calls[0]
    assert (getattr(settings, name), settings.passes) == (value, None)


def test_a_budget_of_tokens_is_refused_for_images(shown, qtbot) -> None:
    document = travelled()
    panel, window = shown(RecoveryPanel(document.workbench), 640, 190), Window(document.workbench)
    qtbot.addWidget(window)
    qtbot.mouseClick(panel.more, Qt.MouseButton.LeftButton)
    dialog = window.findChild(RecoverySettingsDialog)
    fields: dict[str, Any] = dialog.fields.widgets
    fields["tokens"].setValue(10_000)
    assert not dialog.accept_button.isEnabled() and "no tokens to count" in dialog.missing.text()
    fields["tokens"].setValue(0)
    assert dialog.accept_button.isEnabled()


def test_images_are_mirrored_where_the_teacher_alone_answers(shown, qtbot) -> None:
    document = travelled()
    panel, window = shown(RecoveryPanel(document.workbench), 640, 190), Window(document.workbench)
    qtbot.addWidget(window)
    qtbot.mouseClick(panel.more, Qt.MouseButton.LeftButton)
    dialog = window.findChild(RecoverySettingsDialog)
    fields: dict[str, Any] = dialog.fields.widgets
    always = fields["mirror"].model().item(fields["mirror"].findText("always"))
    assert dialog.settings().mirror is None and not always.isEnabled()
    fields["distillation"].setValue(1)
    fields["mirror"].setCurrentText("always")
    assert always.isEnabled() and dialog.settings().mirror
    fields["distillation"].setValue(0.9)
    assert dialog.settings().mirror is None and not always.isEnabled()
    fields["mirror"].setCurrentText("never")
    assert dialog.settings().mirror is False
    fields["distillation"].setValue(1)
    fields["mirror"].setCurrentText("always")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    _, (settings,) = document.calls[0]
    assert (settings.distillation, settings.mirror) == (1.0, True)


def test_recovery_says_why_it_cannot_start(shown) -> None:
    for document, words in (
        (opened(task=False), "Attach data"),
        (opened(), "Cut something first"),
        (StandIn(), "Open a model"),
    ):
        panel = shown(RecoveryPanel(document.workbench))
        assert not panel.start.isEnabled() and words in panel.text.text()


def test_a_recovery_waits_for_what_the_command_waits_for(shown, qtbot, player) -> None:
    document = player.document
    workbench = player.workbench
    gone = document.analysis.empty()
    gone[document.analysis.sets[2].first] = True
    document.add_state(state_of(document.analysis, "s1", "s0", StateKind.CUT, gone, 0.5), "cut")
    player.settle()
    panel = shown(RecoveryPanel(workbench), 640, 190)
    assert panel.start.isEnabled()
    drawn = panel.curves.loss.sigPlotChanged
    with qtbot.assertNotEmitted(drawn):
        document.plan.mark([document.analysis.sets[3].first], True)
    assert not panel.start.isEnabled() and "Cut the marked structures first" in panel.text.text()
    document.plan.clear_marks()
    document.contents.training.points.append(CurvePoint(1, 2.0, 0.5))
    workbench.sensitivity.start()
    assert not panel.start.isEnabled() and panel.start.toolTip().startswith("Sensitivity is being measured.")
    workbench.states.recover(document.recovery)  # as the session's own ways do: nothing is begun, and nothing is lost
    assert "recover" not in [method for method, _ in player.link.calls.values()]
    assert document.curve == (CurvePoint(1, 2.0, 0.5),)
    player.stop("sensitivity")
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    assert player.link.asked("recover")[0] == "s1" and document.curve == ()


def test_the_focus_stays_on_recover_when_its_job_starts(shown, qtbot) -> None:
    document = travelled()
    panel = shown(RecoveryPanel(document.workbench))
    set_available(panel.start, True)
    panel.activateWindow()
    panel.start.setFocus()
    qtbot.waitUntil(panel.start.hasFocus)
    document.jobs = (RUNNING,)
    document.announce(Aspect.JOBS)
    qtbot.waitUntil(lambda: panel.cancel.isVisible())
    assert panel.start.hasFocus() and not is_available(panel.start)
    qtbot.keyClick(panel.start, Qt.Key.Key_Space)
    assert document.calls == []


def test_a_running_recovery_is_drawn_and_can_be_cancelled(shown, qtbot) -> None:
    document = travelled()
    panel = shown(RecoveryPanel(document.workbench), 640, 190)
    document.jobs = (RUNNING,)
    nan = float("nan")
    document.contents.training.points = [
        *(
            CurvePoint(0, nan, 0.3),
            CurvePoint(0, nan, 0.7),
            CurvePoint(1, 2.0, nan),
            CurvePoint(2, 1.5, 0.8),
            CurvePoint(3, 1.2, 0.87),
            CurvePoint(4, nan, 0.86),
        )
    ]
    document.announce(Aspect.JOBS, Aspect.CURVE)
    qtbot.waitUntil(lambda: panel.cancel.isVisible())
    assert panel.text.text() == "epoch 3 of 8, step 4, 2 min 10 s left"
    best = "best on the val split: 87.0 % at step 3; dashed: original on the val split, 91.4 %"
    assert panel.best.text() == best
    assert panel.curves.loss.getData()[1].tolist() == [2.0, 1.5, 1.2]
    assert panel.curves.measured.getData()[1].tolist() == pytest.approx([70, 80, 87, 86])
    assert panel.curves.before.getData()[1].tolist() == pytest.approx([30])
    assert panel.start.isVisible() and not panel.start.isEnabled()
    qtbot.mouseClick(panel.cancel, Qt.MouseButton.LeftButton)
    assert document.calls == [("cancel", (7,))]
    document.jobs = (replace(RUNNING, cancelling=True),)
    document.announce(Aspect.JOBS)
    qtbot.waitUntil(lambda: not panel.cancel.isEnabled())


def test_domains_that_are_mixed_have_curves_of_their_own(shown) -> None:
    document = travelled()
    panel = shown(RecoveryPanel(document.workbench), 640, 230)
    document.contents.training.points = [
        CurvePoint.of({"step": 0, "share/code": 0.5, "share/wiki": 0.5, "reference/code": 1.0, "reference/wiki": 2.0}),
        CurvePoint.of({"step": 5, "loss": 2.5}),
        CurvePoint.of({"step": 10, "metric": 0.4}),
        CurvePoint.of(
            {"step": 10}
            | {"share/code": 0.7, "loss/code": 1.9, "reference/code": 1.0}
            | {"share/wiki": 0.3, "loss/wiki": 2.1, "reference/wiki": 2.0}
        ),
    ]
    panel.refresh()
    assert panel.which.isVisible() and panel.curves.isVisible() and not panel.domains.isVisible()
    assert panel.curves.loss.getData()[0].tolist() == [5] and panel.curves.measured.getData()[0].tolist() == [10]
    panel.which.setCurrentIndex(1)
    domains = panel.domains
    assert panel.heightForWidth(640) <= 230  # else the dock scrolls, and the legend and the buttons are below its edge
    assert domains.isVisible() and domains.names == ("code", "wiki")
    assert [line.getData()[1].tolist() for line in domains.losses] == [[1.9], [2.1]]
    assert [line.getData()[1].tolist() for line in domains.shares] == [pytest.approx([50, 70]), pytest.approx([50, 30])]
    assert [line.value() for line in domains.references] == [1.0, 2.0]
    assert "code 1.90 (1.00), 70.0 %" in domains.legend.text().replace("\u00a0", " ")
    table = recovery_table(document.curve)
    assert table.names[3:6] == ("loss of code", "reference of code", "share of code")
    assert table.columns[5][-1] == 0.7
    document.contents.training.points = [CurvePoint(1, 2.0, 0.5)]
    panel.refresh()
    assert not panel.which.isVisible() and panel.curves.isVisible()


def test_only_settings_that_the_data_is_about_are_shown(shown, qtbot) -> None:
    def hidden(*, given: RecoverySettings | None = None, **data: Any) -> set[str]:
        document = travelled()
        document.contents.task = replace(task_info(), **data)
        panel, window = shown(RecoveryPanel(document.workbench), 640, 190), Window(document.workbench)
        qtbot.addWidget(window)
        panel.settings = given or panel.settings
        qtbot.mouseClick(panel.more, Qt.MouseButton.LeftButton)
        (dialog,) = window.findChildren(RecoverySettingsDialog)
        return {name for name, field in dialog.fields.widgets.items() if not field.isVisibleTo(dialog)}

    text = Sample(None, "", "", (16,), 0, 0, "to be or not")
    assert hidden() == {"tokens", "mixing", "references"}
    assert hidden(tokens=64, samples=(text,)) == {"mirror", "mixing", "references"}
    assert hidden(tokens=64, samples=(text,), domains=("code", "wiki")) == {"mirror"}
    assert hidden(tokens=64, samples=(text,), given=RecoverySettings(mirror=False)) == {"mixing", "references"}


def test_reference_losses_are_those_of_the_domains_of_the_data(shown, qtbot) -> None:
    document = travelled()
    document.contents.task = replace(task_info(), tokens=64, domains=("code", "wiki"))
    panel, window = shown(RecoveryPanel(document.workbench), 640, 190), Window(document.workbench)
    qtbot.addWidget(window)
    qtbot.mouseClick(panel.more, Qt.MouseButton.LeftButton)
    dialog = window.findChild(RecoverySettingsDialog)
    fields: dict[str, Any] = dialog.fields.widgets
    line = fields["references"]
    assert "code=2.5,wiki=2.5" in line.placeholderText()
    line.setText("code=1.2,wiki=")
    assert not dialog.accept_button.isEnabled() and "loss for each domain" in dialog.missing.text()
    line.setText("code=1.2,wiki=2.0")
    assert not dialog.accept_button.isEnabled()  # nothing compares with them yet
    fields["mixing"].setCurrentIndex(fields["mixing"].findData(Mixing.DYNAMIC))
    assert dialog.accept_button.isEnabled()
    line.setText("code=1.2,books=2.0")
    assert not dialog.accept_button.isEnabled() and "no domain books" in dialog.missing.text()
    line.setText("1M:code=1.2,wiki=2 2M:code=1,wiki=1.8")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    _, (settings,) = document.calls[0]
    assert [one.parameters for one in settings.references] == [1_000_000, 2_000_000]


def test_the_curve_says_whose_recovery_it_is_and_is_gone_with_the_data_that_judged_it(shown, player) -> None:
    document = player.document
    workbench = player.workbench
    for name in ("s1", "s2"):
        document.add_state(state_of(document.analysis, name, "s0", StateKind.CUT, document.removed, 0.5), "cut")
        player.settle()
    panel = shown(RecoveryPanel(workbench), 640, 190)

    def trains(method: str, *steps: float) -> None:
        points = tuple({"step": step, "loss": 1.0, "top-1": 0.8} for step in steps)
        player.link.progressed.emit(player.link.last(method), Progressed(1, Progress("on"), points))

    workbench.states.recover(document.recovery)
    trains("recover", 0, 1, 2)
    player.stop("recover")
    document.plan.undo()
    assert panel.best.text().startswith("Recovery of cut s2: best on the val split: 80.0 %")
    workbench.recipes.apply("recipe.json", Mode.SAME_GOAL)
    assert document.curve == () and panel.best.text() == ""
    trains("apply_recipe", 0, 1, 2)
    trains("apply_recipe", 0, 1)  # its next recovery
    panel.refresh()
    assert [point.step for point in document.curve] == [0, 1] and panel.best.text().startswith("best on")
    player.stop("apply_recipe")
    document.take_task(replace(task_info(), spec=TaskSpec("bundled")))
    assert document.curve == () and panel.best.text() == ""


def test_the_baseline_is_compared_with_what_was_expected(shown, qtbot) -> None:
    panel = shown(SamplesPanel(opened().workbench), 640, 190)
    assert panel.scores.text().replace("\u00a0", " ") == "The original reaches 91.4 % \u00b1 0.63, n = 2,000."
    panel.expected.setFocus()
    panel.expected.selectAll()
    qtbot.keyClicks(panel.expected, "95")
    qtbot.keyClick(panel.expected, Qt.Key.Key_Return)
    assert panel.verdict.text().startswith("\u22123.6 points from the expected value.")
    panel.expected.setValue(91.5)
    assert panel.verdict.text().startswith("As expected")


def test_where_nobody_said_on_how_many_samples_it_was_judged_none_are_told(shown) -> None:
    document = opened()
    panel = shown(SamplesPanel(document.workbench), 640, 190)
    document.take_measurements("s0", metrics=(replace(document.original.metrics[0], count=0),))
    panel.expected.setValue(91.5)
    assert panel.verdict.text() == "As expected."


def test_data_prepared_otherwise_than_in_training_is_said_until_the_score_is_as_expected(
    shown,
) -> None:
    document = opened()
    panel = shown(SamplesPanel(document.workbench), 640, 190)
    assert not panel.hint.isVisible()
    sentence = (
        "The model gets 56 of 256 samples right with the current normalisation, and 214 with the normalisation for "
        "ImageNet."
    )
    document.take_task(replace(task_info(), notes=(sentence,)))
    document.take_metrics(tuple(replace(one, metrics=opened().states[0].metrics) for one in document.states))
    assert panel.hint.isVisible() and panel.hint.text() == sentence and sentence in document.messages.lines()
    panel.expected.setValue(91.5)
    assert not panel.hint.isVisible()


def test_what_was_expected_is_of_one_model_on_one_set_of_data_however_that_is_prepared(shown, player) -> None:
    document = player.document
    panel = shown(SamplesPanel(player.workbench), 640, 190)
    spec = TaskSpec("folder", "images")
    for other, kept in ((spec, False), (replace(spec, mean=(0.5,)), True), (replace(spec, path="others"), False)):
        panel.expected.setValue(91.5)
        document.take_task(replace(task_info(), spec=other))
        assert (panel.expected.value() == 91.5) is kept
    panel.expected.setValue(91.5)
    analysis = document.analysis
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.8)
    document.adopt(OpenedModel("other", analysis, state, (), document.task, SPEC), SPEC)
    assert panel.expected.value() == 0


def test_data_without_samples_says_nothing_of_the_former_ones(shown) -> None:
    document = opened()
    panel = shown(SamplesPanel(document.workbench), 640, 190)
    assert panel._range.text()
    document.take_task(replace(task_info(), samples=()))
    assert panel._range.text() == ""


def test_a_better_preparation_is_taken_over_by_a_button(shown, qtbot) -> None:
    document = opened()
    panel = shown(SamplesPanel(document.workbench), 640, 260)
    assert not panel.better.isVisible()
    better = TaskSpec("folder", "images", (0.286,), (0.353,))
    document.take_task(replace(task_info(), notes=("Another mean is better.",), better=better))
    document.take_metrics(tuple(replace(one, metrics=opened().states[0].metrics) for one in document.states))
    asked: list[TaskSpec] = []
    document.workbench.model.attach_task = asked.append  # pyright: ignore[reportAttributeAccessIssue]
    assert panel.better.text() == "Use this normalisation"
    qtbot.mouseClick(panel.better, Qt.MouseButton.LeftButton)
    assert asked == [better]
    order = TaskSpec("folder", "images", options=(("classes", '["b", "a"]'),))
    document.take_task(replace(task_info(), notes=("The classes have another order.",), reordered=order))
    document.take_metrics(tuple(replace(one, metrics=opened().states[0].metrics) for one in document.states))
    qtbot.waitUntil(lambda: panel.better.text() == "Use this order")
    qtbot.mouseClick(panel.better, Qt.MouseButton.LeftButton)
    assert asked == [better, order]


def test_samples_are_shown_with_label_and_prediction(shown) -> None:
    from PySide6.QtWidgets import QLabel

    panel = shown(SamplesPanel(opened().workbench), 640, 190)
    texts = [each.text() for each in panel.findChildren(QLabel)]
    assert "Dress" in texts and "predicts Coat" in texts
    assert any("1x28x28, values \u22120.810 to 2.02" in t for t in texts)


def test_samples_of_text_are_shown_as_the_model_reads_them(shown) -> None:
    from PySide6.QtWidgets import QLabel

    document = opened()
    text = "[CLS] never been to hard rock cas ##ino before, will never ever step forward in it again! [SEP]"
    samples = (Sample(None, "negative", "positive", (64,), 0.0, 3999.0, text), Sample(None, "", "", (2,), 0, 1, ""))
    document.take_task(replace(task_info(), samples=samples))
    panel = shown(SamplesPanel(document.workbench), 640, 260)
    labels = {one.text(): one for one in panel.findChildren(QLabel) if one.isVisible()}
    assert text in labels and "negative" in labels and labels["predicts positive"].property("role") == "marked"
    assert labels[text].height() >= labels[text].heightForWidth(labels[text].width()) > 20, "not cut off"
    assert not [one for one in panel.findChildren(Picture) if one.isVisible()]
    assert any(one.endswith("values 0 to 4,000.") or one.endswith("values 0 to 4000.") for one in labels), labels


def test_jobs_come_go_and_can_be_cancelled(shown, qtbot) -> None:
    document = opened()
    panel = shown(JobsPanel(document.workbench))
    document.jobs = (RUNNING, JobView(8, "Measure on the target", "", 0, 0, 0.0, -1.0))
    document.announce(Aspect.JOBS)
    assert list(panel.rows) == [7, 8]
    qtbot.mouseClick(panel.rows[7].cancel, Qt.MouseButton.LeftButton)
    assert document.calls == [("cancel", (7,))]
    kept = panel.rows[8]
    document.jobs = (JobView(8, "Measure on the target", "run 3", 3, 9, 2.0, 4.0),)
    document.announce(Aspect.JOBS)
    assert panel.rows == {8: kept}


def test_history_goes_to_a_state_by_click_and_by_key(shown, qtbot) -> None:
    document = travelled()
    panel = shown(HistoryPanel(document))
    view = panel.view
    first = view.model().index(0, 0)
    assert view.model().index(0, 0, first).data() == "cut s1"
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(first).center())
    assert document.state.id == "s0"
    view.setCurrentIndex(view.model().index(0, 0, view.model().index(0, 0)))
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert document.state.id == "s1"


def lines_of(panel: LogPanel) -> list[str]:
    """What is shown, without the times."""
    return [line[10:] for line in panel.text.toPlainText().splitlines()]


def test_the_log_grows_and_is_cleared(shown, qtbot) -> None:
    document = StandIn()
    panel = shown(LogPanel(document.workbench))
    for n in range(3):
        document.note(f"line {n}")
    qtbot.waitUntil(lambda: lines_of(panel) == ["line 0", "line 1", "line 2"])
    qtbot.mouseClick(panel.clear, Qt.MouseButton.LeftButton)
    assert lines_of(panel) == [] and document.messages.lines() == ()
    document.note("again")
    qtbot.waitUntil(lambda: lines_of(panel) == ["again"])


def test_the_log_is_filtered_by_level_and_by_words_also_what_comes_later(shown, qtbot) -> None:
    document = StandIn()
    panel = shown(LogPanel(document.workbench))
    document.note("loading tensors", Level.OUTPUT)
    document.note("opened net")
    document.note("it broke", Level.ERROR)
    panel.level.setCurrentIndex(1)
    assert lines_of(panel) == ["opened net", "error  it broke"]
    panel.level.setCurrentIndex(3)
    document.note("opened again")
    document.note("broken again", Level.ERROR)
    qtbot.waitUntil(lambda: lines_of(panel) == ["error  it broke", "error  broken again"])
    panel.level.setCurrentIndex(0)
    qtbot.keyClicks(panel.search, "OPENED")
    assert lines_of(panel) == ["opened net", "opened again"]
    qtbot.mouseClick(panel.copy, Qt.MouseButton.LeftButton)
    assert QApplication.clipboard().text() == panel.text.toPlainText()


def test_a_log_that_is_full_forgets_the_oldest_lines_and_is_not_written_anew(shown, qtbot) -> None:
    document = StandIn()
    document.messages = MessageLog(most=50)
    panel = shown(LogPanel(document.workbench))
    for n in range(120):
        document.note(f"line {n}")
    assert len(document.messages.lines()) == 50 and document.messages.lines()[0] == "line 70"
    qtbot.waitUntil(lambda: lines_of(panel)[-1] == "line 119")
    document.note("one more")
    qtbot.waitUntil(lambda: lines_of(panel)[-2:] == ["line 119", "one more"])


def test_the_log_is_saved_as_it_is_shown(shown, qtbot, tmp_path) -> None:
    document = StandIn()
    panel = shown(LogPanel(document.workbench))
    document.note("kept")
    document.note("left out", Level.OUTPUT)
    panel.level.setCurrentIndex(1)
    panel.save_to(str(tmp_path / "my.log"))
    qtbot.waitUntil((tmp_path / "my.log").exists)
    assert (tmp_path / "my.log").read_text()[10:] == "kept\n"
    panel.save_to(str(tmp_path / "no" / "folder" / "x"))  # is made
    qtbot.waitUntil((tmp_path / "no" / "folder" / "x").exists)


def test_what_code_prints_has_a_level_by_its_words() -> None:
    said = {
        "UserWarning: lr_scheduler before optimizer": Level.WARNING,
        "Traceback (most recent call last):": Level.ERROR,
        "epoch 3 done": Level.OUTPUT,
        "KeyError: 'fc'": Level.ERROR,
        "terror": Level.OUTPUT,
    }
    assert {text: level_of(text) for text in said} == said


def test_the_history_never_scrolls_sideways(shown) -> None:
    panel = shown(HistoryPanel(travelled()), 640, 180)
    for width in (442, 1200, 436):
        panel.resize(width, 180)
        QApplication.processEvents()
        assert panel.view.horizontalScrollBar().maximum() == 0


def without_data(document) -> None:
    bare = replace(document.original, metrics=())
    document.contents.task, document.contents.states[bare.id] = None, bare


@pytest.mark.parametrize("kind", ["tradeoff", "sensitivity", "samples"])
def test_where_data_is_missing_a_button_attaches_it(player, window, qtbot, kind: str) -> None:
    without_data(player.document)
    panel: Any = next(one for one in PANELS if one.module == kind).make(player.workbench)
    qtbot.addWidget(panel)
    panel.show()
    assert panel._empty.step.text() == "Attach data..."
    qtbot.mouseClick(panel._empty.step, Qt.MouseButton.LeftButton)
    assert window.ran == ["file.data"]


def test_the_ledger_attaches_data_where_there_is_no_metric(player, window, qtbot) -> None:
    without_data(player.document)
    panel: Any = next(one for one in PANELS if one.module == "ledger").make(player.workbench)
    qtbot.addWidget(panel)
    panel.show()
    qtbot.mouseClick(panel.cells["metric"].step, Qt.MouseButton.LeftButton)
    assert window.ran == ["file.data"]


def test_an_error_stays_in_the_log_whatever_a_job_writes_after_it() -> None:
    log = MessageLog(most=20)
    log.write("the file is damaged", Level.ERROR)
    for step in range(100):
        log.write(f"step {step}", Level.STEP)
        log.write(f"printed {step}", Level.OUTPUT)
    lines = log.lines()
    assert lines[0] == "the file is damaged" and len(lines) == 41 and log.total == 201
    assert list(lines[-2:]) == ["step 99", "printed 99"] and log.since(199) == lines[-2:]
