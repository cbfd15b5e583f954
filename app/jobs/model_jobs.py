"""The document's jobs: calls to the engine, each tied to what it was started from, and what their results become."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Slot

from secateur.engine.devices import CPU
from secateur.engine.errors import SecateurError
from secateur.engine.planning.protocol import Cost
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.filter_images import Filters
from secateur.engine.session.states import OpenedModel, PlanIntent, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import Metric, TaskInfo, TaskSpec

from ..document.aspects import Aspect
from ..document.consent_request import Refusable
from ..storage.autosave.remembered import Job
from ..storage.open_target import BUNDLE
from ..storage.session_restore import Keeper
from ..storage.user_folders import new_session_folder
from ..text.format import rough
from ..text.metrics import timing_of
from ..text.titles import criterion_called, recovery_called, state_called
from ..text.translate import counted, sentence, sentences
from .job_queue import Running
from .job_runner import Runner
from .plan_solver import Suggestion

if TYPE_CHECKING:
    from ..document.document import Document

CHEAP = 2_000_000_000
"""MACs of one sample up to which latencies are measured without being asked."""
LASTING = frozenset({"recover", "sweep", "sensitivity", "lowest", "compare"})
"""What keeps as it goes what it has made, and goes on from there when it is asked for once more."""


class Work(Runner):
    """The jobs of a document.

    Attributes:
        asked: What was asked to be opened last.
        refusable: What was asked to be opened, attached or applied last: consent may be missing for it.
        interrupted: Jobs that the engine was lost in; they go on once the engine is there again.
        keeper: Keeps the session on disk, and brings back what an earlier window has left.
    """

    def __init__(self, document: "Document", link: Any) -> None:
        """Work for a document; `link` is an `EngineLink`, or None where there is no engine."""
        super().__init__(document, link)
        self.asked: ModelSpec | None = None
        self.refusable: Refusable | None = None
        self.interrupted: list[Running] = []
        self.keeper = Keeper(self)
        self._plan_again = False  # The engine was lost in a job that a plan waited for.
        self._suggestion = Suggestion(self)
        self._suggestion.ready.connect(self._suggested)
        self._suggestion.failed.connect(self._not_suggested)

    def leave(self) -> None:
        """Let go of what is kept on disk, and of a plan in the making."""
        self._suggestion.close()
        self.keeper.close()

    # Jobs.

    def open(self, spec: ModelSpec) -> None:
        """Open a model."""
        self.asked = spec
        self.refusable = Refusable(
            spec.weights or spec.source, lambda consent: self.open(replace(spec, **{consent: True}))
        )
        title = self.tr("Open {name}").format(name=self._name(spec.source))
        self.start()
        folder = str(self.folder if self.document.analysis is None else new_session_folder())
        self._ask(title, lambda model: self._opened(model, spec), "open", spec, False, folder, changes=True)

    def restore(
        self,
        folder: Path,
        name: str,
        moved: tuple[tuple[str, str], ...],
        then: Callable[[OpenedModel, tuple[State, ...]], None],
        otherwise: Callable[[], None],
        trust_code: bool = False,
    ) -> bool:
        """Open a session's folder where it lies; `then` takes the model with its states. False where jobs run."""

        def opened(model: OpenedModel) -> None:
            self._ask(title, lambda states: then(model, states), "states", changes=True, otherwise=otherwise)

        title = self.tr("Restore {name}").format(name=name)
        self.asked = None
        self.refusable = Refusable(str(folder), lambda _: self.keeper.restore(folder, name, moved, trust_code=True))
        return self._ask(title, opened, "restore", str(folder), moved, trust_code, changes=True, otherwise=otherwise)

    def _name(self, source: str) -> str:
        samples = {"bundled:resnet": self.tr("sample ResNet"), "bundled:vit": self.tr("sample ViT")}
        return samples.get(source) or Path(source).name or source

    def attach_task(self, spec: TaskSpec) -> None:
        """Attach data and metric."""
        self._ask(self.tr("Open the data"), self._attached, "attach_task", spec, changes=True)

    def evaluate(self, state: str) -> None:
        """Measure a state's metric on the split that the original was evaluated on."""
        if self.document.task is None or not state:
            return

        def apply(metric: Metric) -> None:
            self.document.take_measurements(state, metrics=(metric,))

        self._ask(
            self.tr("Evaluate {state}").format(state=state_called(self.document, state)),
            apply,
            "evaluate",
            state,
            self.document.judged_on,
        )

    def judge_original(self) -> None:
        """Measure the original's metric; what that tells of the data is shown with it."""

        def apply(found: tuple[Metric, TaskInfo]) -> None:
            metric, info = found
            self.document.take_info(info)
            if self.document.original is not None:
                self.document.take_measurements(self.document.original.id, metrics=(metric,))

        self._ask(self.tr("Evaluate the original"), apply, "judge_original")

    def score(self) -> None:
        """Rate the structures of the current state, unless that is known or under way."""
        self._rate(self.document.criterion, self.document.choices, self.document.rating)

    def rate(self, criterion: str) -> None:
        """Score them by another criterion too, as it does by itself: the document's criterion stays."""
        self._rate(criterion, Choices(), criterion)

    def _rate(self, criterion: str, choices: Choices, rating: str) -> None:
        state = self.document.contents.present
        title = self.tr("Score structures of {state} by {criterion}").format(
            state=state_called(self.document, state), criterion=criterion_called(criterion)
        )
        about = (state, rating)
        known = about in self.document.contents.scores or self.board.about(about) is not None
        if state and not known and self.link is not None:
            asked, take = (state, criterion, choices), self.document.take_scores
            self._ask(title, lambda scores: take(state, rating, scores), "score", *asked, about=about)

    def filters(self) -> None:
        """Bring the images of the first convolution's filters of the current state, where nobody has yet."""
        contents, state = self.document.contents, self.document.contents.present
        about = ("filters", state)
        if state in contents.filters or self.board.about(about) is not None or self.link is None:
            return

        def apply(found: Filters | None) -> None:
            contents.filters[state] = found
            if contents is self.document.contents:
                self.document.announce(Aspect.STATES)

        title = self.tr("Read the first layer's filters")
        self._ask(title, apply, "filters", state, background=True, about=about)

    def measure(self, background: bool = False, others: tuple[str, ...] = ()) -> None:
        """Measure original and current state on the target, interleaved, and perhaps other states with them."""
        document, target = self.document, self.document.target
        if document.original is None or document.state is None:
            return
        if target.machine:  # It cannot be measured from here.
            return (
                None
                if background
                else self._say(self.tr("The target is another machine. Use Run > Measure on another machine."))
            )
        states = tuple(dict.fromkeys((document.original.id, document.state.id, *others)))

        def apply(timings: Any) -> None:
            for state, timing in zip(states, timings, strict=True):
                document.take_measurements(state, timings=(timing,))

        self._ask(self.tr("Measure on the target"), apply, "measure", states, target, background=background)

    def measure_if_cheap(self, others: tuple[str, ...] = ()) -> None:
        """Measure without being asked, where that takes seconds."""
        if self.document.original is not None and self.document.original.macs <= CHEAP:
            self.measure(background=True, others=others)

    def take_up(self, methods: set[str]) -> None:
        """Read and measure what a person's own jobs came before, where that is not known by now."""
        document = self.document
        if "filters" in methods:
            self.filters()
        known = (timing_of(state, document.target) for state in (document.original, document.state))
        if "measure" in methods and None in known:
            self.measure_if_cheap()

    def cut(self) -> None:
        """Cut what is marked."""
        document, contents = self.document, self.document.contents
        if document.analysis is None or not contents.marked.any():
            return self._say(self.tr("Nothing is marked. Mark structures, or suggest a plan."))
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
        """Fine-tune the current state."""
        text = counted(settings.epochs, self.tr("recover, {count} epoch"), self.tr("recover, {count} epochs"))
        text = text if settings.epochs else self.tr("repair without training")
        title = recovery_called(settings)
        state = self.document.contents.present
        if self._ask(title, lambda s: self._made(s, text), "recover", state, settings, changes=True, text=text):
            self.begin_curve(state)

    def go_on(self, job: Job) -> None:
        """Go on with a recovery that was broken off, from where its last checkpoint stands."""
        if job.settings is not None and job.state == self.document.contents.present:
            self.recover(job.settings)

    def broken_off(self, job: Running) -> None:
        """What goes on where it stood is asked for once more; a job that ends the engine each time must not."""
        self._plan_again = self._plan_again or job.then is not None
        if job.method in LASTING and not job.again:
            self.interrupted.append(job)

    def _ask_again(self) -> None:
        """What the engine was lost in, in the order that it was asked for."""
        jobs, self.interrupted = self.interrupted, []
        for job in jobs:
            if not job.changes or job.arguments[0] == self.document.contents.present:
                told, changes, about = (job.title, job.apply, job.method, *job.arguments), job.changes, job.about
                begun = self._ask(*told, changes=changes, about=about, arrived=job.arrived, text=job.text, again=True)
                if begun and changes:
                    self.begin_curve(job.arguments[0])  # it comes whole, from its beginning

    def attach(self, path: str, trust_pickle: bool = False) -> None:
        """Take weights that were trained elsewhere; a pickle only with consent."""
        self.refusable = Refusable(path, lambda consent: self.attach(path, **{consent: True}))
        state = self.document.contents.present
        text = self.tr("attach weights {name}").format(name=Path(path).name)
        title = self.tr("Attach weights")
        asked = (state, path, trust_pickle)
        self._ask(title, lambda s: self._made(s, text), "attach", *asked, changes=True, text=text)

    def export(self, format: str, path: str) -> None:
        """Write the current state as a file."""
        state = self.document.contents.present

        def apply(exported: Any) -> None:
            self.document.take_export(state, exported)
            written = self.tr("Written and checked: {files}").format(
                files=path if len(exported.files) > 1 else exported.files[0]
            )
            self._say(sentences((written, *exported.notes)))

        self._ask(self.tr("Export {name}").format(name=Path(path).name), apply, "export", state, format, path)

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
        """Tell the engine where to train and evaluate."""
        device = self.document.contents.device
        self._ask(self.tr("Compute on {device}").format(device=device), lambda _: None, "use_device", device)

    def suggest(self) -> None:
        """Plan for the goal; once scores are there, and what predicts a latency that it limits."""
        document, contents = self.document, self.document.contents
        if document.analysis is None:
            return
        if document.scores is None:
            self.score()
            words = self.tr("Computing scores. The plan follows.")
            return self._plan_after((contents.present, contents.rating), words)
        if document.goal.cost is Cost.LATENCY and contents.table is None:
            self.tabulate()
            words = self.tr("Measuring cut models on the target. The plan follows.")
            return self._plan_after(("latencies", document.target), words)
        self._suggestion.start(contents, document.scores, document.revision)

    def _plan_after(self, about: object, words: str) -> None:
        """Plan once the job about something has brought its result, if the same state is present then."""
        state, job = self.document.contents.present, self.board.about(about)

        def follow() -> None:
            if self.document.contents.present == state:
                self.suggest()

        if job is not None:
            job.then = follow
            self._say(words)

    def tabulate(self) -> None:
        """Measure what latencies on the target are predicted with, unless that is under way."""
        contents, target = self.document.contents, self.document.target
        about = ("latencies", target)

        def apply(table: Any) -> None:
            contents.latencies[target] = table
            if contents is self.document.contents:
                self.document.announce(Aspect.TARGET)
                self.document.studies.savings()

        if self.board.about(about) is None:
            self._ask(self.tr("Measure latency savings on the target"), apply, "latencies", target, about=about)

    def came_back(self) -> None:
        """Compute where the document says, go on with what was broken off, rate again."""
        if self.document.contents.device != CPU:
            self.use_device()
        self._ask_again()
        if self._plan_again:
            self._plan_again = False
            self.suggest()
        else:
            self.score()

    # Results.

    def _opened(self, model: OpenedModel, spec: ModelSpec) -> None:
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
        self.document.project.emit(folder)
        self.document.take_states(states)
        self._ask(self.tr("Read the baselines"), self.document.take_baselines, "baselines")
        self.keeper.open_project(folder, self.look)  # the current state is known only then

    def _attached(self, task: TaskInfo) -> None:
        def judged(states: tuple[State, ...]) -> None:
            self.document.take_metrics(states)
            self.look()

        self.document.take_task(task)
        self._ask(self.tr("Read the metric"), judged, "states")  # the engine evaluated the original as it attached
        self.score()

    def look(self) -> None:
        """What follows by itself once another state or task is there: scores, the metric, and latencies if cheap."""
        document, state = self.document, self.document.state
        if document.absent:
            return
        self.score()
        if document.task is not None and document.original is not None and state is not None:
            first = document.metric(document.original)
            if first is None:
                self.judge_original()
            if state is not document.original and not any(metric.like(first) for metric in state.metrics):
                self.evaluate(state.id)
        document.studies.savings()
        self.measure_if_cheap()

    def _made(self, state: State, text: str) -> None:
        self.document.add_state(state, text)
        if state.kind is StateKind.CUT and state.verification is not None:
            words = self.tr("Cut verified: equals the masked original, {difference}. This says nothing about accuracy.")
            self._say(words.format(difference=rough(state.verification.difference)))
        if state.stopped is not None:
            self._say(sentence(state.stopped))
        self.look()

    @Slot(object, int)
    def _suggested(self, marked: Any, revision: int) -> None:
        document = self.document
        if revision != document.revision or document.busy:
            return
        if not (marked & ~document.removed).any():
            return self._say(self.tr("The current state already meets the goal. Lower the goal to cut more."))
        document.apply_plan(marked, self.tr("suggest plan"))

    @Slot(object, int)
    def _not_suggested(self, error: SecateurError, revision: int) -> None:
        if revision == self.document.revision:
            self.document.fail(error)
