"""The document: the only state of the window. Panels are views of it and call its methods.

It holds the contents, edits the plan (every step undoable) and takes in what jobs bring; `work.py` runs the jobs
against the engine. Every change is announced once, by `changed`, with the aspects that it touched; `views` passes it
on to the panels, one after the other.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from secateur.engine.baselines.protocol import Baseline
from secateur.engine.errors import PlanError, SecateurError
from secateur.engine.planning.protocol import Ranking
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.choices import Choices
from secateur.engine.scoring.partial import Partial
from secateur.engine.session.states import Exported, OpenedModel, State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import Costs, costs
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, TaskInfo, TaskSpec

from . import aside, marking
from .aspects import Aspect, CurvePoint, Goal, JobView, Selection, Side
from .autosave.remembered import Remembered
from .beside import Beside
from .contents import Contents, allowed, measured, opened
from .curves import Curves
from .handing import Handing
from .history import Entry, History, Snapshot
from .logbook import Level, Logbook
from .lowest import Lowest
from .studies import Studies
from .views import Views
from .words import counted
from .work import Work

__all__ = ["Aspect", "CurvePoint", "Document", "Goal", "JobView", "Selection", "Side"]

ALL = frozenset(Aspect)
PLAN = frozenset({Aspect.MARKS, Aspect.GOAL, Aspect.STATES, Aspect.SCORES})


class Document(QObject):
    """Model, task, target, tree of states, marks, selection, jobs.

    Attributes:
        views: Who shows the document; panels `watch` it there.

    Signals:
        changed: frozenset[Aspect], at once: for what must happen before anything else does.
        failed: SecateurError, to be shown in an error bar or dialog.
        announced: str, a sentence for the status bar.
    """

    changed = Signal(object)
    failed = Signal(object)
    announced = Signal(str)

    def __init__(self, link: Any = None, parent: QObject | None = None) -> None:
        """Start empty. `link` reaches the engine; without one, only what needs no engine works."""
        super().__init__(parent)
        self.contents = Contents()
        self.views = Views(self)
        self.history = History()
        self.selection = Selection()
        self.hovered = -1
        self.compared: tuple[Side | None, Side | None] = (None, None)
        self.logbook = Logbook()
        self.recovery = RecoverySettings()
        self.revision = 0
        self._before_preview: Mask | None = None
        self._costs: tuple[tuple[Any, Any], Costs | None] | None = None
        self._original_costs: tuple[Any, Costs] | None = None
        self.work = Work(self, link)
        self.studies = Studies(self)
        self.beside, self.lowest = Beside(self), Lowest(self)
        self.handing = Handing(self)

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
        """What judges the model."""
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
    def notes(self) -> tuple[str, ...]:
        """Remarks from opening the model, in words."""
        return self.contents.notes

    @property
    def absent(self) -> str:
        """Why the model can only be looked at, "" where it can be worked on."""
        return self.contents.absent

    @property
    def states(self) -> tuple[State, ...]:
        """All states, in order of making."""
        return tuple(self.contents.states.values())

    @property
    def state(self) -> State | None:
        """The present state."""
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
        """[S] scores in the present state, smaller is less important, NaN unknown; None before scoring."""
        return self.contents.scores.get((self.contents.present, self.contents.rating))

    @property
    def partial(self) -> Partial | None:
        """Scores so far, while there are no others: to be shown as what they are, for nothing that decides."""
        return self.contents.partial.get((self.contents.present, self.contents.rating))

    @property
    def shown_scores(self) -> NDArray[np.float64] | None:
        """[S] what is shown as scores: those of the present state, or as far as they are made (`partial`)."""
        return self.scores if self.scores is not None or self.partial is None else self.partial.scores

    @property
    def choices(self) -> Choices:
        """Choices about the scores; those of the criterion itself where nothing else was chosen."""
        return self.contents.choices

    @property
    def rating(self) -> str:
        """What scores are known by: criterion and choices."""
        return self.contents.rating

    @property
    def curves(self) -> Curves | None:
        """Sensitivity of the present state, as far as it was measured; None where nothing was."""
        return self.contents.curves.get((self.contents.present, self.contents.rating))

    @property
    def removed(self) -> Mask:
        """[S] gone in the present state."""
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
    def by_hand(self) -> Mask:
        """[S] decided by hand: suggested plans leave these as they are."""
        return self.contents.by_hand

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
        """Costs of what present state and plan leave."""
        key = (self.contents.removed, self.contents.marked)
        if self._costs is None or self._costs[0][0] is not key[0] or self._costs[0][1] is not key[1]:
            self._costs = (key, self.contents.plan_costs())
        return self._costs[1]

    def metric(self, state: State | None) -> Metric | None:
        """The metric of a state that compares with the original's (same name and split), else its first, or None."""
        if state is None or not state.metrics:
            return None
        first = next(iter(self.original.metrics), None) if self.original else None
        alike = (m for m in state.metrics if first and (m.name, m.split) == (first.name, first.split))
        return next(alike, state.metrics[0])

    @property
    def last_export(self) -> Exported | None:
        """The last file written of the present state."""
        return self.contents.exports.get(self.contents.present)

    # Jobs and history, as views show them.

    @property
    def jobs(self) -> tuple[JobView, ...]:
        """Jobs that run or wait."""
        return self.work.board.views()

    @property
    def busy(self) -> bool:
        """A job that changes states runs: the plan cannot be edited."""
        return self.work.board.changing

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Points of the running or last recovery."""
        return tuple(self.work.curve)

    @property
    def undo_text(self) -> str:
        """What undo takes back, "" for nothing."""
        return self.history.undo_text

    @property
    def redo_text(self) -> str:
        """What redo does again, "" for nothing."""
        return self.history.redo_text

    @property
    def clean(self) -> bool:
        """Nothing changed since the project was saved."""
        return self.history.clean

    # Selection.

    def select(self, selection: Selection) -> None:
        """Show something in the inspector."""
        if selection != self.selection:
            self.selection = selection
            self.announce(Aspect.SELECTION)

    def hover(self, structure: int) -> None:
        """The structure under the mouse, -1 for none."""
        if structure != self.hovered:
            self.hovered = structure
            self.announce(Aspect.HOVER)

    def compare(self, left: Side | None, right: Side | None) -> None:
        """Put two models beside each other; None for the original at the left, for what is present at the right."""
        self.compared = (left, right)
        self.announce(Aspect.COMPARED)

    # Edits of the plan: instant and undoable.

    def mark(self, structures: Mask | NDArray[np.int64] | Iterable[int], on: bool) -> None:
        """Mark structures for removal, or spare them; what is locked or gone stays as it is."""
        if self._refuses() or self.analysis is None:
            return
        asked = marking.as_mask(self.analysis, structures) & ~self.removed
        touched = asked & ~self.locked
        if (asked & self.locked).any():
            self.announced.emit(self.tr("What is locked stays as it is. Unlock it first."))
        words = self.tr("mark {0}") if on else self.tr("spare {0}")
        text = words.format(self._counted(touched))
        self._plan(text, np.where(touched, on, self.marked), touched)

    def take_marks(self, text: str, marked: Mask, touched: Mask) -> None:
        """Take marks that a rule made, as one step; what it touched counts as decided by hand."""
        if not self._refuses() and self.analysis is not None:
            self.cancel_preview()
            self._plan(text, marked & ~self.removed, touched)

    def invert(self, scope: Mask) -> None:
        """Mark in a scope what is not marked, and spare what is."""
        if self.analysis is not None:
            given = (self.analysis, self.scores, self.marked, self.removed, self.locked, scope)
            self.take_marks(self.tr("invert marks"), *marking.inverted(*given))

    def grow(self) -> None:
        """Grow marks to whole groups: to widths that the target likes."""
        if self.analysis is not None:
            given = (self.analysis, self.scores, self.marked, self.removed, self.locked, self.target.multiple)
            after, touched = marking.grown(*given)
            if (after == self.marked).all():
                self.announced.emit(self.tr("Every layer with marks keeps whole groups already."))
            self.take_marks(self.tr("grow marks to whole groups"), after, touched)

    def keep(self, set_number: int, count: int) -> None:
        """Keep the `count` best structures of a coupled set and mark the rest."""
        if self._refuses() or self.analysis is None:
            return
        try:
            after = marking.keep(self.analysis, self.scores, self.marked, self.removed, self.locked, set_number, count)
        except PlanError as error:
            self.announce(Aspect.MARKS)
            self.fail(error)
            return
        touched = self.analysis.empty()
        touched[self.analysis.sets[set_number].structures] = True
        module = self.analysis.sets[set_number].module
        self._plan(
            self.tr("keep {count} of {module}").format(count=count, module=module), after, touched & ~self.removed
        )

    def preview(self, marked: Mask) -> None:
        """Show a plan without an undo step, until `commit_preview` or `cancel_preview`."""
        if self.busy or self.analysis is None:
            return
        if self._before_preview is None:
            self._before_preview = self.marked
        self.contents.marked = marked & ~self.removed
        self.announce(Aspect.MARKS)

    def preview_below(self, set_numbers: Iterable[int], threshold: float) -> None:
        """Show what a threshold would mark in these sets (live, while it is dragged)."""
        if self.analysis is not None and self.scores is not None and not self.busy:
            self.preview(self._below(set_numbers, threshold))

    def mark_below(self, set_numbers: Iterable[int], threshold: float) -> None:
        """Mark in these sets exactly what scores below the threshold; the best of a set stays."""
        if self.analysis is None or self.scores is None or self._refuses():
            return
        numbers = list(set_numbers)
        after = self._below(numbers, threshold)
        self.contents.marked, self._before_preview = self._base(), None
        touched = after != self.marked
        self._plan(self.tr("mark below {threshold:.3g}").format(threshold=threshold), after, touched)

    def cancel_preview(self) -> None:
        """Go back to the plan before the preview."""
        if self._before_preview is not None:
            self.contents.marked, self._before_preview = self._before_preview, None
            self.announce(Aspect.MARKS)

    def lock(self, structures: Mask | NDArray[np.int64] | Iterable[int], on: bool) -> None:
        """Protect structures from every further marking, or release them (also from what was decided by hand)."""
        if self._refuses() or self.analysis is None:
            return
        touched = marking.as_mask(self.analysis, structures)
        text = (self.tr("lock {0}") if on else self.tr("unlock {0}")).format(self._counted(touched))
        by_hand = self.by_hand if on else self.by_hand & ~touched
        self.step(text, locked=np.where(touched, on, self.locked), by_hand=by_hand)

    def clear_marks(self) -> None:
        """Empty the plan; locks stay."""
        if not self._refuses() and self.analysis is not None:
            self.step(self.tr("clear marks"), marked=self.analysis.empty(), by_hand=self.analysis.empty())

    def set_goal(self, goal: Goal) -> None:
        """Change what to keep and what may be lost."""
        if goal != self.goal and not self._refuses():
            self.step(self.tr("change the goal"), fold="goal", goal=goal)

    def apply_plan(self, marked: Mask, text: str) -> None:
        """Take a plan that was computed; marks made by hand stay."""
        self.step(text, marked=marked & ~self.removed)

    def undo(self) -> None:
        """Take the last step back; never runs a job."""
        self._travel(back=True)

    def redo(self) -> None:
        """Do the step again that was taken back; never runs a job."""
        self._travel(back=False)

    def jump(self, place: int) -> None:
        """Go to a place of the history, on any of its branches; never runs a job."""
        if place != self.history.position and not self._refuses():
            self.cancel_preview()
            self._arrive(self.history.go(place), self.tr("Back at: {step}"), self.history.undo_text)

    def go_to(self, state_id: str) -> None:
        """Make a state the present one (undoable)."""
        here = state_id == self.contents.present and not self.marked.any()
        if not here and state_id in self.contents.states and not self._refuses():
            self.enter(state_id, self.tr("go to {state}").format(state=state_id))

    # Jobs: see `Work`.

    def open(self, spec: ModelSpec) -> None:
        """Open a model; the document stays as it is until that succeeded."""
        self.work.open(spec)

    def attach_task(self, spec: TaskSpec) -> None:
        """Attach data and metric."""
        self.work.attach_task(spec)

    def set_target(self, target: TargetSpec) -> None:
        """Choose where the model will run."""
        if target != self.target:
            self.contents.target = target
            self.revision += 1
            self.announce(Aspect.TARGET)

    def set_device(self, device: str) -> None:
        """Choose where models are trained and judged from now on."""
        if device != self.contents.device:
            self.contents.device = device
            self.announce(Aspect.TARGET)
            self.work.use_device()

    def set_recovery(self, settings: RecoverySettings) -> None:
        """Choose how the next recovery is done."""
        if settings != self.recovery:
            self.recovery = settings
            self.announce(Aspect.JOBS)

    def set_criterion(self, name: str) -> None:
        """Rate structures by another rule; choices that it leaves no room for are dropped."""
        if name != self.criterion:
            self.contents.criterion = name
            self.contents.choices = allowed(name, self.choices)
            self.revision += 1
            self.announce(Aspect.SCORES)
            self.work.score()

    def set_choices(self, choices: Choices, ranking: Ranking) -> None:
        """Choose how scores are made from weights or gradients, and what competes by them."""
        if choices != self.choices or ranking is not self.contents.ranking:
            self.contents.choices, self.contents.ranking = allowed(self.criterion, choices), ranking
            self.revision += 1
            self.announce(Aspect.SCORES)
            self.work.score()

    def suggest_plan(self) -> None:
        """Plan for the goal, with what is locked or decided by hand left as it is."""
        if not self._refuses():
            self.work.suggest()

    def evaluate(self) -> None:
        """Measure the metric of the present state."""
        self.work.evaluate(self.contents.present)

    def measure(self) -> None:
        """Measure original and present state on the target."""
        self.work.measure()

    def cut(self) -> None:
        """Cut what is marked."""
        self.work.cut()

    def recover(self, settings: RecoverySettings) -> None:
        """Fine-tune the present state with the original as teacher."""
        self.work.recover(settings)

    def attach_weights(self, path: str, trust_pickle: bool = False) -> None:
        """Give the present state weights that were trained elsewhere; a pickle only with consent."""
        self.work.attach(path, trust_pickle)

    def save(self, folder: str) -> None:
        """Write a project: every state with its weights, and the recipe of the present one."""
        self.work.save(folder)

    def export(self, format: str, path: str) -> None:
        """Write the present state as a file."""
        self.work.export(format, path)

    def cancel(self, job_id: int) -> None:
        """Stop a job; it leaves everything as it was."""
        self.work.cancel(job_id)

    def move_job(self, job_id: int, earlier: bool) -> None:
        """Let a job that waits have its turn earlier or later by one."""
        self.work.move(job_id, earlier)

    # What jobs bring.

    def adopt(self, model: OpenedModel, spec: ModelSpec) -> None:
        """Show another model."""
        self.contents = opened(model, spec, self.contents)
        self.history.clear()
        self.selection, self.hovered = Selection(), -1
        self.compared = (None, None)
        self._before_preview = None
        self.revision += 1
        self.work.curve.clear()
        self.note(self.tr("Opened {name}").format(name=model.name))
        for note in model.notes:
            self.note(note)
        for sentence in model.changed:
            aside.tell(sentence)
        self.announce(*ALL)

    def add_state(self, state: State, text: str) -> None:
        """A job made a state: it becomes the present one, as one undoable step."""
        self.contents.states[state.id] = state
        self.enter(state.id, text)

    def enter(self, state_id: str, text: str) -> None:
        """Make a state present as an undoable step."""
        before = self.contents.snapshot()
        self.contents.go_to(state_id)
        self._push(text, before)
        self.announce(*PLAN, Aspect.LOG)
        self.work.score()

    def take_task(self, task: TaskInfo) -> None:
        """Another task is attached: metrics and scores of the old one no longer mean anything."""
        self.contents.task = task
        for note in task.notes:
            self.note(note)
        if self.contents.origin is not None:
            self.contents.origin = replace(self.contents.origin, task=task.spec)
        self.contents.states = {k: replace(s, metrics=(), stale=False) for k, s in self.contents.states.items()}
        contents = self.contents
        for known in (contents.scores, contents.partial, contents.curves, contents.baselines, contents.trials):
            known.clear()
        self.revision += 1
        self.announce(Aspect.TASK, Aspect.STATES, Aspect.SCORES)

    def take_states(self, states: tuple[State, ...]) -> None:
        """The states of a project that was opened; the last one becomes the present one."""
        self.contents.states = {state.id: state for state in states}
        self.contents.exports = {state.id: state.exports[-1] for state in states if state.exports}
        self.contents.go_to(states[-1].id)
        self.history.clear()
        self.revision += 1
        self.announce(*PLAN)

    def resume(self, kept: Remembered) -> None:
        """Take back what an earlier window has left: marks, locks, goal, choices, selection and the undo history."""
        contents, now = self.contents, kept.now
        self.history.take(kept.history)
        self.recovery = kept.apply_to(contents, self.recovery)
        if now.state in contents.states:
            contents.restore(now)
        else:
            contents.locked, contents.goal = now.locked, now.goal
        self.selection = kept.selected(contents.analysis)
        self.revision += 1
        self.announce(*(ALL - {Aspect.MODEL}))

    def take_baselines(self, baselines: tuple[Baseline, ...]) -> None:
        """What stands beside the states, as the engine has it."""
        self.contents.baselines = {one.id: one for one in baselines}
        self.announce(Aspect.STATES)

    def take_arrivals(self, states: tuple[State, ...]) -> None:
        """States that a job makes on the way, beside the present one; those that are known bring measurements."""
        for state in states:
            if state.id not in self.contents.states:
                self.contents.states[state.id] = state
                self.history.spoil()
        self.take_metrics(states)

    def take_metrics(self, states: tuple[State, ...]) -> None:
        """What the engine measured of its states meanwhile."""
        for state in states:
            if state.stale and state.id in self.contents.states:  # as it is in the engine: nothing newer was measured
                continue
            self.take_measurements(state.id, state.metrics, state.timings)

    def saved(self, folder: str, place: int) -> None:
        """A project was written, as the history stood at that place."""
        self.history.mark_clean(place)
        self.announced.emit(self.tr("Saved in {folder}").format(folder=folder))
        self.announce(Aspect.STATES)

    def take_scores(self, state_id: str, rating: str, scores: NDArray[np.float64]) -> None:
        """Scores of a state arrived."""
        self.contents.scores[state_id, rating] = scores
        self.contents.partial.pop((state_id, rating), None)
        self.announce(Aspect.SCORES)

    def take_partial(self, state_id: str, rating: str, partial: Partial | None) -> None:
        """Scores of a state as far as they are made, None where no more follow."""
        if partial is not None:
            self.contents.partial[state_id, rating] = partial
        elif self.contents.partial.pop((state_id, rating), None) is None:
            return
        self.announce(Aspect.SCORES)

    def take_measurements(
        self, state_id: str, metrics: tuple[Metric, ...] = (), timings: tuple[Timing, ...] = ()
    ) -> None:
        """A state was measured."""
        if state_id in self.contents.states:
            self.contents.states[state_id] = measured(self.contents.states[state_id], metrics, timings)
            self.announce(Aspect.STATES)

    def take_export(self, state_id: str, exported: Exported) -> None:
        """A file was written."""
        self.contents.exports[state_id] = exported
        if (state := self.contents.states.get(state_id)) is not None:
            self.contents.states[state_id] = replace(state, exports=(*state.exports, exported))
        self.announce(Aspect.STATES)

    def note(self, text: str, level: Level = Level.INFO) -> None:
        """Add a line to the log, or several."""
        self.logbook.write(text, level)
        self.announce(Aspect.LOG)

    @property
    def log(self) -> tuple[str, ...]:
        """The lines of the log."""
        return self.logbook.lines()

    def announce(self, *aspects: Aspect) -> None:
        """Tell the views what changed."""
        self.changed.emit(frozenset(aspects))
        self.views.tell(frozenset(aspects))

    def fail(self, error: SecateurError) -> None:
        """Tell the window what went wrong."""
        self.note(str(error), Level.ERROR)
        self.failed.emit(error)

    # How a step is taken.

    def step(self, text: str, fold: str = "", **after: Any) -> None:
        """One undoable step: put these attributes into the contents."""
        self.cancel_preview()
        before = self.contents.snapshot()
        for name, value in after.items():
            setattr(self.contents, name, value)
        self._push(text, before, fold)
        self.announce(Aspect.GOAL if "goal" in after else Aspect.MARKS)

    def _plan(self, text: str, marked: Mask, touched: Mask) -> None:
        from secateur.engine.planning.goal import check_plan

        assert self.analysis is not None
        even = marking.in_step(self.analysis, self.scores, marked, self.removed, self.locked, touched)
        if (even & ~marked).any():
            words = self.tr("{0} more in step, so that counts stay equal.")
            self.announced.emit(words.format(self._counted(even & ~marked)))
        marked = even
        try:
            check_plan(self.analysis, self.removed | marked)
        except PlanError as error:
            self.announce(Aspect.MARKS)
            self.fail(error)
            return
        if (marked != self.marked).any():
            self.step(text, marked=marked, by_hand=self.by_hand | touched)
        else:
            self.announce(Aspect.MARKS)

    def _push(self, text: str, before: Any, fold: str = "") -> None:
        self.history.push(Entry(text, before, self.contents.snapshot(), fold))
        self.revision += 1

    def _travel(self, back: bool) -> None:
        if self._refuses():
            return
        self.cancel_preview()
        entry = self.history.undo() if back else self.history.redo()
        if entry is not None:
            words = self.tr("Undone: {step}") if back else self.tr("Done again: {step}")
            self._arrive(entry.before if back else entry.after, words, entry.text)

    def _arrive(self, snapshot: Snapshot | None, words: str, step: str) -> None:
        """Show what stood at another place of the history."""
        if snapshot is None:
            return
        self.contents.restore(snapshot)
        self.revision += 1
        self.announced.emit(words.format(step=step or self.tr("the begin")))
        self.announce(*PLAN)
        self.work.score()

    def _counted(self, structures: Mask) -> str:
        return counted(int(structures.sum()), self.tr("{count} structure"), self.tr("{count} structures"))

    def _base(self) -> Mask:
        return self.marked if self._before_preview is None else self._before_preview

    def _below(self, set_numbers: Iterable[int], threshold: float) -> Mask:
        assert self.analysis is not None and self.scores is not None
        return marking.below(
            self.analysis, self.scores, self._base(), self.removed, self.locked, list(set_numbers), threshold
        )

    def _refuses(self) -> bool:
        """True, with the reason said, while a job that changes states runs."""
        if self.busy:
            self.announced.emit(self.tr("Wait for the running job, or cancel it: it changes what the plan is made on."))
        return self.busy
