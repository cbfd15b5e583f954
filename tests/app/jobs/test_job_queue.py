"""Jobs as they are seen: how far, how long, what waits; they are stopped, moved and taken out, and their end told."""

import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication, QPushButton, QScrollArea, QVBoxLayout, QWidget

from secateur.app.commands import command_named
from secateur.app.document.aspects import Aspect
from secateur.app.document.job_state import JobView
from secateur.app.jobs import cost_estimator, job_queue
from secateur.app.jobs.cost_estimator import CostEstimator, Estimate, estimate_words
from secateur.app.jobs.job_queue import QueuedJob
from secateur.app.panels.jobs import JobsPanel, job_words
from secateur.app.panels.log import LogPanel
from secateur.app.storage import settings
from secateur.app.window import desktop_signs
from secateur.app.window.main_window import MainWindow
from secateur.app.window.status_bar import StatusBar
from secateur.engine.errors import EngineLost, Message
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.process.events import Progressed
from secateur.engine.recovery.protocol import DISTILLATION_STEPS, Repair
from secateur.engine.sensitivity.protocol import SensitivityPoint
from secateur.engine.session.states import StateKind
from secateur.engine.targets.protocol import WRITING
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.playing import Player, top1
from tests.app.stand_in import state_of, task_info, weak

LEFT = Qt.MouseButton.LeftButton


def ask_three(player: Player) -> None:
    """One runs, two wait."""
    for title in ("First", "Second", "Third"):
        player.workbench.runner.run(title, lambda _metric: None, "evaluate", "s0", "test")


def analysis_of(player: Player):
    assert player.document.analysis is not None
    return player.document.analysis


def weakest(player: Player, threshold: float):
    assert player.document.scores is not None
    return weak(analysis_of(player), player.document.scores, threshold)


def titles(panel: JobsPanel) -> list[int]:
    return [row.job.id for row in sorted(panel.rows.values(), key=lambda row: row.y())]


def test_what_waits_is_listed_in_its_order_and_can_be_moved_and_taken_out(player: Player, qtbot) -> None:
    panel = JobsPanel(player.workbench)
    qtbot.addWidget(panel)
    panel.resize(700, 300)
    panel.show()
    ask_three(player)
    QApplication.processEvents()
    first, second, third = (job.id for job in player.document.jobs)
    row = panel.rows[third]
    assert panel.rows[first].cancel.text() == "Cancel" and not panel.rows[first].earlier.isVisible()
    assert row.cancel.text() == "Remove" and row.earlier.isEnabled() and not row.later.isEnabled()
    qtbot.mouseClick(row.earlier, LEFT)
    QApplication.processEvents()
    assert [job.id for job in player.document.jobs] == [first, third, second]
    assert titles(panel) == [first, third, second]
    qtbot.mouseClick(panel.rows[second].cancel, LEFT)
    QApplication.processEvents()
    assert titles(panel) == [first, third] and player.link.cancelled == []  # the engine never had it
    assert player.sentences[-1] == "Cancelled: Second. Nothing was changed."


def test_keys_that_take_jobs_out_of_the_queue_do_not_get_to_what_runs(player: Player, qtbot) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    layout, panel, other = QVBoxLayout(page), JobsPanel(player.workbench), QPushButton("cancels what runs")
    for each in (panel, other):
        layout.addWidget(each)
    page.show()
    ask_three(player)
    first, second, third = (job.id for job in player.document.jobs)
    panel.rows[second].cancel.setFocus()
    qtbot.keyClick(panel.rows[second].cancel, Qt.Key.Key_Space)
    assert page.focusWidget() is panel.rows[third].cancel
    qtbot.keyClick(panel.rows[third].cancel, Qt.Key.Key_Space)
    assert [job.id for job in player.document.jobs] == [first]
    assert page.focusWidget() is panel.findChild(QScrollArea)


def test_nothing_passes_a_job_that_makes_a_state(player: Player) -> None:
    document = player.document
    workbench = player.workbench
    workbench.states.evaluate("s0")
    document.plan.mark(weakest(player, 0.3), True)
    workbench.states.cut()
    workbench.runner.run("Evaluate once more", lambda _metric: None, "evaluate", "s0", "test")
    _, cut, last = document.jobs
    assert not cut.earlier and not cut.later and not last.earlier
    workbench.runner.move(last.id, True)
    assert [job.id for job in document.jobs][-1] == last.id


def test_the_engine_has_one_job_at_a_time_in_the_order_that_is_shown(player: Player) -> None:
    already = list(player.link.sent)
    ask_three(player)
    first, second, third = (job.id for job in player.document.jobs)
    assert player.link.sent == [*already, first]
    player.workbench.runner.move(third, True)
    player.link.finished.emit(first, top1(0.9))
    player.link.finished.emit(third, top1(0.9))
    player.link.finished.emit(second, top1(0.9))
    assert player.link.sent == [*already, first, third, second]


def test_after_a_loss_the_threads_are_set_before_what_waits(player: Player) -> None:
    link, lost = player.link, EngineLost("engine.lost", "The engine ended.")
    settings.store(settings.THREADS, 1)
    ask_three(player)
    first, second, third = (job.id for job in player.document.jobs)
    link.lost.emit(lost, False, True, True)
    link.failed.emit(first, lost)
    link.restored.emit()
    threads, *others = (job.id for job in player.document.jobs)
    assert link.sent[-1] == threads == link.last("use_threads") and others == [second, third]


def test_what_waits_is_sent_once_the_session_is_back_and_never_where_it_does_not_come_back(player: Player) -> None:
    link, lost = player.link, EngineLost("engine.lost", "The engine ended.")
    ask_three(player)
    first, second, third = (job.id for job in player.document.jobs)
    link.lost.emit(lost, False, True, True)
    link.failed.emit(first, lost)
    assert [job.id for job in player.document.jobs] == [second, third] and link.sent[-1] == first
    link.restored.emit()
    assert link.sent[-1] == second
    link.lost.emit(lost, False, False, False)
    link.failed.emit(second, lost)
    assert player.document.jobs == () and link.sent[-1] == second
    player.workbench.states.evaluate()
    assert link.sent[-1] == player.document.jobs[0].id  # the engine says why not


def test_while_the_engine_is_out_of_reach_nobody_says_how_long_it_takes(player: Player, monkeypatch) -> None:
    link, document, clock = player.link, player.document, [100.0]
    monkeypatch.setattr("secateur.app.jobs.job_queue.time.monotonic", lambda: clock[0])
    player.workbench.states.evaluate("s0")
    for done in range(4):
        clock[0] += 10.0
        link.progressed.emit(document.jobs[0].id, Progressed(1, Progress("on", done, 10), (), ()))
    clock[0] += 5.0
    link.disconnected.emit("gpu")
    assert (document.jobs[0].left, document.jobs[0].rough, document.jobs[0].done) == (-1, False, 3)
    link.reconnected.emit("gpu")
    assert document.jobs[0].left == pytest.approx(65.0)


def test_the_second_time_a_step_says_how_long_it_takes_as_measured_here(player: Player, monkeypatch) -> None:
    document = player.document
    workbench = player.workbench
    clock = [100.0]
    monkeypatch.setattr("secateur.app.jobs.job_queue.time.monotonic", lambda: clock[0])
    workbench.states.evaluate("s0")
    clock[0] += 30.0
    player.answer("evaluate", top1(0.9))
    words = command_named("run.evaluate").tip_now(workbench)
    assert "about 30 s" in words and "of memory" in words
    workbench.states.evaluate("s0")
    assert document.jobs[0].left == pytest.approx(30.0) and document.jobs[0].rough
    smaller = state_of(analysis_of(player), "s1", "s0", StateKind.CUT, weakest(player, 0.4))
    document.contents.states["s1"] = smaller
    share = smaller.macs / document.original.macs
    found = workbench.estimator.estimate("evaluate", "s1", document.evaluation_split)
    assert found.seconds == pytest.approx(30.0 * share)


def test_the_first_recovery_is_estimated_from_how_long_judging_took(player: Player) -> None:
    document = player.document
    workbench = player.workbench
    assert document.task is not None
    task = document.contents.task = replace(document.task, seconds=0.001)
    document.contents.states["s1"] = state_of(
        analysis_of(player), "s1", "s0", StateKind.CUT, analysis_of(player).empty()
    )
    document.contents.go_to("s1")
    settings = document.recovery
    found = workbench.estimator.estimate("recover", "s1", settings)
    learned, judged = task.sizes["train"], task.sizes["val"]
    passes = settings.epochs * (4 * learned + judged)  # teacher and student forward, two for the student's backward
    assert settings.tuning is not None
    passes += settings.tuning.epochs * (3 * learned + judged)  # of the teacher before that
    assert found.seconds == pytest.approx(passes * task.seconds)
    distilled = workbench.estimator.estimate("recover", "s1", replace(settings, epochs=0, repair=Repair.DISTILLATION))
    passes = DISTILLATION_STEPS * task.batch / learned
    assert distilled.seconds == pytest.approx(passes * (4 * learned + judged) * task.seconds)
    timed = workbench.estimator.estimate("recover", "s1", replace(settings, minutes=2.0))
    assert timed.seconds == 120 and timed.work != timed.work  # its time says nothing about the next one
    parameters = document.original.parameters
    assert found.bytes >= 4 * 5 * parameters  # both models, gradients and moments, before any activation


@pytest.mark.parametrize(("begun", "done", "share"), [(0, 100, 1.0), (90, 100, 0.1), (0, 25, 0.25)])
def test_a_recovery_teaches_by_what_was_trained_in_this_run(player: Player, monkeypatch, begun, done, share) -> None:
    clock = [100.0]
    monkeypatch.setattr("secateur.app.jobs.job_queue.time.monotonic", lambda: clock[0])
    document, settings = player.document, replace(player.document.recovery, epochs=10)
    workbench = player.workbench
    nothing = analysis_of(player).empty()
    document.add_state(state_of(analysis_of(player), "s1", "s0", StateKind.CUT, nothing), "cut")
    player.settle()
    workbench.states.recover(settings)
    number = player.link.last("recover")
    told = [Progress(Message("progress.going_on", "Going on", {}), begun)] if begun else []
    training = Message("progress.fine_tuning", "Fine-tuning", {})
    for one in (*told, Progress(training, begun + 5, 100), Progress("judging", 1, 8), Progress(training, done, 100)):
        player.link.progressed.emit(number, Progressed(1, one, (), ()))
    clock[0] += 30.0
    player.answer("recover", state_of(analysis_of(player), "s2", "s1", StateKind.RECOVERED, nothing))
    assert workbench.estimator.estimate("recover", "s1", settings).seconds == pytest.approx(30.0 / share)


def test_sensitivity_that_is_gone_on_with_takes_what_its_rest_takes(player: Player) -> None:
    document = player.document
    workbench = player.workbench
    document.contents.task = replace(task_info(), seconds=0.001)
    whole = workbench.estimator.estimate("sensitivity", "s0")
    workbench.sensitivity.start()
    points = (SensitivityPoint(2, 8, top1(0.9)), SensitivityPoint(2, 16, top1(0.8)))
    player.make("sensitivity", SensitivityPoint(-1, 0, top1(0.914)), *points)
    player.stop("sensitivity")
    rest = workbench.estimator.estimate("sensitivity", "s0")
    assert whole.work - rest.work == pytest.approx(2)
    assert rest.seconds / whole.seconds == pytest.approx(rest.work / whole.work)


def test_a_job_that_takes_longer_than_estimated_claims_nothing(player: Player, monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("secateur.app.jobs.job_queue.time.monotonic", lambda: clock[0])
    player.workbench.states.evaluate("s0")
    running = player.workbench.runner.queue.jobs()[0]
    running.expected = 2.0
    player.link.progressed.emit(running.id, Progressed(1, Progress("on"), (), ()))
    assert running.view().left == 2.0 and running.view().rough
    clock[0] += 300.0
    assert running.view().left == -1.0 and "left" not in job_words(running.view())


def test_an_estimate_says_about_and_what_memory_is_free_but_refuses_nothing() -> None:
    assert estimate_words(Estimate()) == ""
    assert estimate_words(Estimate(1.0, 130.0, 2.34e9), free=8e9) == "Takes about 2 min and about 2.3 GB of memory."
    words = estimate_words(Estimate(1.0, math.nan, 9e9), free=4e9)
    assert words == "Takes about 9 GB of memory. Only 4 GB of memory is free now."


def test_the_line_at_the_bottom_shows_a_job_after_a_moment_and_stops_it(player: Player, qtbot) -> None:
    line = StatusBar(player.workbench)
    qtbot.addWidget(line)
    line.resize(1000, 24)
    line.show()
    ask_three(player)
    assert not line.running.isVisible()
    qtbot.waitUntil(line.running.isVisible)
    assert line.facts.text().startswith(player.document.jobs[0].title)  # before it has said anything
    first = player.document.jobs[0].id
    player.link.progressed.emit(first, Progressed(1, Progress("judging", 1, 4), (), ()))
    qtbot.waitUntil(lambda: line.running.bar.maximum() == 4)
    assert line.running.left.text().endswith("2 waiting")
    qtbot.mouseClick(line.running.cancel, LEFT)
    assert player.link.cancelled == [first]
    for job in player.document.jobs:
        player.link.finished.emit(job.id, top1(0.9))
    assert not line.running.isVisible()


@pytest.fixture
def window(qtbot, dressed):
    window = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(window)
    window.show()
    yield window
    publish(window)  # closing asks nothing
    window.close()


def test_a_job_that_ends_while_nobody_looks_marks_the_title_until_the_window_is_looked_at(window, monkeypatch) -> None:
    alerted, told = [], []
    monkeypatch.setattr(desktop_signs.QApplication, "alert", alerted.append)
    monkeypatch.setattr(window.notices, "notify", told.append)
    monkeypatch.setattr(desktop_signs.QApplication, "activeWindow", lambda: None)
    window.workbench.runner.ended.emit("Finished: Recover, 8 epochs", 60.0)
    assert alerted == [window] and told == ["Finished: Recover, 8 epochs"]
    assert window.windowTitle().startswith(desktop_signs.MARK)
    QApplication.sendEvent(window, QEvent(QEvent.Type.WindowActivate))
    assert not window.windowTitle().startswith(desktop_signs.MARK)


@pytest.mark.parametrize(("active", "seconds"), [(True, 60.0), (False, 0.5)])
def test_who_looks_at_the_window_or_waits_a_moment_is_told_nothing(window, monkeypatch, active, seconds) -> None:
    monkeypatch.setattr(desktop_signs.QApplication, "activeWindow", lambda: window if active else None)
    window.workbench.runner.ended.emit("Finished: Evaluate s0", seconds)
    assert not window.title.marked


def test_the_system_says_nothing_of_a_job_that_took_a_few_seconds(window, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(window.notices, "notify", told.append)
    monkeypatch.setattr(desktop_signs.QApplication, "activeWindow", lambda: None)
    window.workbench.runner.ended.emit("Finished: Evaluate s0", 10.0)
    assert window.title.marked and told == []


def running(window: MainWindow, elapsed: float, left: float, background: bool = False) -> None:
    """One job runs, and another waits."""
    job = JobView(1, "Recover, 8 epochs", "", 1, 4, elapsed, left, background=background)
    waiting = JobView(2, "Evaluate s1", "", 0, 0, 0.0, -1.0, place=1)
    publish(window, job, waiting)


def told_at(job: QueuedJob, monkeypatch, seconds: float, share: float, code: str = "progress.plain") -> float:
    """A job tells how much is done at a time; the seconds that it is said to take still then."""
    monkeypatch.setattr(job_queue.time, "monotonic", lambda: 1000.0 + seconds)
    job.take_progress(Progress(Message(code, "on"), round(1000 * share), 1000, share=share))
    return job.view().left


def test_the_time_left_is_that_of_the_whole_job_and_not_of_its_stage(monkeypatch) -> None:
    job, left = QueuedJob("Recover", lambda _none: None, "recover"), 0.0
    for second in range(10):
        left = told_at(job, monkeypatch, second, second / 100)
    assert left == pytest.approx(91.0)  # a hundredth a second, and 9 are done


def test_a_step_that_tells_no_share_leaves_the_time_of_the_whole_as_it_was(monkeypatch) -> None:
    job, left = QueuedJob("Measure", lambda _none: None, "sensitivity"), 0.0
    for second in range(10):
        left = told_at(job, monkeypatch, second, second / 100)
        job.take_progress(Progress("Without 3 of 16", second, 80))
    assert left == pytest.approx(91.0) and job.view().left == pytest.approx(91.0)


def test_what_a_step_took_is_said_for_a_model_of_that_size_alone(player: Player) -> None:
    document, estimator = player.document, player.workbench.estimator
    work = estimator.estimate("cut", "s0").work
    estimator.learn("cut", work, 8.0)
    original = document.contents.states["s0"]
    for times, known in ((1.0, True), (1.4, True), (12.0, False), (0.1, False)):
        size = {"macs": int(original.macs * times), "parameters": int(original.parameters * times)}
        document.contents.states["s0"] = replace(original, **size)
        found = CostEstimator(document).estimate("cut", "s0").seconds  # another start, another model
        assert (found == pytest.approx(8.0 * times, rel=0.01)) if known else math.isnan(found)


def test_the_first_measurement_is_estimated_from_what_each_model_is_given(player: Player) -> None:
    document, estimator = player.document, player.workbench.estimator
    target = replace(document.target, batch=8)  # nothing was measured on it
    first = estimator.estimate("measure", ("s0",), target)
    assert first.seconds == (1 + WRITING) * target.seconds  # to write the file, and to time it
    estimator.learn("measure", first.work, 20.0)
    assert CostEstimator(document).estimate("measure", ("s0",), target).seconds == pytest.approx(20.0)


def test_what_a_step_took_on_another_machine_is_not_said_of_this_one(player: Player) -> None:
    document, estimator = player.document, player.workbench.estimator
    work, here = estimator.estimate("cut", "s0").work, document.engine
    for place, seconds in (("gpu", 2.0), ("", 8.0)):
        document.engine = replace(here, place=place)
        assert math.isnan(CostEstimator(document).estimate("cut", "s0").seconds)
        estimator.learn("cut", work, seconds)
    for place, seconds in (("gpu", 2.0), ("", 8.0)):
        document.engine = replace(here, place=place)
        assert CostEstimator(document).estimate("cut", "s0").seconds == pytest.approx(seconds)


def test_free_memory_is_said_of_this_machine_alone(player: Player, monkeypatch) -> None:
    monkeypatch.setattr(cost_estimator, "free_memory", lambda: 1.0)
    document, estimator = player.document, player.workbench.estimator
    assert "of memory is free now" in estimator.words("cut", "s0")
    document.engine = replace(document.engine, place="gpu")
    assert estimator.words("cut", "s0") and "free now" not in estimator.words("cut", "s0")


def test_a_teacher_counts_where_it_has_a_part_in_the_loss(player: Player) -> None:
    document, estimator = player.document, player.workbench.estimator
    assert document.task is not None and document.original is not None
    need = dict[tuple[float, bool], float]()
    for has_loss in (True, False):
        document.contents.task = replace(document.task, loss=has_loss)
        for part in (0.0, 0.5):
            settings_of = replace(document.recovery, distillation=part, features=0.0)
            need[part, has_loss] = estimator.estimate("recover", "s0", settings_of).bytes
    assert need[0.0, True] <= need[0.5, True] - 4 * document.original.parameters
    assert need[0.0, False] == need[0.5, False] == need[0.5, True]  # without a loss of the data it always teaches


def test_a_slow_start_says_nothing_of_the_training_that_follows(monkeypatch) -> None:
    job, left = QueuedJob("Recover", lambda _none: None, "recover"), 0.0
    for second in range(0, 60, 10):
        told_at(job, monkeypatch, second, second / 500)  # a tenth in 50 seconds
    for second in range(60, 70):
        left = told_at(job, monkeypatch, second, 0.1 + (second - 60) / 100, "progress.fine_tuning")
    assert left == pytest.approx(81.0)


def test_what_was_made_before_counts_as_done_and_not_as_speed(monkeypatch) -> None:
    job, left = QueuedJob("Search", lambda _none: None, "lowest"), 0.0
    for second in range(0, 41, 10):
        left = told_at(job, monkeypatch, second, second / 100)
    assert left == pytest.approx(60.0)
    left = told_at(job, monkeypatch, 40.1, 0.5)  # a tenth that was there already
    assert left == pytest.approx(50.0, rel=0.02)
    for second in range(50, 71, 10):
        left = told_at(job, monkeypatch, second, 0.1 + second / 100)
    assert left == pytest.approx(20.0, rel=0.02)


def test_a_step_that_takes_longer_than_said_is_not_said_to_end_at_once(monkeypatch) -> None:
    job = QueuedJob("Export", lambda _none: None, "export")
    told_at(job, monkeypatch, 0.0, 0.0)
    assert told_at(job, monkeypatch, 10.0, 0.5) == pytest.approx(10.0)
    for later, left in ((5.0, 5.0), (30.0, 15.0)):
        monkeypatch.setattr(job_queue.time, "monotonic", lambda later=later: 1010.0 + later)
        assert job.view().left == pytest.approx(left)


def publish(window: MainWindow, *jobs: JobView) -> None:
    """The document has these jobs, and the window shows them."""
    window.document.take_jobs(jobs, None)
    window.document.announce(Aspect.JOBS)
    window.document.dispatcher.settle()


def test_the_title_says_how_far_the_running_job_is(window) -> None:
    running(window, elapsed=30.0, left=90.0)
    assert window.windowTitle() == "25 % Recover, 8 epochs - Secateur[*]"
    work = JobView(1, "Recover, 8 epochs", "", 1, 4, 30.0, 90.0, work=0.6)  # known by its work, it never goes back
    publish(window, work)
    assert window.windowTitle() == "60 % Recover, 8 epochs - Secateur[*]"
    bar = window.status.running.bar
    bar.show_progress(1, 4, 0.6)
    assert bar.value() / bar.maximum() == pytest.approx(0.6)
    bar.show_progress(1, 4, -1.0)
    assert (bar.value(), bar.maximum()) == (1, 4)
    running(window, elapsed=40.0, left=-1.0)
    assert window.windowTitle() == "Recover, 8 epochs - Secateur[*]"
    for elapsed, background in ((0.5, False), (30.0, True)):
        running(window, elapsed, 90.0, background)
        assert window.windowTitle() == "Secateur[*]"
    publish(window)
    assert window.windowTitle() == "Secateur[*]"


@pytest.fixture
def session_bus(monkeypatch) -> Iterator[str]:
    """A session bus of its own."""
    daemon = shutil.which("dbus-daemon")
    if daemon is None or shutil.which("dbus-monitor") is None:
        pytest.skip("there is no D-Bus here")
    words = [daemon, "--session", "--nofork", "--print-address=1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        monkeypatch.setenv(desktop_signs.BUS, address)
        try:
            yield address
        finally:
            process.terminate()


def test_docks_on_the_session_bus_hear_the_progress(session_bus: str, window) -> None:
    words = ["dbus-monitor", "--address", session_bus, f"interface={desktop_signs.INTERFACE}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as dock:  # listens as a dock does
        assert dock.stdout is not None
        while "NameLost" not in dock.stdout.readline():
            pass  # it does not listen yet
        running(window, elapsed=30.0, left=90.0)
        running(window, elapsed=30.1, left=90.0)  # too little to be told
        running(window, elapsed=60.0, left=60.0)
        publish(window)
        heard: list[str] = []
        while heard.count("boolean false") == 0:
            heard.append(dock.stdout.readline().strip().removeprefix("variant").strip())
        dock.terminate()
    assert heard.count('string "application://org.secateur.Secateur.desktop"') == 3
    assert [line for line in heard if line.startswith("double")] == ["double 0.25", "double 0.5", "double 0"]
    assert [line for line in heard if line.startswith("boolean")] == ["boolean true", "boolean true", "boolean false"]


def shown_lines(log: LogPanel) -> list[str]:
    return [line[10:] for line in log.text.toPlainText().splitlines()]


def test_a_job_has_a_log_of_its_own_which_is_opened_from_where_it_runs(player: Player, main: MainWindow, qtbot) -> None:
    assert main.area is not None
    runner, link = player.workbench.runner, player.link
    runner.run("First", lambda _none: None, "evaluate", "s0", "val")
    runner.run("Second", lambda _none: player.document.note("made by the second"), "evaluate", "s0", "val")
    first, second = (job.id for job in player.document.jobs)
    link.progressed.emit(first, Progressed(1, Progress("Evaluating, batch 1 of 9", 1, 9)))
    link.progressed.emit(first, Progressed(2, Progress("Evaluating, batch 2 of 9", 2, 9)))  # no news a moment later
    link.logged.emit("printed by the first")
    main.show_panel("jobs")
    jobs, log = main.area.panels["jobs"], main.area.panels["log"]
    qtbot.waitUntil(lambda: first in jobs.rows and jobs.rows[first].log.isVisible())
    assert not jobs.rows[second].log.isVisible()
    qtbot.mouseClick(jobs.rows[first].log, LEFT)
    said = ["Started: First", "Evaluating, batch 1 of 9", "output  printed by the first"]
    qtbot.waitUntil(log.isVisible)
    assert log.job.currentText() == "First" and shown_lines(log) == said
    link.finished.emit(first, None)
    link.logged.emit("printed by the second")
    link.failed.emit(second, Cancelled())
    qtbot.waitUntil(lambda: log.job.findData(second) > 0)
    assert shown_lines(log) == said
    log.show_job(second)
    kept = "Cancelled: Second. Nothing was changed."
    assert shown_lines(log) == ["Started: Second", "output  printed by the second", kept]
    log.show_job(0)
    assert "Started: Second" not in shown_lines(log) and "output  printed by the first" in shown_lines(log)
