"""Jobs on the current state: cut, recover, attach weights, export, evaluate, measure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Slot

from secateur.engine.errors import Message, SecateurError
from secateur.engine.export.protocol import Exported
from secateur.engine.export.table import EXPORTERS
from secateur.engine.export.usage import place_of
from secateur.engine.jobs import Cancelled
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State, StateKind, measurable_exports
from secateur.engine.tasks.protocol import Metric, TaskInfo

from ..document.aspects import Overlay
from ..document.job_state import ConsentRequest, UnfinishedJob
from ..text.format import rough
from ..text.metrics import timing_of
from ..text.receipts import receipt_facts, receipt_notes
from ..text.titles import budget_title, recovery_title, state_name
from ..text.translate import counted, sentence
from .job_runner import DocumentJobs, JobRunner
from .plan_jobs import PlanJobs

MEASURED = frozenset({Overlay.ACTIVITY, Overlay.REDUNDANCY})
"""Overlays that come from a look at data."""
CHEAP = 2_000_000_000
"""MACs of one sample up to which latencies are measured without being asked."""


class StateJobs(DocumentJobs):
    """Makes states, and measures them."""

    def __init__(self, runner: JobRunner, plan: PlanJobs) -> None:
        """Work for a document."""
        super().__init__(runner)
        self._plan = plan
        runner.resting.connect(self._resume_measurements)
        self._document.scores_wanted.connect(self.read_activity)

    # States.

    def cut(self) -> None:
        """Cut what is marked."""
        document, contents = self._document, self._document.contents
        if document.analysis is None or not contents.marked.any():
            return document.say(self.tr("Nothing is marked. Mark structures, or suggest a plan."))
        count = int(contents.marked.sum())
        plan = replace(
            contents.intent(),
            choices=document.contents.choices,
            lose=document.goal.lose / 100,
            search=0 if contents.is_searched else None,
        )
        text = counted(count, self.tr("cut {count} structure"), self.tr("cut {count} structures"))
        title = counted(count, self.tr("Cut {count} structure"), self.tr("Cut {count} structures"))
        marks = contents.removed | contents.marked
        self._make(title, text, "cut", contents.present, marks, plan)

    def recover(self, settings: RecoverySettings) -> None:
        """Fine-tune the current state with the original as teacher."""
        text = self.tr("recover, {0}").format(budget_title(settings.budget))
        text = text if settings.trains else self.tr("repair without training")
        state = self._document.contents.present
        if self._make(recovery_title(settings), text, "recover", state, settings):
            self._document.begin_curve(state)

    def go_on(self, job: UnfinishedJob) -> None:
        """Resume a recovery that was broken off, from its last checkpoint."""
        if job.settings is not None and job.state == self._document.contents.present:
            self.recover(job.settings)

    def attach_weights(self, path: str, trust_pickle: bool = False) -> None:
        """Give the current state weights that were trained elsewhere; a pickle only with consent."""
        self._runner.consent = ConsentRequest(path, lambda consent: self.attach_weights(path, **{consent: True}))
        text = self.tr("attach weights {name}").format(name=Path(path).name)
        state = self._document.contents.present
        self._make(self.tr("Attach weights"), text, "attach", state, path, trust_pickle)

    def open_baseline(self, baseline: str) -> None:
        """Make a state of a baseline; the cut that it may take is a state, too."""
        title = self.tr("Open baseline {0} as a state").format(baseline)
        text = self.tr("open baseline {0}").format(baseline)
        self._make(title, text, "open_baseline", baseline, arrived=self._document.take_arrivals)

    def _make(self, title: str, text: str, method: str, *arguments: Any, **further: Any) -> bool:
        """Run a job that makes a state, which becomes the present one by a step called `text`."""
        document = self._document

        def take(state: State) -> None:
            """Make it the present state, and say what was found on the way."""
            document.add_state(state, text)
            if state.kind is StateKind.CUT and state.verification is not None:
                words = self.tr(
                    "Cut verified: equals the masked original, {difference}. This says nothing about accuracy."
                )
                document.say(words.format(difference=rough(state.verification.difference)))
            for message in (*state.rated, *state.repaired):
                document.say(sentence(message))
            if state.stopped is not None:
                document.say(sentence(state.stopped))
            self.measure_missing()

        return self._runner.run(title, take, method, *arguments, changes=True, text=text, **further)

    def export(self, format: str, path: str) -> None:
        """Write the current state as a file."""
        state = self._document.contents.present

        def apply(exported: Exported) -> None:
            """Keep what was written with the state, and show its receipt."""
            document = self._document
            document.take_export(state, exported)
            facts = receipt_facts(exported, document.contents.states.get(state), document.target)
            document.note(
                self.tr("Written and checked: {files} ({facts})").format(files=place_of(exported), facts=facts)
            )
            if notes := receipt_notes(exported):
                document.note(notes)
            if EXPORTERS[format].precision:
                self.measure_if_cheap()

        title = self.tr("Export {name}").format(name=Path(path).name)
        self._runner.run(title, apply, "export", state, format, path)

    def find_refusals(self, take: Callable[[Mapping[str, Message]], None]) -> None:
        """Have the engine say in which formats the current state cannot be written, and why."""
        state = self._document.contents.present
        self._runner.run(self.tr("Find possible exports"), take, "export_refusals", state, background=True)

    # Measurements.

    def measure_missing(self) -> None:
        """What follows by itself once another state or task is there: the metric, scores, and latencies if cheap."""
        document, state = self._document, self._document.state
        if document.absent:
            return
        # Rows have colours before anything runs on data.
        self._plan.score_first()
        if document.task is not None and document.original is not None and state is not None:
            first = document.metric(document.original)
            if first is None:
                self._evaluate_original(document.original.id)
            if state is not document.original and not any(metric.like(first) for metric in state.metrics):
                self.evaluate(state.id)
        self._plan.score()
        self.read_activity()
        self._plan.read_savings()
        self.measure_if_cheap()

    def evaluate(self, state: str = "") -> None:
        """Measure the metric of a state ("" for the current one) on the split that the original was evaluated on."""
        document = self._document
        state = state or document.contents.present
        about = self._about_metric(state)
        if document.task is None or not state or self._runner.is_asked_already(about):
            return

        def apply(metric: Metric) -> None:
            document.take_measurements(state, metrics=(metric,))

        title = self.tr("Evaluate {state}").format(state=state_name(document.states, state))
        self._runner.run(title, apply, "evaluate", state, document.evaluation_split, about=about)

    def _about_metric(self, state: str) -> object:
        """What a job is about that measures the metric of a state on the split that results are judged on."""
        return "metric", state, self._document.evaluation_split

    def _evaluate_original(self, original: str) -> None:
        """Measure the original's metric; what that tells of the data is shown with it."""
        about = self._about_metric(original)
        if self._runner.is_asked_already(about):
            return

        def apply(found: tuple[Metric, TaskInfo]) -> None:
            metric, info = found
            self._document.take_info(info)
            if self._document.original is not None:
                self._document.take_measurements(self._document.original.id, metrics=(metric,))

        self._runner.run(self.tr("Evaluate the original"), apply, "evaluate_original", about=about)

    def measure(self, background: bool = False, others: tuple[str, ...] = ()) -> None:
        """Measure original and current state on the target, interleaved, and perhaps other states with them."""
        document, target = self._document, self._document.target
        if document.original is None or document.state is None:
            return
        # Another machine is used only when the user asks for it.
        if target.machine and (background or not target.is_reachable):
            if not background:
                document.say(self.tr("The target is another machine. Use Run > Measure over SSH."))
            return
        own = {one.id: one for one in (document.original, document.state)}
        exports = (name for one in own.values() for name in measurable_exports(one, target))
        states = tuple(dict.fromkeys((*own, *others, *exports)))
        about = ("measure", states, target)
        if self._runner.is_asked_already(about, background):
            return

        def apply(timings: Any) -> None:
            for state, timing in zip(states, timings, strict=True):
                document.take_measurements(state, timings=(timing,))

        title = self.tr("Measure on the target")
        self._runner.run(title, apply, "measure", states, target, background=background, about=about)

    def measure_if_cheap(self, others: tuple[str, ...] = ()) -> None:
        """Measure without being asked, where that takes seconds."""
        if self._document.original is not None and self._document.original.macs <= CHEAP:
            self.measure(background=True, others=others)

    def read_filters(self) -> None:
        """Read the images of the first convolution's filters of the current state, unless they are known."""
        contents, state = self._document.contents, self._document.contents.present
        about = ("filters", state)
        known = state in contents.filters or self._runner.queue.about(about) is not None
        if known or self._runner.link is None:
            return

        title = self.tr("Read the first layer's filters")
        take = partial(self._document.take_filters, state)
        self._runner.run(title, take, "filters", state, background=True, about=about)

    def read_responses(self, about: tuple[str, str, str], title: str, asked: bool = False) -> None:
        """Look at what the structures of a (state, coupled set, layer) do on data, unless that is known.

        What was asked for another layer before is dropped: it is no longer looked at.

        Args:
            about: What is meant.
            title: Of the job.
            asked: A person asked for just this; else it is shown because the selection has moved.
        """
        document, runner = self._document, self._runner
        known = document.contents.responses.get(about)
        if document.task is None or runner.link is None or document.absent:
            return
        if (known is not None and known.seen >= known.total) or runner.queue.about(about) is not None:
            return
        runner.drop([job for job in runner.queue.jobs() if job.method == "responses"])
        document.miss_responses(about, "")

        def show_failure(error: SecateurError) -> None:
            """Say why nothing is to be seen; a cancel is no failure."""
            if not isinstance(error, Cancelled):
                document.miss_responses(about, sentence(error.message))

        runner.run(
            title,
            partial(document.take_responses, about),
            "responses",
            *about,
            background=not asked,
            about=about,
            arrived=lambda made: document.take_responses(about, made[-1]),
            otherwise=show_failure,
        )

    @Slot()
    def read_activity(self, asked: bool = False) -> None:
        """Measure what the current state is to be coloured by, where that is measured on data and not known.

        `asked` by a person; else another state has come.
        """
        document, state = self._document, self._document.contents.present
        about = ("activity", state)
        if document.contents.overlay not in MEASURED or document.task is None or document.absent or not state:
            return
        if state in document.contents.activity or self._runner.queue.about(about) is not None:
            return

        def take_back(error: SecateurError) -> None:
            """Scores have colours whatever happens; what only made room for another job is measured after it."""
            if asked or not isinstance(error, Cancelled):
                document.set_overlay(Overlay.SCORE)

        title = self.tr("Measure activity of {state}").format(state=state_name(document.states, state))
        take = partial(document.take_activity, state)
        self._runner.run(title, take, "activity", state, background=not asked, about=about, otherwise=take_back)

    @Slot(object)
    def _resume_measurements(self, methods: frozenset[str]) -> None:
        """Read and measure what a person's own jobs came before, where that is not known by now."""
        document = self._document
        if "filters" in methods:
            self.read_filters()
        if "activity" in methods:
            self.read_activity()
        known = (timing_of(state, document.target) for state in (document.original, document.state))
        if "measure" in methods and None in known:
            self.measure_if_cheap()
