"""The document: the only state of the window. Panels are views of it and call its methods.

`shown.py` holds the contents and tells the views what changed, `planned.py` edits the plan; here stand the jobs that a
person starts, which `work.py` runs against the engine, and what they bring.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject

from secateur.engine.baselines.protocol import Baseline
from secateur.engine.export.protocol import Exported
from secateur.engine.planning.protocol import Ranking
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.states import OpenedModel, State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.outputs import outputs_in_words
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, TaskInfo, TaskSpec

from ..jobs.baselines import Beside
from ..jobs.budget_search import Lowest
from ..jobs.model_jobs import Work
from ..jobs.sharing import Handing
from ..jobs.studies import Studies
from ..storage import quarantine
from ..storage.autosave.remembered import Remembered
from ..text.translate import sentence
from .aspects import Aspect, CurvePoint, Goal, JobView, Selection, Side
from .contents import allowed, measured, opened
from .plan_editor import PLAN, Planned

__all__ = ["Aspect", "CurvePoint", "Document", "Goal", "JobView", "Selection", "Side"]

ALL = frozenset(Aspect)


class Document(Planned):
    """Model, task, target, tree of states, marks, selection, jobs."""

    def __init__(self, link: Any = None, parent: QObject | None = None) -> None:
        """Start empty. `link` reaches the engine; without one, only what needs no engine works."""
        super().__init__(parent)
        self.work = Work(self, link)
        self.studies = Studies(self)
        self.beside, self.lowest = Beside(self), Lowest(self)
        self.handing = Handing(self)

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
        """Choose where models are trained and evaluated from now on."""
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
        """Measure the metric of the current state."""
        self.work.evaluate(self.contents.present)

    def measure(self) -> None:
        """Measure original and current state on the target."""
        self.work.measure()

    def cut(self) -> None:
        """Cut what is marked."""
        self.work.cut()

    def recover(self, settings: RecoverySettings) -> None:
        """Fine-tune the current state with the original as teacher."""
        self.work.recover(settings)

    def attach_weights(self, path: str, trust_pickle: bool = False) -> None:
        """Give the current state weights that were trained elsewhere; a pickle only with consent."""
        self.work.attach(path, trust_pickle)

    def save(self, folder: str) -> None:
        """Write a project: every state with its weights, and the recipe of the present one."""
        self.work.save(folder)

    def export(self, format: str, path: str) -> None:
        """Write the current state as a file."""
        self.work.export(format, path)

    def cancel(self, job_id: int) -> None:
        """Stop a job; what it has made stays, and nothing else is changed."""
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
        self.work.begin_curve()
        self.note(self.tr("Opened {name}").format(name=model.name))
        for note in (*outputs_in_words(model.analysis.returned), *model.notes):
            self.note(sentence(note))
        for change in model.changed:
            quarantine.tell(sentence(change))
        self.announce(*ALL)

    def add_state(self, state: State, text: str) -> None:
        """A job made a state: it becomes the present one, as one undoable step."""
        self.contents.states[state.id] = state
        self.enter(state.id, text)

    def take_task(self, task: TaskInfo) -> None:
        """Another task is attached: metrics and scores of the old one no longer mean anything, of other data."""
        before = None if self.contents.task is None else self.contents.task.spec
        self._tell_of(task)
        if self.contents.origin is not None:
            self.contents.origin = replace(self.contents.origin, task=task.spec)
        self.contents.scores.clear()
        if task.spec is None or not task.spec.same_data(before):
            self.contents.states = {k: replace(s, metrics=(), stale=False) for k, s in self.contents.states.items()}
            for known in (self.contents.curves, self.contents.baselines, self.contents.trials):
                known.clear()
            self.work.begin_curve()
        self.revision += 1
        self.announce(Aspect.TASK, Aspect.STATES, Aspect.SCORES)

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
        self.announce(*(ALL - {Aspect.MODEL, Aspect.COMPARED}))  # nobody asked to compare

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
        self.work.say(self.tr("Saved in {folder}").format(folder=folder))
        self.project.emit(folder)
        self.announce(Aspect.STATES)

    def take_scores(self, state_id: str, rating: str, scores: NDArray[np.float64]) -> None:
        """Scores of a state arrived."""
        self.contents.scores[state_id, rating] = scores
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
