"""A target shape is typed, checked by the engine, and planned or pruned to as it was chosen."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from shiboken6 import isValid

from secateur.app.commands import command_named
from secateur.app.dialogs import target_shape
from secateur.app.dialogs.target_shape import TargetShape
from secateur.app.document.job_state import CurvePoint
from secateur.app.panels.recovery.panel import recovery_job
from secateur.app.window.top_bar import TopBar
from secateur.engine.errors import EngineLost, Message, SecateurError
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Choose, Cost, Goal, KindLimit, Limit
from secateur.engine.planning.target_shape import shape_of
from secateur.engine.process.events import Progressed
from secateur.engine.session.states import PlanIntent, StateKind
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from secateur.engine.workflows.shape_answer import ShapeAnswer, ShapePlan, ShapeProblem

from ..playing import Player, Window
from ..stand_in import state_of

LEFT = Qt.MouseButton.LeftButton
HALF = KindLimit(Kind.FILTER, 0.5)
SETTLED = 60
"""Milliseconds without a key until a shape is checked."""


@pytest.fixture
def dialog(qtbot, player: Player, window: Window, monkeypatch: pytest.MonkeyPatch) -> Iterator[TargetShape]:
    monkeypatch.setattr(target_shape, "SETTLED", SETTLED)
    made = TargetShape(window)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    answer(player)
    yield made
    made.close()


def answer(player: Player, *problems: ShapeProblem) -> ShapeAnswer:
    """What the engine says of what was asked last."""
    _, intent, scores, _ = player.link.asked("shape")
    analysis = player.document.analysis
    assert analysis is not None and isinstance(intent, PlanIntent) and intent.goal is not None
    sizes = shape_of(analysis)
    shape = intent.goal.shape or ((HALF,) if intent.goal.limits else ())
    if problems:
        made = ShapeAnswer(shape, sizes, problems=problems)
    else:
        removed = solve(analysis, scores, Goal((), shape=shape)).removed if shape else analysis.empty()
        before, after = costs(analysis), costs(analysis, removed)
        plan = ShapePlan("net", shape_of(analysis, removed), (before.parameters, after.parameters), (1, 1), None)
        made = ShapeAnswer(shape, sizes, plan=plan, removed=removed)
    player.answer("shape", made)
    return made


def typed(qtbot, player: Player, dialog: TargetShape, kind: Kind, text: str) -> None:
    before = len(player.link.sent)
    QTest.keyClicks(dialog.lines[kind], text)
    assert not dialog.accept_button.isEnabled()  # until the engine has said what it comes to
    qtbot.waitUntil(lambda: len(player.link.sent) > before)


def test_a_shape_is_asked_for_once_typing_rests_and_becomes_goal_and_plan(qtbot, player, window, dialog):
    document, bar = player.document, TopBar(window)
    qtbot.addWidget(bar)
    assert dialog.focusWidget() is next(iter(dialog.lines.values()))
    assert dialog.ranges[Kind.FILTER].text().startswith("of ")
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    intent = player.link.asked("shape")[1]
    assert intent.goal.shape == (HALF,) and not intent.goal.limits
    made = answer(player)
    assert dialog.figures.cells[0][2].text() and dialog.accept_button.text() == "Plan shape"
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert document.goal.shape == (HALF,) and document.contents.wanted.shape == (HALF,)
    assert not document.contents.wanted.limits and not document.marked.any()
    planned = answer(player)
    assert (document.marked == planned.removed).all() and (planned.removed == made.removed).all()
    bar.refresh()
    assert bar.kinds.accessibleName() == "Target shape: 50 % of filters"
    assert document.history.undo_text == "plan the target shape"
    document.plan.undo()
    assert not document.marked.any() and not document.goal.shape
    bar.refresh()
    assert bar.kinds.accessibleName() == "Keep by kind: none"


def test_what_no_plan_has_is_told_and_a_click_takes_the_nearest(qtbot, player, dialog):
    typed(qtbot, player, dialog, Kind.FILTER, "64")
    answer(player, ShapeProblem(Message("plan.uneven", "Enter a share."), Kind.FILTER, (HALF,)))
    assert dialog.missing.text() == "Enter a share." and not dialog.accept_button.isEnabled()
    (offer,) = (one for one in dialog.offers.children() if hasattr(one, "click"))
    assert offer.text() == "Keep 50 % of filters"
    before = len(player.link.sent)
    qtbot.mouseClick(offer, LEFT)
    assert dialog.lines[Kind.FILTER].text() == "50%"
    qtbot.waitUntil(lambda: len(player.link.sent) > before)
    answer(player)
    assert dialog.accept_button.isEnabled() and not dialog.offers.isVisible()


def test_a_check_that_waits_is_forgotten_with_the_dialog(qtbot, player, window):
    queue = player.workbench.runner.queue
    player.workbench.runner.run("Another job", print, "baselines")
    made = TargetShape(window)
    made.show()
    assert [job.method for job in queue.jobs()] == ["baselines", "shape"]
    made.reject()
    assert [job.method for job in queue.jobs()] == ["baselines"]
    qtbot.waitUntil(lambda: not isValid(made))


@pytest.mark.parametrize(
    ("error", "words"), [(Cancelled(), "The check was cancelled."), (SecateurError("x.y", "It broke."), "It broke.")]
)
def test_a_check_that_fails_is_told_and_not_asked_again(qtbot, player, dialog, error, words):
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    before = len(player.link.sent)
    player.link.failed.emit(player.link.last("shape"), error)
    qtbot.wait(2 * SETTLED)
    assert len(player.link.sent) == before
    assert dialog.missing.text().startswith(words) and not dialog.accept_button.isEnabled()
    typed(qtbot, player, dialog, Kind.FILTER, " ")
    answer(player)
    assert not dialog.missing.text() and dialog.accept_button.isEnabled()


def test_a_check_is_asked_again_once_after_the_engine_was_lost(qtbot, player, dialog):
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    before = len(player.link.sent)
    lost = EngineLost("window.lost", "The engine stopped.")
    player.link.failed.emit(player.link.last("shape"), lost)
    qtbot.waitUntil(lambda: len(player.link.sent) > before)
    player.link.failed.emit(player.link.last("shape"), lost)
    qtbot.wait(2 * SETTLED)
    assert len(player.link.sent) == before + 1 and dialog.missing.text() == "The engine stopped."


def test_a_question_that_runs_is_cancelled_when_something_else_is_typed(qtbot, player, dialog):
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    running = player.link.last("shape")
    dialog.lines[Kind.FILTER].selectAll()
    QTest.keyClicks(dialog.lines[Kind.FILTER], "40%")
    qtbot.waitUntil(lambda: running in player.link.cancelled)
    sent = len(player.link.sent)
    player.link.failed.emit(running, Cancelled())  # nothing is said of it, and it is not asked for again
    qtbot.waitUntil(lambda: len(player.link.sent) > sent)
    assert player.failures == [] and player.link.last("shape") != running
    answer(player)
    assert dialog.accept_button.isEnabled()


@pytest.mark.parametrize("text", ["some", "0", "150%"])
def test_what_is_no_number_is_said_and_not_asked(qtbot, player, dialog, text):
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    dialog.lines[Kind.FILTER].selectAll()
    before, original = len(player.link.sent), [row[0].text() for row in dialog.figures.cells]
    dialog._say_waiting()
    QTest.keyClicks(dialog.lines[Kind.FILTER], text)
    qtbot.waitUntil(lambda: "Filters: enter a share" in dialog.missing.text())
    qtbot.wait(SETTLED)
    assert len(player.link.sent) == before
    assert not dialog.figures.notes.text() and not dialog._patience.isActive()
    assert [row[0].text() for row in dialog.figures.cells] == original and "\u2013" not in original[:2]
    assert {row[1].text() for row in dialog.figures.cells} == {"\u2013"}
    answer(player)  # of the number before
    assert {row[1].text() for row in dialog.figures.cells} == {"\u2013"} and not dialog.accept_button.isEnabled()


def test_a_budget_becomes_numbers_and_a_typed_number_is_no_budgets(qtbot, player, dialog):
    before = len(player.link.sent)
    dialog.source.setCurrentText("from a budget")
    dialog.source.activated.emit(dialog.source.currentIndex())
    assert dialog.cost.cost is player.document.goal.cost
    dialog.cost.choose(Cost.PARAMETERS)
    dialog.keep.setValue(40)
    qtbot.waitUntil(lambda: len(player.link.sent) > before)
    assert player.link.asked("shape")[1].goal.limits == (Limit(Cost.PARAMETERS, 0.4),)
    answer(player)
    assert dialog.lines[Kind.FILTER].text() == "50%" and dialog.accept_button.isEnabled()
    assert f"multiple of {player.document.target.multiple}." in dialog.figures.notes.text()
    typed(qtbot, player, dialog, Kind.BLOCK, "3")
    assert dialog.source.currentText() == "entered below" and not dialog.keep.isVisible()
    assert player.link.asked("shape")[1].goal.shape == (KindLimit(Kind.BLOCK, count=3), HALF)


def test_masks_start_a_job_whose_result_is_entered_as_a_step(qtbot, player, window, dialog):
    document = player.document
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    made = answer(player)
    document.begin_curve("s0")
    document.take_point(CurvePoint(9, 2.0, 0.5))
    dialog.way.choose.setCurrentText("learned masks")
    dialog.way.steps.setValue(50)
    dialog.way.length.setValue(2)
    assert dialog.accept_button.text() == "Learn masks"
    qtbot.mouseClick(dialog.accept_button, LEFT)
    state, settings, scores = player.link.asked("prune")
    assert (state, settings.choose, settings.mask_steps, settings.recovery.epochs) == ("s0", Choose.MASKS, 50, 2)
    assert settings.goal.shape == (HALF,) and scores is document.scores and window.fronts == ["gates"]
    assert command_named("edit.shape").enabled(document).startswith("Pruning to the target shape is running")
    assert made.removed is not None and [point.step for point in document.curve] == [9]
    trained = Progressed(1, Progress("on"), ({"step": 20, "loss": 1.0},))
    player.link.progressed.emit(player.link.last("prune"), trained)
    assert [point.step for point in document.curve] == [20]  # masks have a curve of their own
    cut = state_of(document.analysis, "s1", "s0", StateKind.CUT, made.removed)
    player.make("prune", cut)
    assert [point.step for point in document.curve] == [20]  # a cut that nothing recovers takes none away
    assert document.contents.present == "s0" and "s1" in document.contents.states
    player.answer("prune", (cut,))
    assert document.contents.present == "s1"
    document.plan.undo()
    assert document.contents.present == "s0"


def test_rounds_are_counted_and_their_curve_is_that_of_the_last_recovery(qtbot, player, window, dialog):
    document = player.document
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    made = answer(player)
    dialog.way.choose.setCurrentText("rounds")
    dialog.way.length.setValue(2)
    rounds = math.ceil(math.log(0.5) / math.log(0.9))  # a tenth of what is left in each
    assert dialog.estimate.text().startswith(f"{rounds} rounds, {2 * rounds} epochs of recovery in total. ")
    qtbot.mouseClick(dialog.accept_button, LEFT)
    number = player.link.last("prune")

    def trained(step: int) -> None:
        player.link.progressed.emit(number, Progressed(1, Progress("on"), ({"step": step, "loss": 1.0},)))

    assert made.removed is not None
    first = state_of(document.analysis, "s1", "s0", StateKind.CUT, made.removed)
    player.make("prune", first)
    trained(1)
    trained(5)
    assert [point.step for point in document.curve] == [1, 5] and document.contents.training.state == "s1"
    recovery = recovery_job(document)
    assert recovery is not None and recovery.method == "prune"
    curve = ({"step": 1, "loss": 1.0}, {"step": 5, "loss": 1.0}, {"step": 5, "metric": 0.8})
    player.make(
        "prune", replace(state_of(document.analysis, "s2", "s1", StateKind.RECOVERED, made.removed), curve=curve)
    )
    assert len(document.curve) == 3 and document.contents.training.state == "s1"
    player.make("prune", state_of(document.analysis, "s3", "s2", StateKind.CUT, made.removed))
    assert len(document.curve) == 3  # until there is a newer one
    trained(1)
    assert len(document.curve) == 1 and document.contents.training.state == "s3"
    player.stop("prune")
    again = TargetShape(window)
    qtbot.addWidget(again)
    assert again.way.way is Choose.ROUNDS and again.way.length.value() == 2  # so that it goes on


def test_rows_are_as_high_as_what_they_wrap_beside_a_scroll_bar(dialog):
    """Else a bar that is there for a moment takes the width that the last line needs, and stays."""
    rows = dialog._rows
    bar = rows.verticalScrollBar().sizeHint().width()
    assert all(rows.heightForWidth(wide) >= rows.page.heightForWidth(wide - bar) for wide in range(420, 660, 2))


def test_rounds_begin_at_what_is_gone_and_marked_by_hand(qtbot, player, window, dialog, monkeypatch):
    contents = player.document.contents
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    made = answer(player).removed
    goal, shape = replace(contents.wanted, shape=(HALF,)), window.workbench.shape
    assert made is not None and shape.rounds(goal) > 1
    contents.removed = made & (np.arange(len(made)) % 2 == 0)
    contents.marked = contents.by_hand = made & ~contents.removed
    monkeypatch.setattr(type(contents), "decided", None)  # names structures one by one: not at every key
    assert shape.rounds(goal) == 1


def test_masks_need_data(qtbot, player, dialog):
    player.document.contents.task = None
    typed(qtbot, player, dialog, Kind.FILTER, "50%")
    answer(player)
    dialog.way.choose.setCurrentText("learned masks")
    assert "needs data" in dialog.missing.text() and not dialog.accept_button.isEnabled()


def test_a_shape_is_removed_by_emptying_its_numbers(qtbot, player, window, dialog):
    document = player.document
    former = replace(document.goal, keep=0.3, cost=Cost.PARAMETERS)
    document.plan.set_goal(former)
    document.plan.lock([0], True)
    document.plan.set_goal(replace(former, keep=1.0, shape=(HALF,)))
    made = TargetShape(window)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    answer(player)
    assert made.lines[Kind.FILTER].text() == "50%"
    made.lines[Kind.FILTER].clear()
    before = len(player.link.sent)
    qtbot.waitUntil(lambda: len(player.link.sent) > before)
    answer(player)
    assert made.accept_button.text() == "Remove the target shape"
    qtbot.mouseClick(made.accept_button, LEFT)
    assert document.goal == former
