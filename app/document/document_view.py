"""What the window shows: the document as its views read it, and how they hear what has changed.

Nothing here edits the plan or starts a job. Every change is announced once, by `changed`, with the aspects that it
touched; `views` passes it on to the panels, one after the other.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from secateur.engine.errors import SecateurError
from secateur.engine.export.protocol import Exported
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.partial_scores import PartialScores
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.states import State
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import Costs, costs
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Metric, Split, TaskInfo

from ..jobs.model_jobs import Work
from ..text.translate import sentence
from .aspects import Aspect, CurvePoint, Goal, JobView, Selection, Side
from .change_dispatcher import Views
from .contents import Contents
from .message_log import Level, Logbook
from .sensitivity_curves import Curves
from .undo_history import History


class Shown(QObject):
    """Model, task, target, tree of states, marks, selection, jobs, to be read.

    Attributes:
        views: Who shows the document; panels `watch` it there.
        work: Its jobs.

    Signals:
        changed: frozenset[Aspect], at once: for what must happen before anything else does.
        failed: SecateurError, to be shown in an error bar or dialog.
        announced: str, a sentence for the status bar.
        project: str, the folder of a project that was written, or opened.
        requested: Callable that takes the main window: what a panel wants of it, a dialog or a command. A panel that
            floats lies in another window, so it must not take its own for that.
    """

    changed = Signal(object)
    failed = Signal(object)
    announced = Signal(str)
    project = Signal(str)
    requested = Signal(object)
    work: Work

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
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
    def absent(self) -> str:
        """Why the model can only be looked at, "" where it can be worked on."""
        return self.contents.absent

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
        return self.contents.scores.get((self.contents.present, self.contents.rating))

    @property
    def partial(self) -> PartialScores | None:
        """Scores so far, while there are no others: to be shown as what they are, for nothing that decides."""
        return self.work.board.so_far((self.contents.present, self.contents.rating))

    @property
    def shown_scores(self) -> NDArray[np.float64] | None:
        """[S] what is shown as scores: those of the current state, or as far as they are made (`partial`)."""
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
    def barred(self) -> Mask:
        """[S] what cannot be marked: it is locked, or a block around something that is."""
        from secateur.engine.planning.isomorphic_classes import with_their_blocks

        return self.locked if self.analysis is None else with_their_blocks(self.analysis, self.locked)

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
        """Costs of what current state and plan leave."""
        key = (self.contents.removed, self.contents.marked)
        if self._costs is None or self._costs[0][0] is not key[0] or self._costs[0][1] is not key[1]:
            self._costs = (key, self.contents.plan_costs())
        return self._costs[1]

    def metric(self, state: State | None) -> Metric | None:
        """The metric of a state that compares with the original's (same name and split), else its first, or None."""
        if state is None or not state.metrics:
            return None
        first = next(iter(self.original.metrics), None) if self.original else None
        return next((metric for metric in state.metrics if metric.like(first)), state.metrics[0])

    @property
    def judged_on(self) -> Split:
        """The split that the original was evaluated on, and so all others are."""
        first = next(iter(self.original.metrics), None) if self.original else None
        return first.split if first is not None else Split.TEST

    @property
    def last_export(self) -> Exported | None:
        """The last file written of the current state."""
        return self.contents.exports.get(self.contents.present)

    # Jobs and history, as views show them.

    @property
    def jobs(self) -> tuple[JobView, ...]:
        """Jobs that run or wait."""
        return self.work.board.views()

    def job_about(self, what: object) -> JobView | None:
        """The job about something, None where none runs or waits."""
        return next((job for job in self.jobs if job.about == what), None)

    @property
    def busy(self) -> bool:
        """A job that changes states runs: the plan cannot be edited."""
        return self.work.board.changing

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Points of the running or last recovery."""
        return tuple(self.work.curve)

    @property
    def curve_of(self) -> str:
        """Id of the state that it recovers, "" where that is not one of them."""
        return self.work.curve_of

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

    # What is said.

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
        self.note(sentence(error.message), Level.ERROR)
        self.failed.emit(error)
