"""Closing while a job runs asks first, cancels, and waits where it can be seen."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from secateur.app.commands.registry import command_named
from secateur.app.dialogs.closing import Closing, UnsavedWork
from secateur.app.dialogs.project import SaveProject
from secateur.app.window.main_window import MainWindow
from secateur.engine.jobs import Cancelled
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec

from ..demo_analysis import small_resnet
from ..stand_in import adopt_small, state_of

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(empty: MainWindow) -> MainWindow:
    adopt_small(empty.document)
    return empty


def settle(window: MainWindow) -> None:
    """No job runs any more."""
    for job in window.document.jobs:
        window.workbench.runner.link.failed.emit(job.id, Cancelled())


def question(window: MainWindow, qtbot) -> Closing:
    """Close as a hand would, and find what is asked."""
    window.close()
    assert window.isVisible()
    qtbot.waitUntil(lambda: window.findChild(Closing) is not None)
    dialog = window.findChild(Closing)
    assert dialog is not None
    return dialog


def test_closing_asks_cancels_and_waits_until_the_job_has_ended(window, qtbot) -> None:
    window.workbench.states.recover(RecoverySettings(epochs=3))
    number = window.workbench.runner.link.last("recover")
    dialog = question(window, qtbot)
    assert "Recover, 3 epochs" in dialog.sentence.text() and dialog.stay_button.isDefault()
    qtbot.mouseClick(dialog.close_button, LEFT)
    assert window.workbench.runner.link.cancelled == [number]
    assert dialog.waiting.isVisible() and "Cancelling" in dialog.sentence.text()
    dialog.reject()
    dialog.close()
    assert dialog.isVisible() and window.isVisible() and not window.workbench.runner.link.closed
    window.workbench.runner.link.failed.emit(number, Cancelled())
    qtbot.waitUntil(lambda: not window.isVisible())
    assert window.workbench.runner.link.closed


def test_staying_changes_nothing_and_asking_twice_is_one_question(window, qtbot) -> None:
    window.workbench.states.recover(RecoverySettings(epochs=3))
    dialog = question(window, qtbot)
    window.close()
    assert len([one for one in window.findChildren(Closing) if one.isVisible()]) == 1
    qtbot.mouseClick(dialog.stay_button, LEFT)
    qtbot.waitUntil(lambda: window.findChild(Closing) is None)
    assert window.isVisible() and window.document.busy and window.workbench.runner.link.cancelled == []
    settle(window)


def test_a_job_that_ends_while_the_question_stands_is_not_spoken_of_any_more(window, qtbot) -> None:
    window.workbench.states.recover(RecoverySettings(epochs=3))
    dialog = question(window, qtbot)
    settle(window)
    assert dialog.close_button.text() == "Close" and "No jobs are running" in dialog.sentence.text()
    qtbot.mouseClick(dialog.close_button, LEFT)
    qtbot.waitUntil(lambda: not window.isVisible())


def test_what_nobody_asked_for_does_not_hold_the_window_open(window, qtbot) -> None:
    window.workbench.plan.score()
    window.workbench.states.measure(background=True)
    assert len(window.document.jobs) == 2
    window.close()
    assert not window.isVisible()


def elsewhere(window: MainWindow) -> None:
    """The engine is on another machine, and something was done that is not saved."""
    window.document.engine = replace(window.document.engine, place="gpu")
    analysis = small_resnet()
    window.document.add_state(state_of(analysis, "s1", "s0", StateKind.CUT, analysis.empty(), 0.9), "Cut")
    assert not window.document.history.clean


def warning(window: MainWindow) -> UnsavedWork:
    """What is asked about unsaved work."""
    (found,) = (one for one in window.findChildren(UnsavedWork) if one.isVisible())
    return found


def test_closing_asks_before_unsaved_work_on_another_machine_is_lost(window, qtbot) -> None:
    elsewhere(window)
    link = window.workbench.runner.link
    for _ in range(2):
        window.close()
    dialog = warning(window)
    assert window.isVisible() and not link.closed and dialog.save_button.isDefault()
    assert [one.property("role") == "primary" for one in (dialog.save_button, dialog.accept_button)] == [True, False]
    qtbot.mouseClick(dialog.save_button, LEFT)
    assert window.isVisible() and not dialog.isVisible()
    (saving,) = window.findChildren(SaveProject)
    saving.close()
    window.close()
    dialog = warning(window)
    qtbot.mouseClick(dialog.cancel_button, LEFT)
    assert window.isVisible() and not link.closed
    window.close()
    qtbot.mouseClick(warning(window).accept_button, LEFT)
    assert not window.isVisible() and link.closed


def test_work_that_is_saved_or_kept_as_a_draft_is_not_asked_about(window) -> None:
    elsewhere(window)
    document = window.document
    document.saved("project", document.history.position)
    window.open(ModelSpec("bundled:vit"))
    assert window.workbench.model.asked == ModelSpec("bundled:vit")
    settle(window)
    document.history.clean_place = None
    document.engine = replace(document.engine, place="")
    window.open(ModelSpec("bundled:resnet"))
    assert window.workbench.model.asked == ModelSpec("bundled:resnet")
    settle(window)


def test_another_model_is_opened_over_unsaved_work_only_when_that_is_said(window, qtbot) -> None:
    elsewhere(window)
    said: list[str] = []
    window.document.announced.connect(said.append)
    window.open(ModelSpec("bundled:vit"))
    assert window.workbench.model.asked is None
    qtbot.mouseClick(warning(window).accept_button, LEFT)
    assert window.workbench.model.asked == ModelSpec("bundled:vit")
    analysis = small_resnet()
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914)
    link = window.workbench.runner.link
    link.finished.emit(link.last("open"), OpenedModel("vit", analysis, state, (), None))
    assert "vit is open" in said
    settle(window)


def test_nothing_promises_to_keep_what_is_on_another_machine(window) -> None:
    quit = command_named("file.quit")
    assert "kept as a draft" in quit.tip_now(window.workbench)
    elsewhere(window)
    assert "kept" not in quit.tip_now(window.workbench) and "gpu" in quit.tip_now(window.workbench)
    assert "kept" not in Closing(window).hint.text()
    window.document.saved("project", window.document.history.position)
