"""What a document holds, as one record without behaviour of Qt: the opened model, its states, the plan, the scores.

The document changes it and announces the change; jobs read from it what they were started on. All that belongs to a
model is in here, what a person typed and selected too, so that another model begins without any of it.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from secateur.engine.baselines.protocol import Baseline
from secateur.engine.export.protocol import Exported
from secateur.engine.inspection.response_data import LayerResponses, ModelActivity
from secateur.engine.machine.devices import CPU
from secateur.engine.planning import protocol as planning
from secateur.engine.planning.cost_meter import predict_latency
from secateur.engine.planning.goal import reached
from secateur.engine.planning.goal_verdict import GoalVerdict, Phase, goal_verdict
from secateur.engine.planning.isomorphic_classes import with_block_contents, with_their_blocks
from secateur.engine.planning.marks import PlanMasks
from secateur.engine.planning.protocol import Cost, Ranking, Reached
from secateur.engine.planning.target_shape import reached_shape
from secateur.engine.recovery.protocol import RecoverySettings, chosen_by_repair
from secateur.engine.scoring.criteria import CRITERIA, default_criterion, ranked
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.filter_images import Filters
from secateur.engine.session.states import OpenedModel, PlanIntent, State, StateKind
from secateur.engine.sources.pretrained import PretrainedWeights
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Mask, from_identities, identities
from secateur.engine.structures.costs import Costs, costs
from secateur.engine.targets.latency_table import LatencyTable, Saving, module_times
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, TaskInfo
from secateur.engine.workflows.budget_search import Trial
from secateur.engine.workflows.prune import PruneRequest

from ..text.metrics import metric_of, timing_of
from ..text.translate import sentence
from .aspects import Goal, Listing, Overlay, Selection, Side
from .changes_query import KnownChanges
from .job_state import FolderReceipt, GateCurve, KeptTraining, Receipt, TrainingCurve
from .sensitivity_curves import Curves
from .undo_history import Snapshot

EMPTY = np.zeros(0, dtype=np.bool_)
UNCUT = (StateKind.ORIGINAL, StateKind.MASKED)
"""Kinds of states that nothing was cut for: learned masks go with the cut that follows them."""
NANOSECONDS = 1e6
"""In a millisecond."""


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """A budget that a search tried, kept for the state that it made.

    Attributes:
        number: Its place in the search, from 1.
        trial: What the engine said of it.
        limit: What was allowed to be lost, as `Trial.loss` counts.
        cost: What the search makes as low as possible.
    """

    number: int
    trial: Trial
    limit: float
    cost: Cost


@dataclass(slots=True)
class Contents:
    """All that is open.

    Attributes:
        spec: Where the model came from, None in an empty window.
        origin: The same as the engine opened it, with its task: what a recipe begins with.
        absent: Why the model can only be looked at, "" where it can be worked on.
        untrained: The original's weights are random.
        offered: Weights that the library of the model offers, None where there is none.
        name: For a person.
        analysis: What can be removed.
        task: What the attached task shows.
        expected: What the original should reach on it, in per cent; 0 unknown.
        states: By id, in order of making.
        present: Id of the current state.
        removed: [S] what the current state lacks.
        marked: [S] the plan, on top of `removed`.
        locked: [S] protected by the user.
        by_hand: [S] decided by hand; the solver leaves it.
        searched: What a search of shares has left this plan by (`rule`); "" where none has.
        goal: Keep and lose.
        target: Where the model will run.
        device: Where it is trained and evaluated.
        devices: Where it might be, the CPU first.
        criterion: How structures are rated.
        choices: About the scores.
        ranking: What competes by its scores.
        curves: By (state, rating), sensitivity as far as it was measured.
        scores: By (state, rating), [S] with NaN where unknown.
        exports: By state, the last file written of it.
        filters: By state, images of the first convolution's filters; None where there are none.
        responses: By (state, coupled set, layer), what the structures do on data; the last ones that were looked at.
        unseen: By the same, why that cannot be shown.
        overlay: What structures are coloured by.
        activity: By state, how active and redundant its structures are on data.
        baselines: By id, what the states are compared with.
        latencies: By target, what was measured there to predict latencies with.
        savings: By (state, target) and key of a coupled set, what half of it saves there.
        trials: By state, what a search for the lowest cost said of it, the last word.
        recovery: How the next recovery is done.
        pruning: How a target shape was pruned to the last time, None before.
        selection: What the inspector shows.
        hovered: The structure under the mouse, -1 for none.
        compared: The two models that are compared, None for the original and for what is present.
        changes: Whose predictions are compared, and what is known of that.
        listing: How the tree lists the model.
        unpreviewed: [S] the plan that a preview hides; None while there is no preview.
        training: The curve of the running or last recovery.
        next_curve: The state whose recovery the next point is of, where that is another than of `training`.
        gates: Of the masks that are learned, or were last.
        kept: A recovery that was cancelled and can be gone on with, None for none.
        receipt: Of what was written last, None while none is shown.
    """

    spec: ModelSpec | None = None
    origin: ModelSpec | None = None
    absent: str = ""
    untrained: bool = False
    offered: PretrainedWeights | None = None
    name: str = ""
    analysis: Analysis | None = None
    task: TaskInfo | None = None
    expected: float = 0.0
    states: dict[str, State] = field(default_factory=dict[str, State])
    present: str = ""
    removed: Mask = field(default_factory=EMPTY.copy)
    marked: Mask = field(default_factory=EMPTY.copy)
    locked: Mask = field(default_factory=EMPTY.copy)
    by_hand: Mask = field(default_factory=EMPTY.copy)
    searched: str = ""
    goal: Goal = field(default_factory=Goal)
    target: TargetSpec = field(default_factory=TargetSpec)
    device: str = CPU
    devices: tuple[str, ...] = (CPU,)
    criterion: str = "l1"
    choices: Choices = field(default_factory=Choices)
    ranking: Ranking = Ranking.AUTO
    curves: dict[tuple[str, str], Curves] = field(default_factory=dict[tuple[str, str], Curves])
    scores: dict[tuple[str, str], NDArray[np.float64]] = field(
        default_factory=dict[tuple[str, str], "NDArray[np.float64]"]
    )
    exports: dict[str, Exported] = field(default_factory=dict[str, Exported])
    filters: dict[str, Filters | None] = field(default_factory=dict[str, "Filters | None"])
    responses: dict[tuple[str, str, str], LayerResponses] = field(
        default_factory=dict[tuple[str, str, str], "LayerResponses"]
    )
    unseen: dict[tuple[str, str, str], str] = field(default_factory=dict[tuple[str, str, str], str])
    overlay: Overlay = Overlay.SCORE
    activity: dict[str, ModelActivity] = field(default_factory=dict[str, "ModelActivity"])
    baselines: dict[str, Baseline] = field(default_factory=dict[str, Baseline])
    latencies: dict[TargetSpec, LatencyTable] = field(default_factory=dict[TargetSpec, LatencyTable])
    savings: dict[tuple[str, TargetSpec], dict[str, Saving]] = field(
        default_factory=dict[tuple[str, TargetSpec], "dict[str, Saving]"]
    )
    trials: dict[str, SearchTrial] = field(default_factory=dict[str, SearchTrial])
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    pruning: PruneRequest | None = None
    selection: Selection = field(default_factory=Selection)
    hovered: int = -1
    compared: tuple[Side | None, Side | None] = (None, None)
    changes: KnownChanges = field(default_factory=KnownChanges)
    listing: Listing = field(default_factory=Listing)
    unpreviewed: Mask | None = None
    training: TrainingCurve = field(default_factory=TrainingCurve)
    next_curve: str | None = None
    gates: GateCurve = field(default_factory=GateCurve)
    kept: KeptTraining | None = None
    receipt: Receipt | FolderReceipt | None = None

    @property
    def state(self) -> State | None:
        """The current state."""
        return self.states.get(self.present)

    @property
    def original(self) -> State | None:
        """The state without a parent."""
        return next((s for s in self.states.values() if not s.parent), None)

    @property
    def barred(self) -> Mask:
        """[S] what cannot be marked: it is locked, or a block around something that is."""
        return self.locked if self.analysis is None else with_their_blocks(self.analysis, self.locked)

    @property
    def last_export(self) -> Exported | None:
        """The last file written of the current state."""
        return self.exports.get(self.present)

    @property
    def masks(self) -> PlanMasks:
        """What is decided of each structure, as edits of the plan take it."""
        return PlanMasks(removed=self.removed, marked=self.marked, locked=self.barred, by_hand=self.by_hand)

    @property
    def rating(self) -> str:
        """What scores are known by: the criterion, with the choices where they are not its own."""
        return self.criterion if self.choices == Choices() else f"{self.criterion} {self.choices!r}"

    @property
    def present_scores(self) -> NDArray[np.float64] | None:
        """[S] scores in the current state, smaller is less important, NaN unknown; None before scoring."""
        return self.scores.get((self.present, self.rating))

    @property
    def wanted(self) -> planning.Goal:
        """The goal as the engine takes it: widths that the target likes, kinds that the criterion scores."""
        goal = replace(self.goal.asked(self.target, tuple(CRITERIA[self.criterion].kinds)), ranking=self.ranking)
        return ranked(goal, self.criterion)

    @property
    def table(self) -> LatencyTable | None:
        """What predicts latencies on the target, None before that was measured."""
        return self.latencies.get(self.target)

    def plan_latency(self) -> float | None:
        """Milliseconds of what the plan leaves, as predicted; None where that is not possible."""
        if self.table is None or self.analysis is None:
            return None
        found = predict_latency(self.analysis, self.table, self.removed | self.marked)
        return None if found is None else found / 1e6

    @property
    def saved(self) -> dict[str, Saving]:
        """By key of a coupled set, what half of it saves in the current state on the target; {} unknown."""
        return self.savings.get((self.present, self.target), {})

    def times(self) -> dict[str, float]:
        """By module, its share of the predicted time of what the plan leaves; {} where nothing predicts it."""
        if self.table is None or self.analysis is None:
            return {}
        return module_times(self.analysis, self.table, self.removed | self.marked)

    def decided(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """What was decided by hand: identities of what must stay, and of what goes."""
        assert self.analysis is not None
        # What a marked block holds was spared before the block was marked: it goes with it.
        spared = self.locked | (self.by_hand & ~with_block_contents(self.analysis, self.marked))
        return identities(self.analysis, spared & ~self.removed), identities(self.analysis, self.by_hand & self.marked)

    def intent(self, goal: planning.Goal | None = None) -> PlanIntent:
        """How a plan for a goal, else for what is wanted, is made: by the criterion, with what was decided by hand."""
        locked, marked = self.decided()
        wanted, quality = self.wanted if goal is None else goal, self.goal.quality
        return PlanIntent(self.criterion, locked=locked, goal=wanted, marked=marked, quality=quality)

    def request(self, goal: planning.Goal, recovery: RecoverySettings | None) -> PruneRequest:
        """What is asked of a job that prunes by itself: for a goal, with what was decided by hand."""
        locked, marked = self.decided()
        return PruneRequest(
            goal,
            self.criterion,
            recovery,
            locked=locked,
            marked=marked,
            choices=self.choices,
            quality=self.goal.quality,
        )

    @property
    def rule(self) -> str:
        """What a plan is made by: scores, and the goal with what the target has to do with it."""
        return f"{self.rating} {self.wanted!r}"

    @property
    def is_searched(self) -> bool:
        """Whether a search of shares has left this plan, by what is chosen now."""
        return self.searched == self.rule

    def snapshot(self) -> Snapshot:
        """What undo would bring back."""
        return Snapshot(self.present, self.marked, self.locked, self.by_hand, self.goal, self.searched)

    def restore(self, snapshot: Snapshot) -> None:
        """Go to a snapshot."""
        if snapshot.state != self.present:
            self.go_to(snapshot.state)
        self.marked, self.locked, self.by_hand = snapshot.marked, snapshot.locked, snapshot.by_hand
        self.goal, self.searched = snapshot.goal, snapshot.searched
        if self.analysis is not None and (self.marked & (barred := self.barred)).any():
            # Earlier versions could mark a locked structure.
            self.marked = self.marked & ~barred

    def go_to(self, state: str) -> None:
        """Make a state the present one, without marks."""
        assert self.analysis is not None
        self.present = state
        self.removed = self.removed_in(state)
        self.marked, self.searched = self.analysis.empty(), ""

    def removed_in(self, state: str) -> Mask:
        """[S] what a state lacks."""
        assert self.analysis is not None
        return from_identities(self.analysis, self.states[state].removed)[0]

    def suited(self, settings: RecoverySettings) -> RecoverySettings:
        """The settings as a recovery of this model has them."""
        if self.original is None or self.task is None:
            return settings
        return settings.suited_to(self.original.macs, self.task.batch)

    def metric(self, state: State | None) -> Metric | None:
        """The metric of a state that compares with the original's: on the same split, None where that has none."""
        first = metric_of(self.original)
        if state is None or first is None:
            return metric_of(state)
        return next((metric for metric in state.metrics if metric.like(first)), None)

    def plan_costs(self) -> Costs | None:
        """Costs of what the plan leaves."""
        return None if self.analysis is None else costs(self.analysis, self.removed | self.marked)


def opened(model: OpenedModel, spec: ModelSpec, before: Contents) -> Contents:
    """The contents of a model that was just opened; only where models run stays as the user had it."""
    empty = model.analysis.empty()
    fresh = Contents(
        spec=spec,
        origin=model.spec,
        absent=sentence(model.absent) if model.absent is not None else "",
        untrained=model.untrained,
        offered=model.offered,
        name=model.name,
        analysis=model.analysis,
        task=model.task,
        states={model.state.id: model.state},
        marked=empty,
        locked=empty,
        by_hand=empty,
        target=before.target,
        device=before.device if before.device in model.devices else CPU,
        devices=model.devices,
        recovery=RecoverySettings(threads=before.recovery.threads),
        criterion=default_criterion(
            model.analysis, empty, model.task, repaired=chosen_by_repair(RecoverySettings(), model.task)
        ),
    )
    fresh.go_to(model.state.id)
    return fresh


def measured(state: State, metrics: tuple[Metric, ...] = (), timings: tuple[Timing, ...] = ()) -> State:
    """The state with further measurements; one of the same kind (name and split, target) replaces the older."""
    for metric in metrics:
        state = state.with_metric(metric)
    kept = tuple(t for t in state.timings if not any(t.target.place == n.target.place for n in timings))
    return replace(state, timings=(*kept, *timings))


def allowed(criterion: str, choices: Choices) -> Choices:
    """The choices as far as a criterion leaves them open."""
    rule = CRITERIA[criterion]
    return replace(
        choices,
        combine=choices.combine if rule.combine is not None else None,
        slices=choices.slices if rule.slices is not None else None,
    )


def verdict_on_goal(contents: Contents, before: Costs | None, after: Costs | None) -> GoalVerdict | None:
    """The verdict on the plan where there is one, else on the current state; None where nothing was cut for it yet.

    Args:
        contents: What is open.
        before: Costs of the original.
        after: Costs of what the current state and the plan leave.
    """
    state, planned = contents.state, bool(contents.marked.any())
    if state is None or (state.kind in UNCUT and not planned):
        return None
    goal, analysis = contents.goal, contents.analysis
    recovers = state.kind is StateKind.CUT and contents.task is not None and not contents.untrained
    phase = Phase.PLAN if planned else Phase.CUT if recovers else Phase.RESULT
    now = None if planned or state.stale else contents.metric(state)
    if goal.shaped and analysis is not None:
        gone = contents.removed | contents.marked
        rows = reached_shape(analysis, goal.asked(contents.target), gone)
        return goal_verdict(rows, metric_of(contents.original), now, goal.lose / 100, quality=goal.quality, phase=phase)
    got = _goal_reached(contents, None if planned else state, before, after)
    return goal_verdict(
        () if got is None else (got,),
        metric_of(contents.original),
        now,
        goal.lose / 100,
        predicted=(goal.cost,) if planned and goal.cost is Cost.LATENCY else (),
        unmeasured=(goal.cost,) if got is None else (),
        quality=goal.quality,
        phase=phase,
    )


def _goal_reached(contents: Contents, state: State | None, before: Costs | None, after: Costs | None) -> Reached | None:
    """Asked and got of the goal's cost in a state, None for the plan; None where it was not measured."""
    goal, analysis = contents.goal, contents.analysis
    if goal.cost is Cost.LATENCY:
        if state is None:
            table, plan = contents.table, contents.plan_latency()
            if table is None or plan is None:
                return None
            first, now = int(table.original), round(plan * NANOSECONDS)
        else:
            timings = timing_of(contents.original, contents.target), timing_of(state, contents.target)
            if timings[0] is None or timings[1] is None:
                return None
            first, now = round(timings[0].median * NANOSECONDS), round(timings[1].median * NANOSECONDS)
    elif before is None or after is None or analysis is None:
        return None
    elif goal.cost is Cost.MACS:
        first, now = before.macs, after.macs
    elif goal.cost is Cost.PARAMETERS:
        first, now = before.parameters, after.parameters
    else:
        limited = replace(goal, shape=(), kept=()).asked(contents.target)
        return reached(analysis, limited, contents.removed | contents.marked)[0]
    # The solver rounds the limit like this: a plan that meets it exactly must not be called missed.
    return Reached(goal.cost, first, int(goal.keep * first + 0.5), now)
