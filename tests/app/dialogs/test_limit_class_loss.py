"""What no class may lose, and the calibration error, become limits of the goal and are judged with it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from secateur.app.dialogs.find_fastest import FindFastest
from secateur.app.dialogs.limit_class_loss import LimitClassLoss
from secateur.app.document.aspects import Goal
from secateur.app.text.verdicts import goal_description, trial_sentence
from secateur.engine.messages import clauses
from secateur.engine.planning.goal_verdict import quality_verdicts
from secateur.engine.planning.protocol import Cost, QualityLimits
from secateur.engine.tasks.protocol import ClassLoss, Metric, Split
from secateur.engine.workflows.budget_search import Trial

from ..fake_link import FakeLink, workbench_on
from ..playing import Window
from ..stand_in import adopt_small, travelled

LIMITS = QualityLimits(class_loss=0.02, calibration_error=0.03)
WORSE = Metric("top-1", 0.9, 100, 0.01, Split.VAL, class_loss=ClassLoss("cat", 0.05, 20), calibration_error=0.02)


@pytest.fixture
def window(qtbot, dressed) -> Iterator[Window]:
    made = Window(workbench_on(FakeLink()))
    qtbot.addWidget(made)
    adopt_small(made.document)
    yield made
    made.workbench.close()


def dialog_over(qtbot, window: Window) -> LimitClassLoss:
    made = LimitClassLoss(window)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    return made


def test_what_is_typed_becomes_the_goal_of_every_job_and_is_undone(qtbot, window):
    document = window.document
    dialog = dialog_over(qtbot, window)
    QTest.keyClicks(dialog.lines["class_loss"], "2%")
    QTest.keyClicks(dialog.lines["calibration_error"], "3%")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    assert document.goal == Goal(quality=LIMITS)
    contents = document.contents
    assert contents.intent().quality == LIMITS and contents.request(contents.wanted, None).quality == LIMITS
    search = FindFastest(window)
    qtbot.addWidget(search)
    assert "no class more than 2 pt, calibration error at most 3 %" in search.estimate.text()
    again = dialog_over(qtbot, window)
    assert [line.text() for line in again.lines.values()] == ["2%", "3%"]
    again.lines["class_loss"].clear()
    again.accept()
    assert document.goal.quality == replace(LIMITS, class_loss=None)
    document.plan.undo()
    document.plan.undo()
    assert document.goal == Goal()


@pytest.mark.parametrize("text", ["some", "150%", "-1%"])
def test_what_cannot_be_is_said_while_it_is_typed(qtbot, window, text):
    dialog = dialog_over(qtbot, window)
    assert dialog.accept_button.isEnabled()
    QTest.keyClicks(dialog.lines["class_loss"], text)
    assert "No class loses more than: enter a share" in dialog.missing.text() and not dialog.accept_button.isEnabled()


def test_a_goal_and_a_trial_say_what_is_limited_besides_the_metric():
    words = goal_description(0.5, Cost.MACS, 0.5, True, quality=LIMITS)
    assert words.endswith("lose at most 0.5 pt, no class more than 2 pt, calibration error at most 3 %")
    missed = clauses(one.clause for one in quality_verdicts(LIMITS, WORSE) if not one.met)
    words = trial_sentence(Trial(0.5, "s1", 0.004, 0.001, missed=missed), 1, 0.005, Cost.MACS, True)
    assert words.endswith("worst class cat: −5.0 pt, allowed −2.0.") and "over the limit" in words


def test_the_verdict_on_the_goal_names_the_class_that_lost_too_much():
    document = travelled()
    document.plan.set_goal(Goal(0.99, 50.0, quality=LIMITS))
    assert document.goal_verdict.met is None and "losses of the classes not measured" in str(
        document.goal_verdict.sentence
    )
    states, last = document.contents.states, document.contents.states["s2"]
    judged = replace(last.metrics[0], class_loss=WORSE.class_loss, calibration_error=WORSE.calibration_error)
    states["s2"] = replace(last, metrics=(judged,))
    document.plan.enter("s2", "")
    assert document.goal_verdict.met is False and document.goal_verdict.has_regressed
    assert "worst class cat: −5.0 pt, allowed −2.0; calibration error 2.0 %" in str(document.goal_verdict.sentence)
