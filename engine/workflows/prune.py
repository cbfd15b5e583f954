"""Prune to a goal: score, plan, cut and recover, in one round or in several.

Every step makes a state, and a state that is there is not made again: a pruning that was cancelled, or whose process
died, goes on where it stood when it is asked for once more. What was made before that stays in the history.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, NeverCancelled, Progress, followed, spanning
from ..latency.protocol import LatencyTable
from ..options import Option
from ..planning.budget_schedule import goals_of, require_way
from ..planning.goal import solve
from ..planning.protocol import MASK_STEPS, PLAN, SCORES, Choose, Goal
from ..planning.scope import outside_scope
from ..planning.share_exchange import PLANS, plans_to_measure, require_search
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
from ..scoring.criteria import CRITERIA, ranked, search_helps
from ..scoring.score_options import Choices
from ..session.states import MaskIntent, PlanIntent, State
from ..structures.analysis import from_identities
from ..tasks.protocol import Split
from .latency_limit import in_time, table_for
from .learn_masks import masked_state
from .plan import planned, searched

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

Made = TypeVar("Made")
NEVER = NeverCancelled()
MASKING, MASKING_ALONE = 0.5, 0.9
"""About what share of the rounds learning masks takes: where nobody knows how many updates recover, where none do."""
ROUNDS, CUT = 0.95, 0.1
"""About what share of the time goes into the rounds, and of a round that recovers into its cut; told as progress."""


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """How a goal is reached from a state.

    Attributes:
        goal: What to reach.
        criterion: What rates structures.
        recovery: How each cut is recovered, None for not at all.
        rounds: How often to score, cut and recover on the way, with budgets in between (geometric).
        seed: Of what is random in the scores.
        search: Plans to measure at most to move shares between layers, 0 for no search; None for one where it helps.
        locked: What must not be removed, by set key, original indices.
        marked: What goes in any case, by set key, original indices.
        choices: About the scores.
        choose: How it is chosen which structures stay.
        mask_steps: Updates in which masks are learned.
        lose: What of the metric may be lost, as `LossLimit.loss` counts, None where nobody said it: for the record.
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
    ]
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
            automatic=f"{PLANS} on text that is scored by obs and cut in one round, else 0: no search",
            minimum=0,
            zero="no search",
            group=PLAN,
            flag="--search-shares",
            metavar="N",
        ),
    ] = None
    locked: Annotated[
        dict[str, list[int]],
        Option(
            title="Locked",
            help="leave this as it is: a module with all below it, or a pattern (*.conv1)",
            repeated=True,
            group=PLAN,
            flag="--lock",
            metavar="MODULE",
        ),
    ] = field(default_factory=dict[str, list[int]])
    marked: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    choices: Choices = field(default_factory=Choices)
    lose: float | None = None

    @property
    def mask_intent(self) -> MaskIntent:
        """What learned masks are recorded with; they are the same however long a recovery is or is judged.

        Masks are learned for `mask_steps` and never evaluated meanwhile, but where domains are mixed anew.
        """
        recovery = (self.recovery or RecoverySettings(seed=self.seed)).within(Budget(Unit.EPOCHS, 1))
        usual = RecoverySettings()
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
            search=self.search or None,
        )


def prune_state(
    session: "Session",
    state: str,
    settings: PruneSettings,
    scores: NDArray[np.float64] | None = None,
    token: CancelToken = NEVER,
    report: bool = True,
) -> Job[tuple[State, ...]]:
    """Score, plan, cut, recover and evaluate until the goal is reached; returns the states on the way.

    Args:
        session: Gets the states.
        state: Where to start.
        settings: What to do.
        scores: [S] of the state by the criterion, where they are known.
        token: Cancels.
        report: Measure the metric of the result on the test split.

    Raises:
        PlanError: The goal cannot be reached; nothing was cut then. Its scope holds nothing that can be removed;
            nothing was scored then.
        SecateurError: No training can have the settings of the recovery; nothing was scored or cut then.
    """
    outside_scope(session.analysis, settings.goal)
    if settings.recovery is not None:
        require_possible(settings.recovery)
        if session.has_task:
            require_mixable(settings.recovery, session.task)
            settings = replace(settings, recovery=session.suited(settings.recovery))
    if settings.choose is Choose.MASKS:
        require_whole(settings.mask_intent.recovery, session.processes)
    settings = replace(settings, goal=ranked(settings.goal, settings.criterion))
    require_way(settings.choose, settings.rounds, session.has_task)
    settings = replace(settings, search=_plans_to_measure(session, settings))
    require_search(settings.search or None, settings.goal, session.has_task, session.prepared.spec.uniform)
    require_shape_of(session, state, settings)
    made, now = list[State](), session.history.state(state)
    rated = {} if scores is None else {state: scores}
    table = yield from table_for(session, settings.goal, token)
    marked, _ = from_identities(session.analysis, settings.marked)
    gone, begun = session.removed(state) | marked, 0.0
    goals = goals_of(session.analysis, settings.goal, gone, settings.choose, settings.rounds, table)
    if settings.choose is Choose.MASKS:
        begun = mask_share(session, settings) * ROUNDS
        now = yield from spanning(_masked(session, now, settings, rated, table, token), 0.0, begun)
        made.append(now)
        yield Progress("Masks learned", made=now)
    for number, goal in enumerate(goals):
        begin, end = (begun + (ROUNDS - begun) * each / len(goals) for each in (number, number + 1))
        between = end if settings.recovery is None else begin + CUT * (end - begin)
        said = partial(_in_round, number=number + 1, rounds=len(goals))
        cutting = said(_cut(session, now, settings, goal, token, rated, table))
        cut = yield from spanning(cutting, begin, between)
        learned = settings.choose is Choose.MASKS  # as many as the table said
        if cut is not None and table is not None and goal == settings.goal and not learned:
            again = partial(_cut, session, now, settings, token=token, rated=rated, table=table)
            cut = yield from in_time(session, cut, goal, table, again, token)
        if cut is not None:
            made.append(cut)
            yield Progress("Cut", made=cut)
            if settings.recovery is not None:
                recovering = said(_recovered(session, cut, settings.recovery, token))
                made.append((yield from spanning(recovering, between, end)))
                yield Progress("Recovered", made=made[-1])
            now = made[-1]
    if report and made and session.has_task:
        yield from spanning(session.evaluate_once(now.id, Split.TEST, token), ROUNDS, 1.0)
        yield Progress("Evaluated", made=session.history.state(now.id))
    return tuple(session.history.state(one.id) for one in made)


def _plans_to_measure(session: "Session", settings: PruneSettings) -> int:
    """In a search of shares; 0 for no search."""
    info, at_once = session.loaded.info, settings.choose is Choose.SCORES and settings.rounds == 1
    helps = at_once and search_helps(settings.criterion, info, chosen_by_repair(settings.recovery, info))
    return plans_to_measure(settings.search, settings.goal, helps, session.prepared.spec.uniform)


def _in_round(job: Job[Made], number: int, rounds: int) -> Job[Made]:
    """A job as a part of one of several rounds, which it names."""
    if rounds == 1:
        return (yield from job)

    def told(progress: Progress) -> Iterator[Progress]:
        fields = {"number": number, "rounds": rounds, "step": progress.message}
        yield replace(progress, text=Message("progress.round", "Round {number} of {rounds}: {step}", fields))

    return (yield from followed(job, told))


def mask_share(session: "Session", settings: PruneSettings) -> float:
    """About what share of learning masks, cutting and recovering goes into the masks: an update of each takes alike."""
    recovery = settings.recovery
    if recovery is None or not recovery.trains:
        return MASKING_ALONE
    updates = recovery.updates(session.task.batch_count(Split.TRAIN))
    return settings.mask_steps / (settings.mask_steps + updates) if updates else MASKING


def require_shape_of(session: "Session", state: str, settings: PruneSettings) -> None:
    """Refuse a target shape that no plan has, or that no rounds lead to; it takes no scores.

    Args:
        session: With the model.
        state: Where to start.
        settings: With the goal.

    Raises:
        PlanError: No plan has this shape; says which numbers are nearest.
    """
    if not settings.goal.shape:
        return
    from ..surgery.repair.keep_uniform import require_shape  # brings torch

    locked, _ = from_identities(session.analysis, settings.locked)
    marked, _ = from_identities(session.analysis, settings.marked)
    require_shape(
        session.prepared.opened.model,
        session.analysis,
        settings.goal,
        session.removed(state) | marked,
        locked,
        session.prepared.spec.uniform,
        settings.rounds,
    )


def _cut(
    session: "Session",
    now: State,
    settings: PruneSettings,
    goal: Goal,
    token: CancelToken,
    rated: dict[str, NDArray[np.float64]],
    table: LatencyTable | None = None,
) -> Job[State | None]:
    """The cut of a round, made before or now; None where the state meets the round's goal already.

    `rated` holds scores by state, and gets those of this one.
    """
    intent = settings.intent(goal)
    before = made_before(
        session, now, lambda one: one.plan is not None and replace(one.plan, lose=intent.lose) == intent
    )
    if before is not None:
        return before
    if now.chosen:
        chosen, _ = from_identities(session.analysis, now.chosen)
        return (yield from session.cut(now.id, chosen, intent, token))
    if now.id not in rated:
        rated[now.id] = yield from session.score(now.id, settings.criterion, settings.choices, settings.seed, token)
    scores = rated[now.id]
    marked, _ = from_identities(session.analysis, settings.marked)
    gone = session.removed(now.id)
    if goal != settings.goal:  # What the last round cannot reach is refused before the first one cuts.
        locked, _ = from_identities(session.analysis, settings.locked)
        solve(session.analysis, scores, settings.goal, gone | marked, locked, table)
    plan = planned(session, now.id, settings.intent(settings.goal), goal, scores, table)
    plan, outcome = yield from searched(session, now.id, intent, scores, plan, table, token)
    return None if (plan == gone).all() else (yield from session.cut(now.id, plan, intent, token, outcome))


def _masked(
    session: "Session",
    now: State,
    settings: PruneSettings,
    rated: dict[str, NDArray[np.float64]],
    table: LatencyTable | None,
    token: CancelToken,
) -> Job[State]:
    """The state with learned masks, made before or now."""
    intent = settings.mask_intent
    before = made_before(
        session,
        now,
        lambda one: (
            one.masks is not None and replace(one.masks, plan=replace(one.masks.plan, lose=intent.plan.lose)) == intent
        ),
    )
    if before is not None:
        return before
    return (yield from masked_state(session, now.id, intent, rated.get(now.id), table, token))


def _recovered(session: "Session", cut: State, recovery: RecoverySettings, token: CancelToken) -> Job[State]:
    before = made_before(
        session, cut, lambda one: one.recovery is not None and one.recovery.as_asked == recovery.as_asked
    )
    return (yield from session.recover(cut.id, recovery, token)) if before is None else before


def made_before(session: "Session", parent: State, alike: Callable[[State], bool]) -> State | None:
    """A state that was made of this one before, on the data of now; None where there is none that is `alike`."""
    children = (one for one in session.history.states.values() if one.parent == parent.id and not one.former)
    return next((one for one in children if alike(one)), None)
