"""The document: the only state of the window. Panels show it, and jobs tell it what they made.

It puts together contents, plan editor, undo history, selection, log and what the job queue has published; it knows no
job. Every change is announced once, by `changed`, with the aspects that it touched; `dispatcher` passes it on to the
panels, one after the other.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from secateur.engine.baselines.protocol import Baseline
from secateur.engine.errors import SecateurError
from secateur.engine.export.protocol import Exported
from secateur.engine.inspection.response_data import LayerResponses, ModelActivity
from secateur.engine.masks.learned_gates import LearnedGates
from secateur.engine.planning.goal_verdict import GoalVerdict
from secateur.engine.planning.protocol import Ranking
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.criteria import FIRST
from secateur.engine.scoring.protocol import PartialScores, Step
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.filter_images import Filters
from secateur.engine.session.states import EXPORT_MARK, OpenedModel, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import Costs, costs
from secateur.engine.structures.outputs import outputs_in_words
from secateur.engine.targets.latency_table import LatencyTable, Saving
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, Split, TaskInfo

from ..text.metrics import metric_of, path_to, replaced
from ..text.titles import state_name
from ..text.translate import sentence
from .aspects import Aspect, Goal, Overlay, Selection, Side
from .change_dispatcher import ChangeDispatcher
from .contents import Contents, SearchTrial, allowed, measured, opened, verdict_on_goal
from .job_state import (
    CurvePoint,
    EngineState,
    FolderReceipt,
    JobView,
    Receipt,
    TrainingCurve,
    UnfinishedJob,
)
from .message_log import Level, MessageLog
from .overlays import lost_by_structure, shares_by_structure
from .plan_editor import PLAN, PlanEditor
from .sensitivity_curves import Curves
from .undo_history import Snapshot, UndoHistory

__all__ = ["Aspect", "CurvePoint", "Document", "Goal", "JobView", "Overlay", "Selection", "Side"]

ALL = frozenset(Aspect)
RESPONSES = 8
"""Layers whose responses are kept: each has some megabytes of pictures and maps."""


class Document(QObject):
    """Model, task, target, tree of states, marks, selection, and what is known of the jobs.

    Attributes:
        contents: What is open.
        plan: Edits marks, locks and goal, and travels through the history.
        history: Every step that can be undone.
        dispatcher: Tells the panels what changed; they `watch` it there.
        messages: What happened, line by line.
        revision: Grows with every change that makes a plan in the making worthless.
        jobs: Jobs that run or wait, the running one first.
        unfinished: The job that changes states, as far as it can be gone on with at the next start; None for none.
        engine: What is known of the engine process.
        restorable: How many sessions ended without being closed, and can be restored.

    Signals:
        changed: frozenset[Aspect], at once: for what must happen before anything else does.
        failed: SecateurError, to be shown in an error bar or dialog.
        announced: str, a sentence for the status bar.
        project: (folder, machine) of a project that was written, or opened; "" for this machine.
        requested: Callable that takes the main window: what a panel wants of it, a dialog or a command. A panel that
            floats is in another window, so it must not take its own for that.
        scores_wanted: Another state is present, or another rating wanted: its scores may be missing.
    """

    changed = Signal(object)
    failed = Signal(object)
    announced = Signal(str)
    project = Signal(str, str)
    requested = Signal(object)
    scores_wanted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.contents = Contents()
        self.history = UndoHistory()
        self.plan = PlanEditor(self)
        self.dispatcher = ChangeDispatcher(self)
        self.messages = MessageLog()
        self.revision = 0
        self.jobs: tuple[JobView, ...] = ()
        self.unfinished: UnfinishedJob | None = None
        self.engine = EngineState()
        self.restorable = 0
        self._verdict: tuple[tuple[Any, ...], Goal, TargetSpec, GoalVerdict | None] | None = None
        self._open: tuple[LearnedGates, NDArray[np.float64]] | None = None
        self._shares: tuple[Mask, NDArray[np.float64]] | None = None
        self._costs: tuple[tuple[Any, Any], Costs | None] | None = None
        self._original_costs: tuple[Any, Costs] | None = None

    # What is open.

    @property
    def model_name(self) -> str:
        """Name for a person, "" in an empty window."""
        return self.contents.name

    @property
    def analysis(self) -> Analysis | None:
        """What can be removed."""
        return self.contents.analysis

    @property
    def task(self) -> TaskInfo | None:
        """What evaluates the model."""
        return self.contents.task

    @property
    def target(self) -> TargetSpec:
        """Where the model will run."""
        return self.contents.target

    @property
    def goal(self) -> Goal:
        """Keep and lose."""
        return self.contents.goal

    @property
    def recovery(self) -> RecoverySettings:
        """How the next recovery is done."""
        return self.contents.recovery

    @property
    def selection(self) -> Selection:
        """What the inspector shows."""
        return self.contents.selection

    @property
    def absent(self) -> str:
        """Why the model can only be looked at, "" where it can be worked on."""
        return self.contents.absent

    @property
    def untrained(self) -> bool:
        """The current state has random weights, and none that were attached since."""
        present = self.state
        if present is None or not self.contents.untrained:
            return False
        return all(state.kind is not StateKind.ATTACHED for state in path_to(self.states, present))

    @property
    def states(self) -> tuple[State, ...]:
        """All states, in order of making."""
        return tuple(self.contents.states.values())

    @property
    def state(self) -> State | None:
        """The current state."""
        return self.contents.state

    @property
    def original(self) -> State | None:
        """The state everything began from."""
        return self.contents.original

    @property
    def criterion(self) -> str:
        """Key of the criterion in use."""
        return self.contents.criterion

    @property
    def scores(self) -> NDArray[np.float64] | None:
        """[S] scores in the current state, smaller is less important, NaN unknown; None before scoring."""
        return self.contents.present_scores

    @property
    def partial(self) -> PartialScores | None:
        """Scores so far, while there are no others: to be shown as what they are, for nothing that decides."""
        job = self.job_about((self.contents.present, self.contents.rating))
        so_far: PartialScores | None = None if job is None else job.so_far
        # Scores of some layers would take the colours from the others.
        some = so_far is not None and so_far.step is Step.LAYERS
        return None if some and self.first_scores is not None else so_far

    @property
    def first_scores(self) -> NDArray[np.float64] | None:
        """[S] scores of the current state by weights alone: shown until there are others; nothing decides by them."""
        return self.contents.scores.get((self.contents.present, FIRST))

    @property
    def learned_gates(self) -> LearnedGates | None:
        """Gates of masks while they are learned, else None; views show how open they are in place of scores."""
        found = (job.so_far for job in self.jobs if isinstance(job.so_far, LearnedGates))
        return next((gates for gates in found if gates.step < gates.steps), None)

    @property
    def shown_scores(self) -> NDArray[np.float64] | None:
        """[S] what is shown as scores: how open gates are while they are learned, else the scores of the current state.

        Scores that are being made are shown as far as they are (`partial`), before that those of weights alone.
        """
        if (gates := self.learned_gates) is not None:
            if self._open is None or self._open[0] is not gates:
                self._open = gates, np.where(self.removed, np.nan, gates.open)
            return self._open[1]
        if self.scores is not None:
            return self.scores
        return self.first_scores if self.partial is None else self.partial.scores

    @property
    def overlay_values(self) -> NDArray[np.float64] | None:
        """[S] what structures are coloured by, NaN unknown; None where nothing of it is known yet."""
        analysis, overlay = self.analysis, self.contents.overlay
        if analysis is None or overlay is Overlay.SCORE or self.learned_gates is not None:
            return self.shown_scores
        if overlay is Overlay.COST:
            # What a state lacks is another array in every model and state.
            if self._shares is None or self._shares[0] is not self.removed:
                self._shares = self.removed, shares_by_structure(analysis, self.removed)
            return self._shares[1]
        if overlay is Overlay.SENSITIVITY:
            return None if self.curves is None else lost_by_structure(analysis, self.removed, self.curves)
        if (found := self.contents.activity.get(self.contents.present)) is None:
            return None
        return (found.active if overlay is Overlay.ACTIVITY else found.redundancy).astype(np.float64)

    @property
    def ranked(self) -> bool:
        """Whether colours of what is shown go by rank; how open gates are is a share, and shown as that."""
        return self.learned_gates is None

    @property
    def curves(self) -> Curves | None:
        """Sensitivity of the current state, as far as it was measured; None where nothing was."""
        return self.contents.curves.get((self.contents.present, self.contents.rating))

    @property
    def removed(self) -> Mask:
        """[S] removed in the current state."""
        return self.contents.removed

    @property
    def marked(self) -> Mask:
        """[S] the plan, on top of `removed`; do not change in place."""
        return self.contents.marked

    @property
    def locked(self) -> Mask:
        """[S] protected by the user."""
        return self.contents.locked

    @property
    def original_costs(self) -> Costs | None:
        """Costs of the original."""
        if self.analysis is None:
            return None
        if self._original_costs is None or self._original_costs[0] is not self.analysis:
            self._original_costs = (self.analysis, costs(self.analysis))
        return self._original_costs[1]

    @property
    def plan_costs(self) -> Costs | None:
        """Costs of what current state and plan leave."""
        key = (self.contents.removed, self.contents.marked)
        if self._costs is None or self._costs[0][0] is not key[0] or self._costs[0][1] is not key[1]:
            self._costs = (key, self.contents.plan_costs())
        return self._costs[1]

    def metric(self, state: State | None) -> Metric | None:
        """The metric of a state that compares with the original's: on the same split, None where that has none."""
        return self.contents.metric(state)

    @property
    def evaluation_split(self) -> Split:
        """The split that the original was evaluated on, and so all others are; the test split before that."""
        first = metric_of(self.original)
        return first.split if first is not None else Split.TEST

    @property
    def goal_verdict(self) -> GoalVerdict | None:
        """What the plan, or the current state, makes of the goal; None for the original."""
        contents = self.contents
        key = (contents.analysis, contents.removed, contents.marked, contents.table, self.state, self.original)
        known = self._verdict
        same = known is not None and known[1:3] == (self.goal, self.target)
        if known is None or not same or any(one is not other for one, other in zip(known[0], key, strict=True)):
            verdict = verdict_on_goal(contents, self.original_costs, self.plan_costs)
            known = self._verdict = (key, self.goal, self.target, verdict)
        return known[3]

    @property
    def loses_points(self) -> bool:
        """Whether losses are points of a fraction; else they are shares of the original's metric."""
        first = self.metric(self.original)
        return first is None or first.percent

    @property
    def to_try(self) -> NDArray[np.int64]:
        """[k] structures that a trial does without: those that are selected, else those that are marked."""
        chosen = self.selection.several or (self.selection.structure,)
        there = [one for one in chosen if one >= 0 and not self.removed[one]]
        return np.array(there, np.int64) if there else np.flatnonzero(self.marked)

    # Jobs and history, as views show them.

    def job_about(self, what: object) -> JobView | None:
        """The job about something, None where none runs or waits."""
        return next((job for job in self.jobs if job.about == what), None)

    @property
    def busy(self) -> bool:
        """A job that changes states runs: the plan cannot be edited."""
        return any(job.changes for job in self.jobs)

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Points of the running or last recovery."""
        return tuple(self.contents.training.points)

    # What a person chooses.

    def select(self, selection: Selection) -> None:
        """Show something in the inspector."""
        if selection != self.selection:
            self.contents.selection = selection
            self.announce(Aspect.SELECTION)

    def select_alone(self, selection: Selection) -> None:
        """Show what a view of rows has as its current row, unless that is one of several that are shown already."""
        if replace(self.selection, several=()) != selection:
            self.select(selection)

    def hover(self, structure: int) -> None:
        """The structure under the mouse, -1 for none."""
        if structure != self.contents.hovered:
            self.contents.hovered = structure
            self.announce(Aspect.HOVER)

    def compare(self, left: Side | None, right: Side | None) -> None:
        """Compare two models; None for the original at the left, for what is present at the right."""
        self.contents.compared = (left, right)
        self.announce(Aspect.COMPARED)

    def choose_changes(self, before: str, after: str, split: Split) -> None:
        """Compare the predictions of two states or baselines on a split."""
        known = self.contents.changes
        known.before, known.after, known.split = before, after, split
        self.announce(Aspect.CHANGES)

    def set_target(self, target: TargetSpec) -> None:
        """Choose where the model will run."""
        # Targets compare equal whatever their address, but this one can be reached again.
        found_again = target == self.target and target.address not in ("", self.target.address)
        if target != self.target or found_again:
            self.contents.target = target
            self.revision += 1
            self.announce(Aspect.TARGET)

    def set_device(self, device: str) -> bool:
        """Choose where models are trained and evaluated from now on; whether that is another one."""
        if device == self.contents.device:
            return False
        self.contents.device = device
        self.announce(Aspect.TARGET)
        return True

    def set_recovery(self, settings: RecoverySettings) -> None:
        """Choose how the next recovery is done."""
        if settings != self.recovery:
            self.contents.recovery = settings
            self.announce(Aspect.JOBS)

    def set_criterion(self, name: str) -> None:
        """Rate structures by another rule; choices that it leaves no room for are dropped."""
        if name != self.criterion:
            self.contents.criterion = name
            self.contents.choices = allowed(name, self.contents.choices)
            self.revision += 1
            self.announce(Aspect.SCORES)
            self.want_scores()

    def set_choices(self, choices: Choices, ranking: Ranking) -> None:
        """Choose how scores are made from weights or gradients, and what competes by them."""
        if choices != self.contents.choices or ranking is not self.contents.ranking:
            self.contents.choices, self.contents.ranking = allowed(self.criterion, choices), ranking
            self.revision += 1
            self.announce(Aspect.SCORES)
            self.want_scores()

    def set_overlay(self, overlay: Overlay) -> None:
        """Colour structures by something else."""
        if overlay is not self.contents.overlay:
            self.contents.overlay = overlay
            self.announce(Aspect.SCORES)

    def show_receipt(self, receipt: Receipt | FolderReceipt | None) -> None:
        """Show what was written; None puts the receipt away."""
        self.contents.receipt = receipt
        self.announce(Aspect.STATES)

    # What is said.

    def note(self, text: str, level: Level = Level.INFO) -> None:
        """Add a line to the log, or several."""
        self.messages.write(text, level)
        self.announce(Aspect.LOG)

    def evaluation_words(self) -> str:
        """That the original is being evaluated, or what that waits for; "" where no job does it."""
        job = next((job for job in self.jobs if job.method == "evaluate_original"), None)
        if job is None:
            return ""
        if not job.place:
            return self.tr("The original is being evaluated.")
        return self.tr("The evaluation of the original waits for: {job}.").format(job=self.jobs[0].title)

    def announce(self, *aspects: Aspect) -> None:
        """Tell the views what changed."""
        self.changed.emit(frozenset(aspects))
        self.dispatcher.tell(frozenset(aspects))

    def tell(self, sentence: str) -> None:
        """Say something in the status bar."""
        self.announced.emit(sentence)

    def say(self, sentence: str) -> None:
        """Say what just happened, in the log and in the status bar."""
        self.note(sentence)
        self.tell(sentence)

    def fail(self, error: SecateurError, level: Level = Level.ERROR) -> None:
        """Tell the window what went wrong, or what it is to ask about, which is no error in the log."""
        self.note(sentence(error.message), level)
        self.failed.emit(error)

    def want_scores(self) -> None:
        """Another state is present, or another rating wanted: its scores may be missing."""
        self.scores_wanted.emit()

    # What the job queue and the jobs tell.

    def take_jobs(self, jobs: tuple[JobView, ...], unfinished: UnfinishedJob | None) -> None:
        """Jobs that run or wait, as the queue has them now; who published them announces it."""
        self.jobs, self.unfinished = jobs, unfinished

    def take_engine(self, engine: EngineState) -> None:
        """The engine process does something else."""
        self.engine = engine
        self.announce(Aspect.JOBS)

    def take_restorable(self, count: int) -> None:
        """So many sessions can be restored."""
        self.restorable = count
        # Commands look at this count.
        self.announce(Aspect.JOBS)

    def begin_curve(self, state: str = "") -> None:
        """Forget the last recovery's points; those that come are of the recovery of a state."""
        self.contents.training, self.contents.next_curve = TrainingCurve(state), None
        self.announce(Aspect.CURVE)

    def expect_curve(self, state: str) -> None:
        """The next point, should one come, begins the curve of a state's recovery: until then the last one stays."""
        self.contents.next_curve = state

    def take_point(self, point: CurvePoint) -> None:
        """A training got on."""
        if self.contents.next_curve is not None:
            self.begin_curve(self.contents.next_curve)
        self.contents.training.add(point)

    def adopt(self, model: OpenedModel, spec: ModelSpec) -> None:
        """Show another model."""
        self.contents = opened(model, spec, self.contents)
        self.history.clear()
        self.revision += 1
        self.note(self.tr("Opened {name}").format(name=model.name))
        for note in (*outputs_in_words(model.analysis.returned), *model.notes):
            self.note(sentence(note))
        self.announce(*ALL)

    def add_state(self, state: State, text: str) -> None:
        """A job made a state: it becomes the present one, as one undoable step."""
        self.contents.states[state.id] = state
        self.plan.enter(state.id, text)

    def take_task(self, task: TaskInfo) -> None:
        """Another task is attached: metrics and scores of the old one no longer mean anything, of other data."""
        before = None if self.contents.task is None else self.contents.task.spec
        self._tell_of(task)
        if before is None or task.spec is None or (before.kind, before.path) != (task.spec.kind, task.spec.path):
            # A metric expected on the former data says nothing about other data.
            self.contents.expected = 0.0
        if self.contents.origin is not None:
            self.contents.origin = replace(self.contents.origin, task=task.spec)
        self.contents.scores.clear()
        if task.spec is None or not task.spec.same_data(before):
            self.contents.states = {k: replace(s, metrics=(), stale=False) for k, s in self.contents.states.items()}
            contents = self.contents
            looked_at = contents.responses, contents.unseen, contents.activity
            for known in (contents.curves, contents.baselines, contents.trials, *looked_at):
                known.clear()
            self.contents.changes.forget()
            self.begin_curve()
        self.revision += 1
        self.announce(Aspect.TASK, Aspect.STATES, Aspect.SCORES, Aspect.EXPECTED)

    def expect(self, percent: float) -> None:
        """The original should reach this metric, in per cent; 0 for nothing."""
        if percent != self.contents.expected:
            self.contents.expected = percent
            self.announce(Aspect.EXPECTED)

    def take_info(self, task: TaskInfo) -> None:
        """More is known of the attached task: the original was evaluated on it."""
        self._tell_of(task)
        self.announce(Aspect.TASK)

    def _tell_of(self, task: TaskInfo) -> None:
        self.contents.task = task
        for note in task.notes:
            self.note(sentence(note))

    def take_states(self, states: tuple[State, ...]) -> None:
        """The states of a project that was opened; the last one becomes the present one."""
        self.contents.states = {state.id: state for state in states}
        self.contents.exports = {state.id: state.exports[-1] for state in states if state.exports}
        self.contents.go_to(states[-1].id)
        self.history.clear()
        self.show_last_curve()
        self.revision += 1
        self.announce(*PLAN, Aspect.CURVE)

    def resume(self, history: UndoHistory, now: Snapshot, recovery: RecoverySettings, selection: Selection) -> None:
        """Go on where an earlier window has left off: undo history, plan, settings of the next recovery, selection."""
        self.history.take(history)
        self.contents.recovery = recovery
        if now.state in self.contents.states:
            self.contents.restore(now)
        else:
            self.contents.locked, self.contents.goal = now.locked, now.goal
        self.contents.selection = selection
        self.show_last_curve()
        self.revision += 1
        # The model was announced before, and a comparison would open its panel.
        self.announce(*(ALL - {Aspect.MODEL, Aspect.COMPARED}))

    def show_last_curve(self) -> None:
        """The curve of the present state's recovery, else of the last one that there was."""
        contents = self.contents
        made = [contents.states[contents.present], *reversed(contents.states.values())]
        recovered = next((state for state in made if state.curve), None)
        if recovered is not None:
            self._show_curve(recovered)

    def _show_curve(self, recovered: State) -> None:
        """The curve that a state was recovered by."""
        self.contents.training = TrainingCurve(recovered.parent, [CurvePoint.of(point) for point in recovered.curve])
        self.announce(Aspect.CURVE)

    def take_arrivals(self, states: tuple[State, ...]) -> None:
        """Take states that a job makes on the way; known ones bring measurements. The present state stays."""
        for state in states:
            if state.id not in self.contents.states:
                self.contents.states[state.id] = state
                self.history.spoil()
        self.take_metrics(states)

    def take_trained(self, states: tuple[State, ...]) -> None:
        """The same of a job that cuts and recovers by turns: the curve is that of the last one."""
        self.take_arrivals(states)
        for state in states[-1:]:
            if state.curve:
                self._show_curve(state)
            else:
                self.expect_curve(state.id)

    def take_metrics(self, states: tuple[State, ...]) -> None:
        """What the engine measured of its states meanwhile."""
        for state in states:
            # A stale state brings the measurements that the document knows already.
            if state.stale and state.id in self.contents.states:
                continue
            self.take_measurements(state.id, state.metrics, state.timings)

    def take_measurements(
        self, state_id: str, metrics: tuple[Metric, ...] = (), timings: tuple[Timing, ...] = ()
    ) -> None:
        """A state was measured, or an export of one; say which numbers were replaced."""
        owner, mark, format = state_id.partition(EXPORT_MARK)
        if mark and owner in self.contents.states:
            for timing in timings:
                self.contents.states[owner] = self.contents.states[owner].with_export_timing(format, timing)
            self.contents.exports[owner] = self.contents.states[owner].exports[-1]
            self.announce(Aspect.STATES)
        if state_id in self.contents.states:
            before = self.contents.states[state_id]
            known = {(one.name, one.split): one.predictions for one in before.metrics}
            # Predictions of another evaluation: what they were compared with does not hold of them.
            if any(known.get((one.name, one.split), one.predictions) != one.predictions for one in metrics):
                self.contents.changes.forget(state_id)
            self.contents.states[state_id] = measured(before, metrics, timings)
            for words in replaced(before, metrics, timings):
                self.say(f"{state_name(self.states, state_id)}: {words}")
            self.announce(Aspect.STATES)

    def take_gates(self, gates: LearnedGates) -> None:
        """Gates of masks that are learned; views show them with the job's progress."""
        self.contents.gates.add(gates)

    def take_scores(self, state_id: str, rating: str, scores: NDArray[np.float64]) -> None:
        """Scores of a state arrived."""
        self.contents.scores[state_id, rating] = scores
        self.announce(Aspect.SCORES)

    def take_filters(self, state_id: str, filters: Filters | None) -> None:
        """Images of the first convolution's filters in a state, None where there are none."""
        self.contents.filters[state_id] = filters
        self.announce(Aspect.STATES)

    def take_responses(self, about: tuple[str, str, str], found: LayerResponses) -> None:
        """What the structures of a (state, coupled set, layer) do on data, as far as it is known."""
        known = self.contents.responses
        known.pop(about, None)
        while len(known) >= RESPONSES:
            known.pop(next(iter(known)))
        known[about] = found
        self.contents.unseen.pop(about, None)
        self.announce(Aspect.RESPONSES)

    def miss_responses(self, about: tuple[str, str, str], reason: str) -> None:
        """Why that cannot be shown; "" to try again."""
        self.contents.unseen[about] = reason
        if not reason:
            del self.contents.unseen[about]
        self.announce(Aspect.RESPONSES)

    def take_activity(self, state_id: str, found: ModelActivity) -> None:
        """How active and redundant the structures of a state are."""
        self.contents.activity[state_id] = found
        self.announce(Aspect.SCORES)

    def take_curves(self, state_id: str, rating: str, curves: Curves) -> None:
        """Sensitivity of a state, as far as it was measured."""
        self.contents.curves[state_id, rating] = curves
        coloured = self.contents.overlay is Overlay.SENSITIVITY
        self.announce(Aspect.SENSITIVITY, *([Aspect.SCORES] if coloured else []))

    def take_latencies(self, target: TargetSpec, table: LatencyTable) -> None:
        """What predicts latencies on a target."""
        self.contents.latencies[target] = table
        self.announce(Aspect.TARGET)

    def take_savings(self, state_id: str, target: TargetSpec, savings: tuple[Saving, ...]) -> None:
        """What removal saves in a state on a target."""
        self.contents.savings[state_id, target] = {one.key: one for one in savings}
        self.announce(Aspect.TARGET)

    def take_trial(self, state_id: str, trial: SearchTrial) -> None:
        """What a search said of a state that it made."""
        self.contents.trials[state_id] = trial
        self.announce(Aspect.STATES)

    def take_baselines(self, baselines: tuple[Baseline, ...]) -> None:
        """The baselines of a project that was opened, as the engine has them."""
        self.contents.baselines = {one.id: one for one in baselines}
        self.announce(Aspect.STATES)

    def add_baselines(self, made: tuple[Baseline, ...]) -> None:
        """Baselines that were made, or measured again."""
        known = self.contents.baselines
        if any(one.id not in known for one in made):
            self.history.spoil()
        known |= {one.id: one for one in made}
        if made:
            self.announce(Aspect.STATES)

    def take_export(self, state_id: str, exported: Exported) -> None:
        """A file was written: its receipt is shown."""
        self.contents.exports[state_id] = exported
        self.contents.receipt = Receipt(state_id, exported)
        if (state := self.contents.states.get(state_id)) is not None:
            self.contents.states[state_id] = replace(state, exports=(*state.exports, exported))
        self.announce(Aspect.STATES)

    def saved(self, folder: str, place: int) -> None:
        """A project was written, as the history stood at that place."""
        self.history.clean_place = place
        self.say(self.tr("Saved in {folder}").format(folder=folder))
        # Every saved project comes through here, so it becomes a recent one.
        self.project.emit(folder, "")
        self.announce(Aspect.STATES)
