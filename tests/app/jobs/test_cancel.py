"""Cancel asks where more than a minute of work would be lost, and says what is kept where nothing is."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from secateur.app.dialogs.closing import CancelJob
from secateur.app.panels.jobs import JobsPanel
from secateur.app.panels.recovery import RecoveryPanel
from secateur.app.window.main_window import MainWindow
from secateur.engine.errors import Message
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.planning.protocol import MASK_STEPS, Choose, Cost
from secateur.engine.process.events import Progressed
from secateur.engine.recipes.compatibility import Mode
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import StateKind
from secateur.engine.workflows.budget_search import LossLimit
from tests.app.playing import Player
from tests.app.stand_in import state_of, weak

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(qtbot, player: Player) -> MainWindow:
    made = MainWindow(player.workbench)
    qtbot.addWidget(made, before_close_func=lambda _window: player.workbench.runner.stop())
    return made


def begin(player: Player, method: str, seconds: float, progress: Progress | None = None) -> int:
    """The engine is at work on a job for so long, and on none before it any more."""
    number, queue = player.link.last(method), player.workbench.runner.queue
    for before in queue.jobs():
        if before.id != number:
            player.link.failed.emit(before.id, Cancelled())
    event, job = Progressed(number, progress or Progress("at it", 1, 4), ()), queue.get(number)
    assert job is not None
    player.link.progressed.emit(number, event)
    job.started -= seconds
    player.link.progressed.emit(number, event)
    return number


def test_a_minute_of_work_is_not_thrown_away_without_a_question(qtbot, player: Player, window: MainWindow):
    panel = JobsPanel(player.workbench)
    qtbot.addWidget(panel)
    player.workbench.states.evaluate()
    number = begin(player, "evaluate", 130)
    player.document.dispatcher.settle()
    qtbot.mouseClick(panel.rows[number].cancel, LEFT)
    (dialog,) = window.findChildren(CancelJob)
    told = " ".join(label.text() for label in dialog.findChildren(QLabel))
    assert "Evaluate the original has run for 2 min 10 s." in told and "Nothing of a job like this is kept" in told
    qtbot.mouseClick(dialog.cancel_button, LEFT)
    assert not player.link.cancelled
    player.workbench.runner.request_cancel(number)
    dialog = next(one for one in window.findChildren(CancelJob) if one.isVisible())
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert player.link.cancelled == [number]


def test_a_short_job_is_cancelled_at_once_and_a_question_about_one_that_ended_goes_away(
    player: Player, window: MainWindow
):
    runner = player.workbench.runner
    player.workbench.states.evaluate()
    number = begin(player, "evaluate", 10)
    runner.request_cancel(number)
    assert player.link.cancelled == [number]
    player.link.failed.emit(number, Cancelled())
    player.workbench.states.evaluate()
    number = begin(player, "evaluate", 100)
    runner.request_cancel(number)
    (dialog,) = window.findChildren(CancelJob)
    player.link.failed.emit(number, Cancelled())
    assert not dialog.isVisible()


@pytest.mark.parametrize(
    ("settings", "where", "title", "kept"),
    [
        (
            RecoverySettings(epochs=5),
            Progress(Message("progress.fine_tuning", "Fine-tuning", {}), 330, 500, values={"step": 330.0, "loss": 0.4}),
            "Recover, 5 epochs",
            "3 of 5 epochs are kept; Recover continues from there.",
        ),
        (
            RecoverySettings(minutes=20),
            Progress(
                Message("progress.fine_tuning_timed", "Training", {}), 490, 1100, values={"step": 9.0, "loss": 0.4}
            ),
            "Recover, 20 min",
            "8 of 20 minutes are kept; Recover continues from there.",
        ),
    ],
    ids=["epochs", "minutes"],
)
def test_a_cancelled_recovery_says_what_is_kept_and_that_recover_continues(
    qtbot, player: Player, window: MainWindow, settings, where, title, kept
):
    document, panel = player.document, RecoveryPanel(player.workbench)
    qtbot.addWidget(panel)
    analysis = document.analysis
    assert analysis is not None and document.scores is not None
    removed = weak(analysis, document.scores, 0.2)
    document.add_state(state_of(analysis, "s1", "s0", StateKind.CUT, removed, 0.8, 0.4), "cut")
    player.workbench.states.recover(settings)
    number = begin(player, "recover", 600, where)
    player.workbench.runner.request_cancel(number)
    assert player.link.cancelled[-1] == number and not window.findChildren(CancelJob)
    player.link.failed.emit(number, Cancelled())
    assert player.sentences[-1] == f"Cancelled: {title}. {kept}"
    panel.refresh()
    assert kept in panel.text.text()
    player.workbench.states.recover(replace(settings, epochs=7))
    player.answer("recover", state_of(analysis, "s2", "s1", StateKind.RECOVERED, removed, 0.9, 0.4))
    assert document.contents.kept is None


@pytest.mark.parametrize("method", ["sweep", "lowest", "prune", "apply_recipe"])
def test_what_trains_one_state_after_another_is_drawn_and_cancelled_where_recoveries_are(
    qtbot, player: Player, method: str
):
    document, workbench, panel = player.document, player.workbench, RecoveryPanel(player.workbench)
    qtbot.addWidget(panel)
    panel.show()
    assert not panel.cancel.isVisible()
    start = {
        "sweep": lambda: workbench.sweep.start((0.8, 0.5), recovery=RecoverySettings()),
        "lowest": lambda: workbench.search.start(LossLimit(0.005, Cost.MACS, 6, 2), 1.0, RecoverySettings()),
        "prune": lambda: workbench.shape.start(Choose.ROUNDS, MASK_STEPS, RecoverySettings()),
        "apply_recipe": lambda: workbench.recipes.apply("recipe.json", Mode.SAME_GOAL),
    }
    start[method]()
    number = begin(player, method, 5, Progress("at it", 1, 4, values={"step": 3.0, "loss": 0.4}))
    analysis = document.analysis
    assert analysis is not None and document.scores is not None
    removed = weak(analysis, document.scores, 0.2)
    curve = ({"step": 9, "loss": 0.2}, {"step": 9, "metric": 0.8})
    recovered = replace(state_of(analysis, "s2", "s1", StateKind.RECOVERED, removed), curve=curve)
    for step, made in ((1, "s1"), (2, "s3")):
        player.make(method, state_of(analysis, made, "s0", StateKind.CUT, removed))
        player.link.progressed.emit(number, Progressed(1, Progress("on"), ({"step": step, "loss": 1.0},)))
        assert [point.step for point in document.curve] == [step] and document.contents.training.state == made
        player.make(method, recovered)
        assert len(document.curve) == 2 and document.contents.training.state == "s1"
    panel.refresh()
    job = workbench.runner.queue.get(number)
    assert job is not None
    assert (
        panel.cancel.isVisible() and panel.cancel.accessibleName() == panel.cancel.toolTip() == f"Cancel: {job.title}"
    )
    qtbot.mouseClick(panel.cancel, LEFT)
    assert player.link.cancelled == [number]
