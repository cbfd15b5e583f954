"""Runs jobs against the engine, whatever they are: asks, follows their progress, takes what they bring, tells losses.

Nothing here waits. A job that changes states blocks edits until it ends; one that fails or is cancelled leaves the
document as it was. Background jobs (scores, measurements) step aside when the user asks for something.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from secateur.engine.errors import EngineLost, SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.masks.learned_gates import LearnedGates
from secateur.engine.process.events import Progressed

from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import TRAINS, ConsentRequest, CurvePoint, UnfinishedJob, is_question
from ..document.message_log import Level, level_of
from ..document.preconditions import no_long_job
from ..storage import settings
from ..storage.user_folders import new_session_folder
from ..text.format import duration
from ..text.titles import kept_words
from ..text.translate import counted
from ..widgets.cover import attempt
from .cost_estimator import CostEstimator
from .job_queue import LASTING, JobQueue, QueuedJob

REFRESH = 80
"""Milliseconds between two announcements of progress."""
WORTH_A_LINE = 1.0
"""Seconds from which the log says that a job is finished, and how long it took; what it made is announced anyway."""
NUMBERS_ONLY = frozenset({"open", "open_recipe", "states", "baselines", "use_threads"})
"""What can be asked while only numbers are here."""
STEADY = frozenset({"use_threads", "first_scores"})
"""What runs in the background, but takes no time: it steps aside for nothing."""
COMPUTES_WITH = frozenset({"use_threads", "use_device"})
"""What all that waits is to be computed with."""
OF_A_STATE = frozenset({"score"})
OF_A_MODEL = OF_A_STATE | {
    "first_scores", "evaluate", "evaluate_original", "savings", "filters", "states", "baselines", "measure",
    "responses", "activity", "try_without",
}  # fmt: skip
SUPERSEDED = {
    "open": OF_A_MODEL, "open_recipe": OF_A_MODEL, "restore": OF_A_MODEL,
    "cut": OF_A_STATE, "recover": OF_A_STATE, "attach": OF_A_STATE, "open_baseline": OF_A_STATE,
}  # fmt: skip
"""What is of no use once a method has ended well, because another model or state is there then."""
PASSES = {"export": OF_A_STATE, "evaluate_original": OF_A_STATE}
"""What a method has its turn before, though it was asked for earlier: scores come by themselves, a file is awaited.

An evaluation takes a second where scores may take minutes, and all results are compared with it.
"""
WORTH_ASKING = 60.0
"""Seconds of work that are not thrown away without a question."""


class JobRunner(QObject):
    """Runs jobs for a document, one after the other, and publishes them in it.

    Attributes:
        queue: Jobs that run or wait.
        interrupted: Jobs that the engine was lost in; they go on once the engine is there again.
        consent: What was asked to be opened, attached or applied last: consent may be missing for it.

    Signals:
        ended: (sentence, seconds), a job that was asked for came to its end after so long.
        resting: frozenset of methods of the session: nothing runs any more, so what had stepped aside may go on.
        unsure: QueuedJob, it was to be cancelled, and more than a minute of work would be lost: a person must be asked.
        broken_off: QueuedJob, the engine was lost in it, or while it waited.
        came_back: The engine runs again, with everything up to the last state.
        began_anew: The engine was lost before anything was opened in it, and is started again.
    """

    ended = Signal(str, float)
    resting = Signal(object)
    unsure = Signal(object)
    broken_off = Signal(object)
    came_back = Signal()
    began_anew = Signal()

    def __init__(self, document: Document, link: Any, estimator: CostEstimator) -> None:
        """Run for a document; `link` is an `EngineLink`, or None where there is no engine."""
        super().__init__(document)
        self.document = document
        self.link = link
        self.estimator = estimator
        self.queue = JobQueue()
        self.interrupted: list[QueuedJob] = []
        self.consent: ConsentRequest | None = None
        self._closed = False
        self._told = 0
        self._gates: LearnedGates | None = None
        self._aside: set[str] = set()
        self._superseded: list[QueuedJob] = []
        self._pulse = QTimer(self, interval=REFRESH, singleShot=True)
        self._pulse.timeout.connect(self._tell_progress)
        self._clock = QTimer(self, interval=500)
        self._clock.timeout.connect(self._tell_progress)
        document.engine = replace(document.engine, text=self.tr("engine not started"))
        if link is not None:
            document.engine = replace(document.engine, place=link.place)
            self.listen(link)

    def listen(self, link: Any) -> None:
        """Hear what the engine says."""
        link.ready.connect(self._on_ready)
        link.progressed.connect(self._on_progressed)
        link.finished.connect(self._on_finished)
        link.failed.connect(self._on_failed)
        link.lost.connect(self._on_lost)
        link.restored.connect(self._on_restored)
        link.given_up.connect(self._on_given_up)
        link.disconnected.connect(self._on_disconnected)
        link.reconnected.connect(self._on_reconnected)
        link.logged.connect(self._on_logged)

    # The engine.

    def start(self, folder: Path | None = None) -> None:
        """Start the engine on a session folder."""
        engine = self.document.engine
        if self.link is not None and engine.folder is None and not self._closed:
            folder = folder or new_session_folder()
            self.link.start(folder)
            text = self.tr("starting the engine")
            if engine.place:
                text = self.tr("connecting to {host}").format(host=engine.place)
            self.document.take_engine(replace(engine, text=text, folder=folder))

    def stop(self) -> None:
        """Ask for nothing and tell nothing any more."""
        self._closed = True
        self._clock.stop()
        self._pulse.stop()

    def end_engine(self) -> None:
        """After `stop`: end the engine, for good. May be called in another thread."""
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
        background: bool = False,
        about: object = None,
        arrived: Callable[[tuple[Any, ...]], None] | None = None,
        text: str = "",
        otherwise: Callable[[SecateurError], None] | None = None,
    ) -> bool:
        """Run a job; False, with the reason said, where that is not possible now.

        Args:
            title: What it does, in words.
            apply: Takes its result.
            method: Of the session.
            arguments: Of the call.
            changes: It makes states, or opens another model: nothing can be edited meanwhile.
            background: The user did not ask for it: it makes room for other jobs, and its failure is not shown.
            about: What it is for: `Document.job_about` finds it by that.
            arrived: Takes what it makes on the way.
            text: What the step that it leads to is called.
            otherwise: Takes the reason when it fails or is cancelled.
        """
        job = QueuedJob(title, apply, method, arguments, changes=changes, background=background, about=about)
        job.arrived, job.text, job.otherwise = arrived, text, otherwise
        return self._submit(job)

    def _submit(self, job: QueuedJob) -> bool:
        document, method, arguments = self.document, job.method, job.arguments
        if self.link is None:
            document.fail(EngineLost("engine.not_started", "The engine is not running. Start it first."))
            return False
        if document.absent and method not in NUMBERS_ONLY:
            if not job.background:
                document.say(document.absent)
            return False
        reason = self.tr("Wait for the running job, or cancel it.") if document.busy else no_long_job(document)
        if job.changes and reason:
            document.say(reason)
            return False
        document.plan.cancel_preview()
        self.start()
        job.contents = document.contents
        estimate = self.estimator.estimate(method, *arguments)
        job.work, job.expected = estimate.work, estimate.seconds
        # Device and threads are settings of all that waits, so they go ahead of it.
        before = self.queue.jobs()
        number = self.queue.add(job, ahead=method in COMPUTES_WITH)
        if job.changes and method != "open":
            settings = arguments[1] if method == "recover" else None
            present, known = document.contents.present, len(document.states)
            job.record = UnfinishedJob(method, present, job.title, settings, known, job.text, number)
        if not job.background:
            self._step_aside(before)
        if superseded := [one for one in before if one.method in SUPERSEDED.get(method, ())]:
            self._superseded += [one for one in superseded if not one.background]
            self.drop(superseded)
        # Asked for anew, some jobs come behind this one: where that loses little, and no plan waits for them.
        for one in before:
            if one.method in PASSES.get(method, ()) and one.then is None and one.lost() < WORTH_ASKING:
                self.drop([one])
                self._ask_once_more(one)
        self._clock.start()
        self._send_next()
        self._publish()
        return True

    def is_asked_already(self, about: object, background: bool = False) -> bool:
        """Whether what is asked for runs or waits already; asked for by a person, it no longer steps aside."""
        job = self.queue.about(about)
        if job is None or job.cancelling:
            return False
        if job.background and not background:
            job.background = False
            self._step_aside(self.queue.jobs())
            self._publish()
        return True

    @Slot(int)
    def request_cancel(self, number: int) -> None:
        """Stop a job as a person wants it; where much would be lost, they are asked first."""
        job = self.queue.get(number)
        asks = settings.value(settings.ASK_CANCEL, True)
        if asks and job is not None and not job.cancelling and job.lost() >= WORTH_ASKING:
            self.unsure.emit(job)
        else:
            self.cancel(number)

    def cancel(self, number: int) -> None:
        """Stop a job; what it has made stays, and nothing else is changed. One that waits is taken out at once."""
        job = self.queue.get(number)
        if job is None or job.cancelling or self.link is None:
            return
        if job.sent:
            job.cancelling = True
            self.link.cancel(number)
            self._publish()
        else:
            self._fail(number, Cancelled())
            self._resume_background()

    def drop(self, jobs: Iterable[QueuedJob]) -> None:
        """Cancel jobs whose results are not needed any more, without a word."""
        for job in jobs:
            job.dropped = True
            self.cancel(job.id)

    def _ask_once_more(self, job: QueuedJob) -> None:
        fresh = job.renewed()
        fresh.changes, fresh.then, fresh.otherwise = False, job.then, job.otherwise
        self._submit(fresh)

    def move(self, number: int, earlier: bool) -> None:
        """Let a job that waits have its turn earlier or later by one."""
        if self.queue.move(number, earlier):
            self._publish()

    def ask_again(self) -> None:
        """Ask once more for what the engine was lost in, in the order that it was asked for."""
        jobs, self.interrupted = self.interrupted, []
        for job in jobs:
            if not job.changes or job.arguments[0] == self.document.contents.present:
                fresh = job.renewed()
                fresh.again = True
                begun = self._submit(fresh)
                if begun and job.changes:
                    # The engine sends the whole curve again, from its beginning.
                    self.document.begin_curve(job.arguments[0])
                elif begun and job.method in TRAINS:
                    self.document.expect_curve(job.arguments[0])

    def _step_aside(self, jobs: tuple[QueuedJob, ...]) -> None:
        """Cancel background jobs for what the user asks; they start again once the queue is empty."""
        for job in jobs:
            if job.background and job.method not in STEADY:
                self._aside.add(job.method)
                self.cancel(job.id)

    def _send_next(self) -> None:
        """Let the engine have the job whose turn it is, unless it is at work."""
        if (job := self.queue.next_to_send()) is not None:
            self.link.call(job.id, job.method, *job.arguments)
            self._log(job, self.tr("Started: {job}").format(job=job.title), Level.STEP)

    def _log(self, job: QueuedJob, text: str, level: Level) -> None:
        """Add a line to a job's own part of the log."""
        with self.document.messages.job(job.id, job.title):
            self.document.note(text, level)

    def _publish(self, *further: Aspect) -> None:
        """Have the document hold the jobs as they are now, and its views show them."""
        self._update_document()
        self.document.announce(Aspect.JOBS, *further)

    def _update_document(self) -> None:
        going_on = (*self.queue.jobs(), *self.interrupted)
        self.document.take_jobs(self.queue.views(), next((job.record for job in going_on if job.record), None))

    # What the engine says.

    @Slot(int)
    def _on_ready(self, threads: int) -> None:
        self.document.take_engine(replace(self.document.engine, text=self.tr("engine ready"), ready=True))
        self.tell_threads(threads)

    def tell_threads(self, threads: int) -> None:
        """The engine computes with so many threads, 0 unknown."""
        engine = replace(self.document.engine, threads=threads)
        if threads:
            words = counted(threads, self.tr("CPU, {count} thread"), self.tr("CPU, {count} threads"))
            engine = replace(engine, processor=f"{engine.place}: {words}" if engine.place else words)
        self.document.take_engine(engine)

    @Slot(object, object)
    def _on_progressed(self, number: int, event: Progressed) -> None:
        self.queue.take_progress(number, event.progress)
        self._update_document()
        job = self.queue.get(number)
        if job is not None and job.dropped:
            return
        if job is not None and (step := job.new_step()):
            self._log(job, step, Level.STEP)
        if job is not None and job.arrived is not None and event.made:
            with self.document.messages.job(job.id, job.title):
                attempt(partial(job.arrived, event.made))
        # Gates come at every step: they are drawn with the next pulse, not at once as scores are.
        if isinstance(event.progress.so_far, LearnedGates):
            self.document.take_gates(event.progress.so_far)
        elif event.progress.so_far is not None:
            self.document.announce(Aspect.SCORES)
        for point in event.points if job is not None and (job.changes or job.method in TRAINS) else ():
            if "step" in point and len(point) > 1:
                self.document.take_point(CurvePoint.of(point))
        if not self._pulse.isActive():
            self._pulse.start()

    @Slot(object, object)
    def _on_finished(self, number: int, result: Any) -> None:
        job = self._take(number)
        if job is not None and not job.dropped:
            with self.document.messages.job(job.id, job.title):
                document, took = self.document, time.monotonic() - job.turn
                self.estimator.learn(job.method, job.work * job.part, took)
                if job.method == "recover":
                    document.contents.kept = None
                words = self.tr("Finished: {job}").format(job=job.title)
                if not job.background and took >= WORTH_A_LINE:
                    document.note(f"{words}, {duration(took)}")
                if job.method in SUPERSEDED:
                    self._superseded.clear()
                if not attempt(partial(job.apply, result)):
                    # The code that waits for the result hears of it, and all views show the present contents.
                    error = SecateurError("job.result", "The result could not be shown. Open the model again.")
                    document.fail(error)
                    if job.otherwise is not None:
                        attempt(partial(job.otherwise, error))
                    document.announce(*Aspect)
                    words = self.tr("Failed: {job}").format(job=job.title)
                elif job.then is not None:
                    attempt(job.then)
                # What was asked for while another model was open would be done to this one.
                for one in self.queue.jobs():
                    if one.contents is not document.contents and one.method not in COMPUTES_WITH and not one.dropped:
                        if not one.background and one.method not in OF_A_MODEL:
                            cancelled = self.tr("Cancelled: {job}. Another model was opened.")
                            document.say(cancelled.format(job=one.title))
                        self.drop([one])
                if not job.background:
                    self.ended.emit(words, took)
        self._resume_background()

    @Slot(object, object)
    def _on_failed(self, number: int, error: SecateurError) -> None:
        self._fail(number, error)
        self._resume_background()

    def _resume_background(self) -> None:
        """What had stepped aside may go on once nothing runs any more."""
        if not len(self.queue) and self._aside and not self._closed:
            methods, self._aside = frozenset(self._aside), set()
            self.resting.emit(methods)

    def _fail(self, number: int, error: SecateurError) -> None:
        job = self._take(number)
        if job is None or job.dropped:
            return
        if isinstance(error, EngineLost):
            # Scores are asked for once the session is restored.
            self._superseded.clear()
        elif job.method in SUPERSEDED:
            # The model or state that was to come has not: what belongs to the present one is needed after all.
            superseded, self._superseded = self._superseded, []
            for one in superseded:
                self._ask_once_more(one)
        if job.otherwise is not None:
            attempt(partial(job.otherwise, error))
        if isinstance(error, EngineLost):
            # A job that ends the engine each time must not start a third time.
            if job.method in LASTING and not job.again:
                self.interrupted.append(job)
                # It stays the unfinished job that the next start would resume.
                self._publish()
            self.broken_off.emit(job)
            return
        if job.background:
            return
        with self.document.messages.job(job.id, job.title):
            if isinstance(error, Cancelled):
                return self.document.say(self._cancelled_words(job))
            asks = is_question(error, self.consent)
            self.document.fail(error, Level.INFO if asks else Level.ERROR)
        words = self.tr("{job} waits for your answer") if asks else self.tr("Failed: {job}")
        self.ended.emit(words.format(job=job.title), time.monotonic() - job.turn)

    def _cancelled_words(self, job: QueuedJob) -> str:
        """What was cancelled, and what of it is kept."""
        if (kept := job.kept_training()) is not None:
            self.document.contents.kept = kept
            return self.tr("Cancelled: {job}. {kept}").format(job=job.title, kept=kept_words(kept.done, kept.budget))
        gates = job.so_far
        if isinstance(gates, LearnedGates) and gates.step < gates.steps:
            words = self.tr("Cancelled: {job}. {0} of {1} steps are kept; the same target shape goes on from there.")
            return words.format(f"{gates.step:,}", f"{gates.steps:,}", job=job.title)
        finished = self.tr("Cancelled: {job}. Finished results are kept.")
        words = self.tr("Cancelled: {job}. Nothing was changed.") if job.arrived is None else finished
        return words.format(job=job.title)

    def _fail_waiting(self, error: SecateurError) -> None:
        """What waits is about a session that does not come back."""
        # No waiting job may be sent when the one before it is taken out.
        self.queue.held = True
        for job in self.queue.waiting():
            self._fail(job.id, error)
        self.queue.held = False
        self._send_next()
        self._resume_background()

    @Slot(object, bool, bool, bool)
    def _on_lost(self, error: SecateurError, asked: bool, again: bool, restores: bool) -> None:
        self.queue.held, self.queue.unheard = restores, False
        text = self.tr("restoring the session") if again else self.tr("engine stopped")
        self.document.take_engine(replace(self.document.engine, text=text, ready=False))
        if asked:
            stopped = self.tr("The job did not stop in time, so the engine was restarted. Nothing was changed.")
            self.document.say(stopped)
        else:
            self.document.fail(error)
        if not restores:
            self._fail_waiting(error)
        if again and not restores:
            self.began_anew.emit()

    @Slot()
    def _on_restored(self) -> None:
        self.document.take_engine(replace(self.document.engine, text=self.tr("engine ready"), ready=True))
        self.document.say(self.tr("The engine is running again. Everything up to the last state is restored."))
        # Device and threads have to be set before the jobs that wait are sent.
        self.came_back.emit()
        self.queue.held = False
        self._send_next()

    @Slot(object)
    def _on_given_up(self, error: SecateurError) -> None:
        self.document.take_engine(replace(self.document.engine, text=self.tr("engine stopped"), ready=False))
        self.document.fail(error)
        self._fail_waiting(error)

    @Slot(str)
    def _on_disconnected(self, host: str) -> None:
        self.queue.unheard = True
        text = self.tr("no connection to {host}, trying again").format(host=host)
        self.document.take_engine(replace(self.document.engine, text=text, ready=False))
        words = self.tr("Lost the connection to {host}. Its engine goes on; what it does meanwhile is shown later.")
        self.document.say(words.format(host=host))
        self._publish()

    @Slot(str)
    def _on_reconnected(self, host: str) -> None:
        self.queue.unheard = False
        self.document.take_engine(replace(self.document.engine, text=self.tr("engine ready"), ready=True))
        self.document.say(self.tr("Connected to {host} again. Nothing was lost.").format(host=host))
        self._publish()

    @Slot(str)
    def _on_logged(self, text: str) -> None:
        running = next((job for job in self.queue.jobs() if job.sent), None)
        messages = self.document.messages
        with nullcontext() if running is None else messages.job(running.id, running.title):
            for line in text.splitlines():
                messages.write(line, level_of(line))
        self.document.announce(Aspect.LOG)

    @Slot()
    def _tell_progress(self) -> None:
        points, gates = len(self.document.contents.training.points), self.document.contents.gates.latest
        fresh, self._told = points != self._told, points
        closing, self._gates = gates is not self._gates, gates
        self._publish(*((Aspect.CURVE,) if fresh else ()), *((Aspect.GATES,) if closing else ()))

    def _take(self, number: int) -> QueuedJob | None:
        """A job that came to its end; the next one has its turn."""
        job = self.queue.take(number)
        if not len(self.queue):
            self._clock.stop()
        if job is not None:
            shown = Aspect.GATES if isinstance(job.so_far, LearnedGates) else Aspect.SCORES
            self._publish(*((shown,) if job.so_far is not None else ()))
        self._send_next()
        return job


class DocumentJobs(QObject):
    """Starts jobs of some kind for a document, and takes into it what they bring."""

    def __init__(self, runner: JobRunner) -> None:
        """Work for the document of a runner."""
        super().__init__(runner.document)
        self._document, self._runner = runner.document, runner
