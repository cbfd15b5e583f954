"""The document's jobs: calls to the engine, each tied to what it was started from, and what their results become.

Nothing here waits. A job that changes states blocks edits until it ends; one that fails or is cancelled leaves the
document as it was. Background jobs (scores, measurements) step aside when the user asks for something.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from secateur.engine.devices import CPU
from secateur.engine.errors import EngineLost, SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.planning.protocol import Cost
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.choices import Choices
from secateur.engine.session.events import Progressed
from secateur.engine.session.filters import Filters
from secateur.engine.session.states import OpenedModel, PlanIntent, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import Metric, Split, TaskInfo, TaskSpec

from .aspects import Aspect, CurvePoint
from .autosave.remembered import Job
from .board import Board, Running
from .commands.reasons import no_study
from .drops import BUNDLE
from .folders import new_session_folder
from .keeper import Keeper
from .logbook import level_of
from .pace import Pace
from .suggestion import Suggestion
from .widgets.numbers import rough
from .words import counted

if TYPE_CHECKING:
    from .document import Document

REFRESH = 80
"""Milliseconds between two announcements of progress."""
NUMBERS_ONLY = frozenset({"open", "open_recipe", "states"})
"""What can be asked while only numbers are here."""
CHEAP = 2_000_000_000
"""MACs of one sample up to which latencies are measured without being asked."""


class Work(QObject):
    """Runs jobs for a document.

    Attributes:
        board: Jobs in flight.
        pace: How long they took, and how long the next ones will.
        curve: Points of the running or last recovery.
        asked: What was asked to be opened last.
        folder: The session's folder, None before the engine was started.
        engine: What the engine does, in words, for the status bar.
        processor: What it computes with, in words, "" before that is known.
        threads: How many threads that is, 0 before it is known.
        weights: Path of the weights that were asked to be attached last, "" when it was a model that was opened.
        interrupted: The recovery that the engine was lost in; it goes on once the engine is there again.
        keeper: Keeps the session on disk, and brings back what an earlier window has left.

    Signals:
        ended: (sentence, seconds), a job that was asked for came to its end after so long.
    """

    ended = Signal(str, float)

    def __init__(self, document: "Document", link: Any) -> None:
        """Work for a document; `link` is an `EngineLink`, or None where there is no engine."""
        super().__init__(document)
        self.document = document
        self.link = link
        self.board = Board()
        self.pace = Pace(document)
        self.curve: list[CurvePoint] = []
        self.asked: ModelSpec | None = None
        self.weights = ""
        self.folder: Path | None = None
        self.engine = self.tr("engine not started")
        self.processor = ""
        self.threads = 0
        self.interrupted: Job | None = None
        self._broken_off: Job | None = None
        self.keeper = Keeper(self)
        self._closed = False
        self._suggest_later = False
        self._told = 0
        self._suggestion = Suggestion(self)
        self._suggestion.ready.connect(self._suggested)
        self._suggestion.failed.connect(self._not_suggested)
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
        self._suggestion.close()
        self.keeper.close()
        if self.link is not None:
            self.link.close()

    # Jobs.

    def open(self, spec: ModelSpec) -> None:
        """Open a model."""
        self.asked, self.weights = spec, ""
        title = self.tr("Open {name}").format(name=self._name(spec.source))
        self.start()
        folder = str(self.folder if self.document.analysis is None else new_session_folder())
        self._ask(title, lambda model: self._opened(model, spec), "open", spec, True, folder, changes=True)

    def restore(
        self,
        folder: Path,
        name: str,
        moved: tuple[tuple[str, str], ...],
        then: Callable[[OpenedModel, tuple[State, ...]], None],
        otherwise: Callable[[], None],
    ) -> bool:
        """Open a session's folder where it lies; `then` takes the model with its states. False where jobs run."""

        def opened(model: OpenedModel) -> None:
            self._ask(title, lambda states: then(model, states), "states", changes=True, otherwise=otherwise)

        title = self.tr("Restore {name}").format(name=name)
        self.asked, self.weights = None, ""
        return self._ask(title, opened, "restore", str(folder), moved, changes=True, otherwise=otherwise)

    def _name(self, source: str) -> str:
        samples = {"bundled:resnet": self.tr("sample ResNet"), "bundled:vit": self.tr("sample ViT")}
        return samples.get(source) or Path(source).name or source

    def attach_task(self, spec: TaskSpec) -> None:
        """Attach data and metric."""
        self._ask(self.tr("Open the data"), self._attached, "attach_task", spec, changes=True)

    def evaluate(self, state: str) -> None:
        """Measure a state's metric on the split that the original was judged on."""
        if self.document.task is None or not state:
            return

        def apply(metric: Metric) -> None:
            self.document.take_measurements(state, metrics=(metric,))

        self._ask(self.tr("Evaluate {state}").format(state=state), apply, "evaluate", state, self.judged_on)

    @property
    def judged_on(self) -> Split:
        """The split that the original was judged on, and so all others are."""
        first = next(iter(self.document.original.metrics), None) if self.document.original else None
        return first.split if first is not None else Split.REPORT

    def score(self) -> None:
        """Rate the structures of the present state, unless that is known or under way."""
        self._rate(self.document.criterion, self.document.choices, self.document.rating)

    def rate(self, criterion: str) -> None:
        """Rate them by another criterion too, as it does by itself: what the document is rated by stays."""
        self._rate(criterion, Choices(), criterion)

    def _rate(self, criterion: str, choices: Choices, rating: str) -> None:
        state = self.document.contents.present
        title = self.tr("Score structures of {state} by {criterion}").format(state=state, criterion=criterion)
        about = (state, rating)
        known = about in self.document.contents.scores or any(job.about == about for job in self.board.running())
        if not state or known or self.link is None:
            return

        def arrived(made: tuple[Any, ...]) -> None:
            self.document.take_partial(state, rating, made[-1])

        self._ask(
            title,
            lambda scores: self._scored(state, rating, scores),
            "score",
            *(state, criterion, choices),
            about=about,
            arrived=arrived,
            passing=True,
            otherwise=lambda: self.document.take_partial(state, rating, None),
        )

    def filters(self) -> None:
        """Bring the images of the first convolution's filters of the present state, where nobody has yet."""
        contents, state = self.document.contents, self.document.contents.present
        about = ("filters", state)
        if state in contents.filters or any(job.about == about for job in self.board.running()) or self.link is None:
            return

        def apply(found: Filters | None) -> None:
            contents.filters[state] = found
            if contents is self.document.contents:
                self.document.announce(Aspect.STATES)

        title = self.tr("Read the first layer's filters")
        self._ask(title, apply, "filters", state, background=True, about=about)

    def measure(self, background: bool = False, others: tuple[str, ...] = ()) -> None:
        """Measure original and present state on the target, interleaved, and perhaps other states with them."""
        document, target = self.document, self.document.target
        if document.original is None or document.state is None:
            return
        if target.machine:  # It cannot be measured from here.
            return None if background else self._say(self.tr("The target is another machine: measure it there."))
        states = tuple(dict.fromkeys((document.original.id, document.state.id, *others)))

        def apply(timings: Any) -> None:
            for state, timing in zip(states, timings, strict=True):
                document.take_measurements(state, timings=(timing,))

        self._ask(self.tr("Measure on the target"), apply, "measure", states, target, background=background)

    def measure_if_cheap(self, others: tuple[str, ...] = ()) -> None:
        """Measure without being asked, where that takes seconds."""
        if self.document.original is not None and self.document.original.macs <= CHEAP:
            self.measure(background=True, others=others)

    def cut(self) -> None:
        """Cut what is marked."""
        document, contents = self.document, self.document.contents
        if document.analysis is None or not contents.marked.any():
            return self._say(self.tr("Nothing is marked. Mark what should go, or suggest a plan."))
        count = int(contents.marked.sum())
        locked, by_hand = contents.decided()
        plan = PlanIntent(
            document.criterion, locked=locked, goal=contents.wanted, marked=by_hand, choices=document.choices
        )
        text = counted(count, self.tr("cut {count} structure"), self.tr("cut {count} structures"))
        title = counted(count, self.tr("Cut {count} structure"), self.tr("Cut {count} structures"))
        asked = contents.removed | contents.marked
        self._ask(title, lambda s: self._made(s, text), "cut", contents.present, asked, plan, changes=True, text=text)

    def recover(self, settings: RecoverySettings) -> None:
        """Fine-tune the present state."""
        self.curve.clear()
        self.document.announce(Aspect.CURVE)
        text = counted(settings.epochs, self.tr("recover, {count} epoch"), self.tr("recover, {count} epochs"))
        title = counted(settings.epochs, self.tr("Recover, {count} epoch"), self.tr("Recover, {count} epochs"))
        if not settings.epochs:
            text, title = self.tr("repair without training"), self.tr("Repair without training")
        state = self.document.contents.present
        self._ask(title, lambda s: self._made(s, text), "recover", state, settings, changes=True, text=text)

    def go_on(self, job: Job | None) -> None:
        """Go on with a recovery that was broken off, from where its last checkpoint stands."""
        self.interrupted = None
        if job is not None and job.settings is not None and job.state == self.document.contents.present:
            self.recover(job.settings)

    def _interrupted(self, job: Running) -> None:
        """A recovery in which the engine was lost goes on once; one that ends it each time must not."""
        state, settings = job.arguments
        again = Job(job.method, state, job.title, settings, len(self.document.states), job.text)
        self.interrupted = None if again == self._broken_off else again
        self._broken_off = again

    def attach(self, path: str, trust_pickle: bool = False) -> None:
        """Take weights that were trained elsewhere; a pickle only with consent."""
        self.weights = path
        state = self.document.contents.present
        text = self.tr("attach weights {name}").format(name=Path(path).name)
        title = self.tr("Attach weights")
        asked = (state, path, trust_pickle)
        self._ask(title, lambda s: self._made(s, text), "attach", *asked, changes=True, text=text)

    def export(self, format: str, path: str) -> None:
        """Write the present state as a file."""
        state = self.document.contents.present

        def apply(exported: Any) -> None:
            self.document.take_export(state, exported)
            written = self.tr("Written and checked: {files}").format(files=", ".join(exported.files))
            self._say(" ".join((written, *exported.notes)))

        self._ask(self.tr("Export {name}").format(name=Path(path).name), apply, "export", state, format, path)

    def run(
        self,
        title: str,
        apply: Callable[[Any], None],
        method: str,
        *arguments: Any,
        arrived: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> None:
        """Run a job that changes neither the present state nor the plan; `arrived` takes what it makes on the way."""
        self._ask(title, apply, method, *arguments, arrived=arrived)

    def change(
        self,
        title: str,
        apply: Callable[[Any], None],
        method: str,
        *arguments: Any,
        arrived: Callable[[tuple[Any, ...]], None] | None = None,
    ) -> None:
        """Run a job that makes states, or opens another model: nothing can be edited meanwhile."""
        self._ask(title, apply, method, *arguments, changes=True, arrived=arrived)

    def show(self, model: OpenedModel) -> None:
        """Show a model that a job has opened."""
        assert model.spec is not None
        self._opened(model, model.spec)

    def save(self, folder: str) -> None:
        """Write a project into a folder."""
        self.keeper.written(lambda: self._save(folder))

    def _save(self, folder: str) -> None:
        place = self.document.history.position

        def apply(written: str) -> None:
            self.document.saved(written, place)

        self._ask(self.tr("Save the project"), apply, "save", folder, self.document.contents.present)

    def use_device(self) -> None:
        """Tell the engine where to train and judge."""
        device = self.document.contents.device
        self._ask(self.tr("Compute on {device}").format(device=device), lambda _: None, "use_device", device)

    def suggest(self) -> None:
        """Plan for the goal; once scores are there."""
        document = self.document
        if document.analysis is None:
            return
        if document.scores is None:
            self._suggest_later = True
            self._say(self.tr("Structures are being scored; the plan follows."))
            return self.score()
        if document.goal.cost is Cost.LATENCY and document.contents.table is None:
            return self.tabulate(plan=True)
        self._suggestion.start(document.contents, document.scores, document.revision)

    def tabulate(self, plan: bool = False) -> None:
        """Measure what latencies are predicted with, then perhaps plan."""
        contents, target = self.document.contents, self.document.target

        def apply(table: Any) -> None:
            contents.latencies[target] = table
            if contents is self.document.contents:
                self.document.announce(Aspect.TARGET)
                self.document.studies.savings()
                if plan:
                    self.suggest()

        if not any(job.method == "latencies" for job in self.board.running()):
            if plan:
                self._say(self.tr("Cut models are being measured on the target; the plan follows."))
            self._ask(self.tr("Measure what removal saves on the target"), apply, "latencies", target)

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
        passing: bool = False,
        text: str = "",
        otherwise: Callable[[], None] | None = None,
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
        running.passing, running.otherwise = passing, otherwise
        estimate = self.pace.estimate(method, *arguments)
        running.work, running.expected = estimate.work, estimate.seconds
        self.board.add(running)
        self._clock.start()
        self.document.announce(Aspect.JOBS)
        return True

    def _step_aside(self) -> None:
        for job in self.board.running():
            if job.background:
                self.cancel(job.id)

    # Results.

    def _opened(self, model: OpenedModel, spec: ModelSpec) -> None:
        self._suggest_later = False
        self.take_model(model, spec)
        self._say(self.tr("{name} is open").format(name=model.name))
        if Path(spec.source).is_dir() or Path(spec.source).suffix == BUNDLE:
            self._ask(self.tr("Read the history"), lambda states: self._history(states, spec.source), "states")
        else:
            self.look()

    def take_model(self, model: OpenedModel, spec: ModelSpec) -> None:
        """Show a model that the engine has opened; what is done from now on is kept in its folder."""
        self.keeper.leave()
        self.document.adopt(model, spec)
        if model.folder:
            self.folder = Path(model.folder)
            self.keeper.enter(self.folder)

    def _history(self, states: tuple[State, ...], folder: str) -> None:
        self.document.take_states(states)
        self._ask(self.tr("Read the baselines"), self.document.take_baselines, "baselines")
        self.keeper.open_project(folder)
        self.look()

    def _attached(self, task: TaskInfo) -> None:
        self.document.take_task(task)
        self._ask(self.tr("Read the metric"), self.document.take_metrics, "states")
        self.look()

    def look(self) -> None:
        """What follows by itself once another state or task is there: scores, the metric, and latencies if cheap."""
        document, state = self.document, self.document.state
        if document.absent:
            return
        self.score()
        first = document.metric(document.original)
        judged = state is None or any(first and (m.name, m.split) == (first.name, first.split) for m in state.metrics)
        if state is not None and document.task is not None and not judged:
            self.evaluate(state.id)
        document.studies.savings()
        self.measure_if_cheap()

    def _scored(self, state: str, criterion: str, scores: Any) -> None:
        self.document.take_scores(state, criterion, scores)
        if self._suggest_later and self.document.scores is not None:
            self._suggest_later = False
            self.suggest()

    def _made(self, state: State, text: str) -> None:
        self.document.add_state(state, text)
        if state.kind is StateKind.CUT and state.verification is not None:
            words = self.tr("Cut verified: equals the masked original, {difference}. This says nothing about accuracy.")
            self._say(words.format(difference=rough(state.verification.difference)))
        self.look()

    @Slot(object, int)
    def _suggested(self, marked: Any, revision: int) -> None:
        document = self.document
        if revision != document.revision or document.busy:
            return
        if not (marked & ~document.removed).any():
            return self._say(self.tr("The present state meets the goal already. Ask for less to cut more."))
        document.apply_plan(marked, self.tr("suggest plan"))

    @Slot(object, int)
    def _not_suggested(self, error: SecateurError, revision: int) -> None:
        self.document.fail(error)

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
        for point in event.points if job is not None and job.changes else ():
            if "step" in point and len(point) > 1:
                self.curve.append(_curve_point(point))
        if not self._pulse.isActive():
            self._pulse.start()

    @Slot(object, object)
    def _finished(self, number: int, result: Any) -> None:
        job = self._take(number)
        if job is not None:
            took = time.monotonic() - job.turn
            self.pace.learn(job.method, job.work, took)
            job.apply(result)
            if not job.background:
                self.ended.emit(self.tr("Finished: {job}").format(job=job.title), took)

    @Slot(object, object)
    def _failed(self, number: int, error: SecateurError) -> None:
        job = self._take(number)
        if job is not None and job.otherwise is not None:
            job.otherwise()
        if job is not None and job.method == "recover" and isinstance(error, EngineLost):
            self._interrupted(job)
        if job is None or job.background or isinstance(error, EngineLost):
            return
        if isinstance(error, Cancelled):
            kept = self.tr("Cancelled: {job}. What was made stays.")
            nothing = job.arrived is None or job.passing
            words = self.tr("Cancelled: {job}. Nothing was changed.") if nothing else kept
            return self._say(words.format(job=job.title))
        self._suggest_later = False
        self.document.fail(error)
        self.ended.emit(self.tr("Failed: {job}").format(job=job.title), time.monotonic() - job.turn)

    @Slot(object, bool, bool)
    def _lost(self, error: SecateurError, asked: bool, again: bool) -> None:
        self.engine = self.tr("restoring the session") if again else self.tr("engine stopped")
        if asked:
            self._say(self.tr("The job did not stop in time, so the engine was started again. Nothing was changed."))
        else:
            self.document.fail(error)
        self.document.announce(Aspect.JOBS)

    @Slot()
    def _restored(self) -> None:
        self.engine = self.tr("engine ready")
        self._say(self.tr("The engine runs again, with everything up to the last state."))
        self.document.announce(Aspect.JOBS)
        if self.document.contents.device != CPU:
            self.use_device()
        self.go_on(self.interrupted)
        self.score()

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
            self.document.announce(Aspect.JOBS)
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
