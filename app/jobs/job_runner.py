"""Runs jobs against the engine, whatever they are: asks, follows their progress, takes what they bring, tells losses.

Nothing here waits. A job that changes states blocks edits until it ends; one that fails or is cancelled leaves the
document as it was. Background jobs (scores, measurements) step aside when the user asks for something.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from secateur.engine.errors import EngineLost, SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.process.events import Progressed

from ..document.aspects import Aspect, CurvePoint
from ..document.message_log import level_of
from ..document.preconditions import no_study
from ..storage.user_folders import new_session_folder
from ..text.translate import counted
from .cost_estimator import Pace
from .job_queue import Board, Running

if TYPE_CHECKING:
    from ..document.document import Document

REFRESH = 80
"""Milliseconds between two announcements of progress."""
NUMBERS_ONLY = frozenset({"open", "open_recipe", "states", "baselines"})
"""What can be asked while only numbers are here."""


class Runner(QObject):
    """Runs jobs for a document.

    Attributes:
        board: Jobs in flight.
        pace: How long they took, and how long the next ones will.
        curve: Points of the running or last recovery.
        curve_of: Id of the state that it recovers, "" where that is not one of them.
        folder: The session's folder, None before the engine was started.
        engine: What the engine does, in words, for the status bar.
        processor: What it computes with, in words, "" before that is known.
        threads: How many threads that is, 0 before it is known.

    Signals:
        ended: (sentence, seconds), a job that was asked for came to its end after so long.
    """

    ended = Signal(str, float)

    def __init__(self, document: "Document", link: Any) -> None:
        """Run for a document; `link` is an `EngineLink`, or None where there is no engine."""
        super().__init__(document)
        self.document = document
        self.link = link
        self.board = Board()
        self.pace = Pace(document)
        self.curve: list[CurvePoint] = []
        self.curve_of = ""
        self.folder: Path | None = None
        self.engine = self.tr("engine not started")
        self.processor = ""
        self.threads = 0
        self._closed = False
        self._told = 0
        self._aside: set[str] = set()
        self._pulse = QTimer(self, interval=REFRESH, singleShot=True)
        self._pulse.timeout.connect(self._tell_progress)
        self._clock = QTimer(self, interval=500)
        self._clock.timeout.connect(self._tell_progress)
        if link is not None:
            self._listen(link)

    def _listen(self, link: Any) -> None:
        link.ready.connect(self._ready)
        link.progressed.connect(self._progressed)
        link.finished.connect(self._finished)
        link.failed.connect(self._failed)
        link.lost.connect(self._lost)
        link.restored.connect(self._restored)
        link.given_up.connect(self._given_up)
        link.logged.connect(self._logged)

    # The engine.

    def start(self, folder: Path | None = None) -> None:
        """Start the engine on a session folder."""
        if self.link is not None and self.folder is None and not self._closed:
            self.folder = folder or new_session_folder()
            self.engine = self.tr("starting the engine")
            self.link.start(self.folder)
            self.document.announce(Aspect.JOBS)

    def status(self) -> str:
        """What runs, or what the engine does, for the status bar."""
        jobs = self.board.views()
        if jobs and jobs[0].text:
            return f"{jobs[0].title}: {jobs[0].text}"
        return self.processor if self.processor and self.engine == self.tr("engine ready") else self.engine

    def close(self) -> None:
        """End the engine, for good."""
        self._closed = True
        self._clock.stop()
        self._pulse.stop()
        self.leave()
        if self.link is not None:
            self.link.close()

    # Jobs.

    def run(
        self,
        title: str,
        apply: Callable[[Any], None],
        method: str,
        *arguments: Any,
        changes: bool = False,
        about: object = None,
        arrived: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> bool:
        """Run a job; False, with the reason said, where that is not possible now.

        Args:
            title: What it does, in words.
            apply: Takes its result.
            method: Of the session.
            arguments: Of the call.
            changes: It makes states, or opens another model: nothing can be edited meanwhile.
            about: What it is for: `Shown.job_about` finds it by that.
            arrived: Takes what it makes on the way.
        """
        return self._ask(title, apply, method, *arguments, changes=changes, about=about, arrived=arrived)

    def cancel(self, number: int) -> None:
        """Stop a job."""
        job = self.board.get(number)
        if job is not None and not job.cancelling and self.link is not None:
            job.cancelling = True
            self.link.cancel(number)
            self.document.announce(Aspect.JOBS)

    def move(self, number: int, earlier: bool) -> None:
        """Let a job that waits change places with the one before or after it."""
        before = self.board.move(number, earlier)
        if before is not None and self.link is not None:
            self.link.move(number, before)
            self.document.announce(Aspect.JOBS)

    def _ask(
        self,
        title: str,
        apply: Callable[[Any], None],
        method: str,
        *arguments: Any,
        changes: bool = False,
        background: bool = False,
        about: object = None,
        arrived: Callable[[tuple[Any, ...]], None] | None = None,
        text: str = "",
        otherwise: Callable[[], None] | None = None,
        again: bool = False,
    ) -> bool:
        """Start a job; False, with the reason said, where that is not possible now."""
        if self.link is None:
            error = EngineLost("window.no_engine", "The engine is not running. Start Secateur again.")
            self.document.fail(error)
            return False
        if self.document.absent and method not in NUMBERS_ONLY:
            if not background:
                self._say(self.document.absent)
            return False
        reason = self.tr("Wait for the running job, or cancel it.") if self.document.busy else no_study(self.document)
        if changes and reason:
            self._say(reason)
            return False
        if not background:
            self._step_aside()
        self.document.cancel_preview()
        self.start()
        number = self.link.call(method, *arguments)
        revision = self.document.revision
        running = Running(number, title, changes, revision, apply, background=background, method=method)
        running.about, running.arrived, running.arguments, running.text = about, arrived, arguments, text
        running.otherwise, running.again = otherwise, again
        estimate = self.pace.estimate(method, *arguments)
        running.work, running.expected = estimate.work, estimate.seconds
        self.board.add(running)
        self._clock.start()
        self.document.announce(Aspect.JOBS)
        return True

    def _step_aside(self) -> None:
        for job in self.board.running():
            if job.background:
                self._aside.add(job.method)
                self.cancel(job.id)

    # What else follows, for a class that knows the jobs.

    def take_up(self, methods: set[str]) -> None:
        """Nothing runs any more: what had stepped aside may go on, by the session's methods."""

    def leave(self) -> None:
        """It ends, for good."""

    def broken_off(self, job: Running) -> None:
        """The engine was lost in a job, or while it waited."""

    def came_back(self) -> None:
        """The engine runs again, with everything up to the last state."""

    # What the engine says.

    @Slot(int)
    def _ready(self, threads: int) -> None:
        self.engine = self.tr("engine ready")
        self.threads = threads
        if threads:
            self.processor = counted(threads, self.tr("CPU, {count} thread"), self.tr("CPU, {count} threads"))
        self.document.announce(Aspect.JOBS)

    @Slot(object, object)
    def _progressed(self, number: int, event: Progressed) -> None:
        self.board.progressed(number, event.progress)
        job = self.board.get(number)
        if job is not None and job.arrived is not None and event.made:
            job.arrived(event.made)
        if event.progress.so_far is not None:
            self.document.announce(Aspect.SCORES)
        for point in event.points if job is not None and job.changes else ():
            if "step" in point and len(point) > 1:
                self._draw(_curve_point(point))
        if not self._pulse.isActive():
            self._pulse.start()

    def begin_curve(self, state: str = "") -> None:
        """Forget the last recovery's points; those that come are of the recovery of a state."""
        self.curve.clear()
        self.curve_of = state
        self.document.announce(Aspect.CURVE)

    def _draw(self, point: CurvePoint) -> None:
        if self.curve and point.step < self.curve[-1].step:  # the next recovery of a recipe
            self.curve.clear()
        self.curve.append(point)

    @Slot(object, object)
    def _finished(self, number: int, result: Any) -> None:
        job = self._take(number)
        if job is not None:
            took = time.monotonic() - job.turn
            self.pace.learn(job.method, job.work * job.part, took)
            job.apply(result)
            if job.then is not None:
                job.then()
            if not job.background:
                self.ended.emit(self.tr("Finished: {job}").format(job=job.title), took)
        self._call_back()

    @Slot(object, object)
    def _failed(self, number: int, error: SecateurError) -> None:
        self._tell_failure(number, error)
        self._call_back()

    def _call_back(self) -> None:
        if not len(self.board) and self._aside and not self._closed:
            methods, self._aside = self._aside, set()
            self.take_up(methods)

    def _tell_failure(self, number: int, error: SecateurError) -> None:
        job = self._take(number)
        if job is not None and job.otherwise is not None:
            job.otherwise()
        if job is not None and isinstance(error, EngineLost):
            self.broken_off(job)
        if job is None or job.background or isinstance(error, EngineLost):
            return
        if isinstance(error, Cancelled):
            kept = self.tr("Cancelled: {job}. Finished results are kept.")
            words = self.tr("Cancelled: {job}. Nothing was changed.") if job.arrived is None else kept
            return self._say(words.format(job=job.title))
        self.document.fail(error)
        self.ended.emit(self.tr("Failed: {job}").format(job=job.title), time.monotonic() - job.turn)

    @Slot(object, bool, bool)
    def _lost(self, error: SecateurError, asked: bool, again: bool) -> None:
        self.engine = self.tr("restoring the session") if again else self.tr("engine stopped")
        if asked:
            self._say(self.tr("The job did not stop in time, so the engine was restarted. Nothing was changed."))
        else:
            self.document.fail(error)
        self.document.announce(Aspect.JOBS)

    @Slot()
    def _restored(self) -> None:
        self.engine = self.tr("engine ready")
        self._say(self.tr("The engine is running again. Everything up to the last state is restored."))
        self.document.announce(Aspect.JOBS)
        self.came_back()

    @Slot(object)
    def _given_up(self, error: SecateurError) -> None:
        self.engine = self.tr("engine stopped")
        self.document.fail(error)
        self.document.announce(Aspect.JOBS)

    @Slot(str)
    def _logged(self, text: str) -> None:
        for line in text.splitlines():
            self.document.logbook.write(line, level_of(line))
        self.document.announce(Aspect.LOG)

    @Slot()
    def _tell_progress(self) -> None:
        fresh, self._told = len(self.curve) != self._told, len(self.curve)
        self.document.announce(Aspect.JOBS, *((Aspect.CURVE,) if fresh else ()))

    def _take(self, number: int) -> Running | None:
        job = self.board.take(number)
        if not len(self.board):
            self._clock.stop()
        if job is not None:
            self.document.announce(Aspect.JOBS, *((Aspect.SCORES,) if job.so_far is not None else ()))
        return job

    def say(self, sentence: str) -> None:
        """Say what just happened, in the status line and in the log."""
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        self.document.note(sentence)
        self.document.announced.emit(sentence)


def _curve_point(point: dict[str, float]) -> CurvePoint:
    """The step with its loss, and whatever else it has as the metric."""
    metric = next((value for name, value in point.items() if name not in ("step", "loss", "epoch")), float("nan"))
    return CurvePoint(int(point["step"]), point.get("loss", float("nan")), metric)
