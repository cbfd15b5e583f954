"""Prune to a goal: score, plan, cut and recover, in one round or in several.

Every step makes a state, and a state that is there is not made again: a pruning that was cancelled, or whose process
died, goes on where it stopped when it is asked for once more. What was made before that stays in the history.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, NeverCancelled, Progress, followed, spanning
from ..options import Option
from ..planning.budget_schedule import goals_of, require_way
from ..planning.goal import plan_goal
from ..planning.protocol import MASK_STEPS, PLAN, SCORES, Choose, Cost, Goal, Planned, QualityLimits
from ..planning.scope import outside_scope, structures_touching
from ..planning.share_exchange import PLANS, has_fixed_shares, plans_to_measure, require_search
from ..recovery.budget import Budget, Unit
from ..recovery.protocol import (
    RECOVERY,
    Mixing,
    RecoverySettings,
    chosen_by_repair,
    require_mixable,
    require_possible,
    require_whole,
)
from ..scoring.criteria import CRITERIA, default_criterion, ranked, search_helps
from ..scoring.score_options import Choices
from ..session.states import MaskIntent, PlanIntent, State
from ..structures.analysis import from_identities, identities
from ..structures.costs import costs
from ..targets.latency_table import LatencyTable
from ..tasks.protocol import Split
from .latency_limit import in_time, table_for
from .plan import masked_state, plan_masks, search_plan, start_from

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

Made = TypeVar("Made")
NEVER = NeverCancelled()
MASKING, MASKING_ALONE = 0.5, 0.9
"""About what share of the rounds learning masks takes: where a recovery's updates are unknown, where it has none."""
ROUNDS, CUT = 0.95, 0.1
"""About what share of the time goes into the rounds, and of a round that recovers into its cut; told as progress."""


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What is asked of a pruning: made once, by the command line, the API, the window or a recipe.

    Attributes:
        goal: What to reach.
        criterion: What rates structures; "" for the best that is possible.
        recovery: How each cut is recovered, None for not at all.
        rounds: How often to score, cut and recover on the way, with budgets in between (geometric).
        seed: Of what is random in the scores.
        search: Plans to measure at most to move shares between layers, 0 for no search; None for one where it helps.
        lock: Modules that stay as they are, with all below them: paths or patterns.
        locked: What must not be removed either, by set key, original indices.
        marked: What goes in any case, by set key, original indices.
        choices: About the scores.
        choose: How it is chosen which structures stay.
        mask_steps: Updates in which masks are learned.
        lose: What of the metric may be lost, as `LossLimit.loss` counts; None where the request does not say.
        quality: What is limited besides the metric.
        lowered: The cost that is made as low as that loss allows, where the goal does not say how much goes.
    """

    goal: Goal
    criterion: Annotated[
        str,
        Option(
            title="Criterion",
            help="what rates structures",
            choices=tuple(CRITERIA),
            automatic="obs where cuts are repaired, taylor without repair or for long on text, l1 without data",
            group=SCORES,
        ),
    ] = ""
    recovery: RecoverySettings | None = None
    rounds: Annotated[
        int,
        Option(
            title="Rounds",
            help="score, cut and recover so often on the way to the goal, each time with all epochs",
            minimum=1,
            group=RECOVERY,
            metavar="K",
        ),
    ] = 1
    choose: Annotated[
        Choose,
        Option(
            title="Chosen by",
            help="scores: at once; rounds: in rounds of a tenth, or as many as are asked for, with a recovery after "
            "each; masks: learned together with the weights, as many of each layer as the scores would keep",
            titles={Choose.SCORES: "scores", Choose.ROUNDS: "rounds", Choose.MASKS: "learned masks"},
            group=PLAN,
        ),
    ] = Choose.SCORES
    mask_steps: Annotated[
        int,
        Option(
            title="Steps of masks",
            help="training steps in which masks are learned",
            minimum=1,
            group=PLAN,
            metavar="N",
        ),
    ] = MASK_STEPS
    seed: Annotated[
        int, Option(title="Seed", help="of what is random in the scores", minimum=0, on_command_line=False)
    ] = 0
    search: Annotated[
        int | None,
        Option(
            title="Search shares",
            help="have layers give each other shares while the repaired outputs come nearer to the original's; measure "
            "this many plans at most",
            automatic=f"up to {PLANS} on text that is scored by obs and cut in one round, else 0: no search",
            minimum=0,
            zero="no search",
            group=PLAN,
            flag="--search-shares",
            metavar="N",
        ),
    ] = None
    lock: Annotated[
        tuple[str, ...],
        Option(
            title="Locked",
            help="leave this as it is: a module with all below it, or a pattern (*.conv1)",
            repeated=True,
            group=PLAN,
            flag="--lock",
            metavar="MODULE",
        ),
    ] = ()
    locked: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    marked: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    choices: Choices = field(default_factory=Choices)
    lose: float | None = None
    quality: QualityLimits = field(default_factory=QualityLimits)
    lowered: Cost = Cost.MACS

    @property
    def mask_intent(self) -> MaskIntent:
        """What learned masks are recorded with; they are the same however long a recovery is or is judged.

        Masks are learned for `mask_steps` and never evaluated meanwhile, but where domains are mixed anew.
        """
        recovery = (self.recovery or RecoverySettings(seed=self.seed)).within(Budget(Unit.EPOCHS, 1))
        usual = RecoverySettings()
        # Masks that were learned are taken up again whatever of these settings is changed, as they have no part in it.
        every = usual.evaluate_every if recovery.mixing is Mixing.NATURAL else recovery.evaluate_every
        recovery = replace(recovery, evaluate_every=every, patience=usual.patience, repair=usual.repair)
        return MaskIntent(self.intent(self.goal), recovery, self.mask_steps)

    def intent(self, goal: Goal) -> PlanIntent:
        """What the plan of a round is recorded with."""
        return PlanIntent(
            self.criterion,
            locked=self.locked,
            seed=self.seed,
            goal=goal,
            marked=self.marked,
            choices=self.choices,
            lose=self.lose,
            quality=self.quality,
            search=self.search or None,
        )


def decide_request(session: "Session", state: str, request: PruneRequest) -> PruneRequest:
    """Decide what a request leaves open on the model and data of a session, and refuse what cannot be.

    Nothing is scored or cut here, so that a wrong request costs no work. What is decided already stays as it is.

    Raises:
        PlanError: Its scope holds nothing that can be removed, a lock touches nothing, no plan has its shape, or no
            rounds lead to its goal.
        TaskError: It needs data, and there is none.
        SecateurError: No training can have the settings of the recovery.
    """
    analysis, info, uniform = session.analysis, session.loaded.info, session.prepared.spec.uniform
    outside_scope(analysis, request.goal)
    # Paths and patterns become structures once, so that every later step and the record agree on what they meant.
    if request.lock:
        locked = from_identities(analysis, request.locked)[0] | structures_touching(analysis, request.lock)
        request = replace(request, locked=identities(analysis, locked), lock=())
    if request.recovery is not None:
        require_possible(request.recovery)
        if session.has_task:
            require_mixable(request.recovery, session.task)
            request = replace(request, recovery=session.suited(request.recovery))
    if request.choose is Choose.MASKS:
        require_whole(request.mask_intent.recovery, session.processes)
    require_way(request.choose, request.rounds, session.has_task)
    repaired = chosen_by_repair(request.recovery, info)
    criterion = request.criterion or default_criterion(analysis, session.removed(state), info, repaired)
    search = request.search
    if search is None:
        at_once = request.choose is Choose.SCORES and request.rounds == 1
        helps = at_once and search_helps(criterion, info, repaired) and not has_fixed_shares(request.goal, uniform)
        search = plans_to_measure(costs(analysis, analysis.empty()).macs) if helps else 0
    require_search(search or None, request.goal, session.has_task, uniform)
    request = replace(request, criterion=criterion, search=search, goal=ranked(request.goal, criterion))
    if request.goal.shape:
        from ..surgery.repair.keep_uniform import require_shape  # brings torch

        # No scores are needed to say which numbers can be kept, so a wrong one costs no scoring.
        start = start_from(session, state, request.intent(request.goal), np.zeros(analysis.count))
        require_shape(session.prepared.opened.model, start, request.goal, uniform, request.rounds)
    return request


def plan_prune(
    session: "Session",
    state: str,
    request: PruneRequest,
    token: CancelToken = NEVER,
) -> Job[Planned]:
    """Score and plan: all of a pruning between its request and the first cut.

    Args:
        session: With the model.
        state: Where to start.
        request: As `decide_request` left it.
        token: Cancels.

    Returns:
        What is gone where the goal is reached in one cut, without a search of shares.

    Raises:
        PlanError: The goal cannot be reached.
    """
    table = yield from table_for(session, request.goal, token)
    scores = yield from session.score(state, request.criterion, request.choices, request.seed, token)
    start = start_from(session, state, request.intent(request.goal), scores, table)
    return plan_masks(session, start, request.goal, token=token)


def prune_state(
    session: "Session",
    state: str,
    request: PruneRequest,
    scores: NDArray[np.float64] | None = None,
    token: CancelToken = NEVER,
    report: bool = True,
    plan: Planned | None = None,
) -> Job[tuple[State, ...]]:
    """Score, plan, cut, recover and evaluate until the goal is reached; returns the states on the way.

    Args:
        session: Gets the states.
        state: Where to start.
        request: What to do.
        scores: [S] of the state by the criterion, where they are known.
        token: Cancels.
        report: Measure the metric of the result on the test split.
        plan: By `plan_prune` for this request from this state, where it is made already; the request is decided then.

    Raises:
        PlanError: The goal cannot be reached; nothing was cut then.
        SecateurError: What `decide_request` raises; nothing was scored or cut then.
    """
    if plan is None:
        request = decide_request(session, state, request)
        table = yield from table_for(session, request.goal, token)
    else:
        scores, table = plan.start.scores, plan.start.latencies
    cuts = _RoundCuts(session, state, request, plan, table, {} if scores is None else {state: scores}, token)
    if report and session.has_task and request.quality.given:
        # Refused before the work where the data cannot show it; classes lose against what the original predicts.
        yield from session.evaluate_limited(session.states()[0].id, Split.TEST, request.quality, token)
    made, now, begun = list[State](), session.history.state(state), 0.0
    gone = session.removed(state) | from_identities(session.analysis, request.marked)[0]
    # All rounds are fixed before the first: a stopped run finds the states that it made for the same goals.
    goals = goals_of(session.analysis, request.goal, gone, request.choose, request.rounds, table)
    learns = request.choose is Choose.MASKS
    asked = None if request.recovery is None else request.recovery.as_asked

    def recovered_alike(one: State) -> bool:
        return one.recovery is not None and one.recovery.as_asked == asked

    if learns:
        intent = request.mask_intent
        known = made_before(session, now, lambda one: one.masks == intent)
        if known is None:
            begun = mask_share(session, request) * ROUNDS
            learning = masked_state(session, now.id, intent, scores, table, token)
            known = yield from spanning(learning, 0.0, begun)
        now = known
        made.append(now)
        yield Progress("Masks learned", made=now)
    for number, goal in enumerate(goals):
        begin, end = (begun + (ROUNDS - begun) * each / len(goals) for each in (number, number + 1))
        between = end if request.recovery is None else begin + CUT * (end - begin)
        cutting = _name_round(cuts.cut(now, goal), number + 1, len(goals))
        cut = yield from spanning(cutting, begin, between)
        # Learned masks leave as many structures as the table said: a slower cut than predicted cannot be corrected.
        if cut is not None and table is not None and goal == request.goal and not learns:
            cut = yield from in_time(session, cut, goal, table, partial(cuts.cut, now), token)
        # A round that asks for nothing more (whole steps went further before) is no state.
        if cut is None:
            continue
        now = cut
        made.append(now)
        yield Progress("Cut", made=now)
        if request.recovery is not None:
            known = made_before(session, now, recovered_alike)
            if known is None:
                recovering = session.recover(now.id, request.recovery, token)
                known = yield from spanning(_name_round(recovering, number + 1, len(goals)), between, end)
            now = known
            made.append(now)
            yield Progress("Recovered", made=now)
    # Only the result is measured on the test split: what is chosen on it would no longer be judged by it.
    if report and made and session.has_task:
        yield from spanning(session.evaluate_limited(now.id, Split.TEST, request.quality, token), ROUNDS, 1.0)
        yield Progress("Evaluated", made=session.history.state(now.id))
    # Read again: a measurement replaces the state that it is of.
    return tuple(session.history.state(one.id) for one in made)


def mask_share(session: "Session", request: PruneRequest) -> float:
    """About what share of learning masks, cutting and recovering goes into the masks: an update of each takes alike."""
    recovery = request.recovery
    if recovery is None or not recovery.trains:
        return MASKING_ALONE
    updates = recovery.updates(session.task.batch_count(Split.TRAIN))
    return request.mask_steps / (request.mask_steps + updates) if updates else MASKING


def _name_round(job: Job[Made], number: int, rounds: int) -> Job[Made]:
    """A job as a part of one of several rounds, which it names."""
    if rounds == 1:
        return (yield from job)

    def with_round(progress: Progress) -> Iterator[Progress]:
        fields = {"number": number, "rounds": rounds, "step": progress.message}
        yield replace(progress, text=Message("progress.round", "Round {number} of {rounds}: {step}", fields))

    return (yield from followed(job, with_round))


@dataclass(frozen=True, slots=True)
class _RoundCuts:
    """Cuts the rounds of one pruning.

    Attributes:
        session: Gets the states.
        state: Where the pruning starts.
        request: What is asked for, decided.
        plan: From that state for the whole goal, where it is made already.
        table: Of the target, where the goal limits the latency.
        rated: Scores by state; each state is rated once, however often it is planned from.
        token: Cancels.
    """

    session: "Session"
    state: str
    request: PruneRequest
    plan: Planned | None
    table: LatencyTable | None
    rated: dict[str, NDArray[np.float64]]
    token: CancelToken

    def cut(self, now: State, goal: Goal) -> Job[State | None]:
        """The cut of a state for the goal of a round, made before or now; None where it meets that goal already."""
        session, request, intent = self.session, self.request, self.request.intent(goal)
        before = made_before(session, now, lambda one: one.plan == intent)
        if before is not None:
            return before
        if now.chosen:
            chosen, _ = from_identities(session.analysis, now.chosen)
            return (yield from session.cut(now.id, chosen, intent, self.token))
        plan, first = self.plan, now.id == self.state
        if plan is None or not first or plan.goal != goal:
            if now.id not in self.rated:
                rating = session.score(now.id, request.criterion, request.choices, request.seed, self.token)
                self.rated[now.id] = yield from rating
            start = start_from(session, now.id, intent, self.rated[now.id], self.table)
            # What the last round cannot reach is refused before the first cuts.
            if plan is None and first and goal != request.goal:
                plan_goal(start, request.goal)
            plan = plan_masks(session, start, goal, last=goal == request.goal)
        removed, outcome = yield from search_plan(session, now.id, intent, plan, self.token)
        if (removed == session.removed(now.id)).all():
            return None
        return (yield from session.cut(now.id, removed, intent, self.token, outcome))


def made_before(session: "Session", parent: State, alike: Callable[[State], bool]) -> State | None:
    """A state that was made of this one before, on the data of now; None where there is none that is `alike`."""
    # What was made on data that the task no longer has is not taken up again.
    children = (one for one in session.history.states.values() if one.parent == parent.id and not one.former)
    return next((one for one in children if alike(one)), None)
