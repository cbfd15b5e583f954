"""Courses of several steps on a session: prune to a goal in rounds, and a sweep over budgets.

Every step makes a state, and a state that is there is not made again: a course that was cancelled, or whose process
died, goes on where it stood when it is asked for once more. What was made before that stays in the history.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, SecateurError
from ..jobs import Cancelled, CancelToken, Job, Progress, part_of
from ..latency.protocol import LatencyTable
from ..out_of_memory import lack_of_memory
from ..planning.budget_schedule import round_goals
from ..planning.goal import solve
from ..planning.protocol import Cost, Goal, Limit
from ..recovery.protocol import RecoverySettings, require_possible
from ..scoring.score_options import Choices
from ..session.states import PlanIntent, State, StateKind
from ..structures.analysis import from_identities
from ..tasks.protocol import Split
from .latency_limit import in_time, latency_in, table_for

if TYPE_CHECKING:
    from ..session.session import Session

BUDGETS = (0.8, 0.65, 0.5, 0.35, 0.2)
"""Shares of a cost that a sweep keeps unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a goal is reached from a state.

    Attributes:
        goal: What to reach.
        criterion: What rates structures.
        recovery: How each cut is recovered, None for not at all.
        rounds: How often to score, cut and recover on the way, with budgets in between (geometric).
        seed: Of what is random in the scores.
        locked: What must not be removed, by set key, original indices.
        marked: What goes in any case, by set key, original indices.
        choices: About the scores.
    """

    goal: Goal
    criterion: str
    recovery: RecoverySettings | None = None
    rounds: int = 1
    seed: int = 0
    locked: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    marked: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    choices: Choices = field(default_factory=Choices)

    def intent(self, goal: Goal) -> PlanIntent:
        """What the plan of a round is recorded with."""
        return PlanIntent(
            self.criterion, locked=self.locked, seed=self.seed, goal=goal, marked=self.marked, choices=self.choices
        )


MET = "sweep.met"
"""Of a budget that asks for nothing to be removed."""


@dataclass(frozen=True, slots=True)
class Point:
    """One budget of a sweep.

    Attributes:
        share: What was asked to be kept.
        states: Ids of the states on the way, the result last; () where there is none.
        note: Why there is none, or why it is not as fast as asked; None where it is what was asked.
    """

    share: float
    states: tuple[str, ...]
    note: Message | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep gave: its points, the largest budget first, and the state that each ends in, of those that do."""

    points: tuple[Point, ...]
    states: tuple[State, ...]


def prune(
    session: "Session",
    state: str,
    course: Course,
    token: CancelToken,
    scores: NDArray[np.float64] | None = None,
    report: bool = True,
) -> Job[tuple[State, ...]]:
    """Score, plan, cut, recover and evaluate until the goal is reached; returns the states on the way.

    Args:
        session: Gets the states.
        state: Where to start.
        course: What to do.
        token: Cancels.
        scores: [S] of the state by the criterion, where they are known.
        report: Measure the metric of the result on the test split.

    Raises:
        PlanError: The goal cannot be reached; nothing was cut then.
        SecateurError: No training can have the settings of the recovery; nothing was scored or cut then.
    """
    if course.recovery is not None:
        require_possible(course.recovery)
    made, now = list[State](), session.history.state(state)
    rated = {} if scores is None else {state: scores}
    table = yield from table_for(session, course.goal, token)
    for goal in round_goals(session.analysis, course.goal, session.removed(state), course.rounds, table):
        cut = yield from _cut(session, now, course, goal, token, rated, table)
        if cut is not None and table is not None and goal == course.goal:
            again = partial(_cut, session, now, course, token=token, rated=rated, table=table)
            cut = yield from in_time(session, cut, goal, table, again, token)
        if cut is not None:
            made.append(cut)
            yield Progress("Cut", made=cut)
            if course.recovery is not None:
                made.append((yield from _recovered(session, cut, course.recovery, token)))
                yield Progress("Recovered", made=made[-1])
            now = made[-1]
    if report and made and session.has_task:
        yield from session.judged(now.id, Split.TEST, token)
        yield Progress("Evaluated", made=session.history.state(now.id))
    return tuple(session.history.state(one.id) for one in made)


def sweep(
    session: "Session",
    state: str,
    course: Course,
    shares: tuple[float, ...],
    token: CancelToken,
    scores: NDArray[np.float64] | None = None,
) -> Job[Sweep]:
    """Prune from one state to several budgets, unattended: the points of the trade-off curve.

    Args:
        session: Gets the states.
        state: Where every budget starts; it is scored once.
        course: What to do; each limit of its goal is set to each share in turn.
        shares: What to keep of the limited costs.
        token: Cancels.
        scores: [S] of the state by the criterion, where they are known.
    """
    if scores is None:
        scores = yield from session.score(state, course.criterion, course.choices, course.seed, token)
    points: list[Point] = []
    for number, share in enumerate(sorted(shares, reverse=True), 1):
        numbers = {"number": number, "count": len(shares), "share": share}
        words = Message("progress.budget", "Budget {number} of {count} ({share:.0%})", numbers)
        shown = Progress(words, number - 1, len(shares))
        job = _point(session, state, at_share(course, share), share, token, scores)
        points.append((yield from part_of(shown, job)))
    ends = [session.history.state(point.states[-1]) for point in points if point.states]
    return Sweep(tuple(points), tuple(ends))


def at_share(course: Course, share: float) -> Course:
    """The course whose goal keeps this share of every cost that it limits; of the MACs where it limits none."""
    limits = tuple(Limit(limit.cost, share) for limit in course.goal.limits) or (Limit(Cost.MACS, share),)
    return replace(course, goal=replace(course.goal, limits=limits))


def _point(
    session: "Session", state: str, course: Course, share: float, token: CancelToken, scores: NDArray[np.float64]
) -> Job[Point]:
    """A budget that cannot be reached, or whose cut, recovery or timing fails, has a note: the others go on."""
    try:
        made = yield from prune(session, state, course, token, scores)
    except Cancelled:
        raise
    except SecateurError as error:
        return Point(share, (), (lack_of_memory(error) or error).message)
    if not made:
        return Point(share, (), Message(MET, "The state already meets this budget."))
    try:
        timed = yield from latency_in(session, made, course.goal, token)
    except Cancelled:
        raise
    except SecateurError as error:
        return Point(share, tuple(one.id for one in made), error.message)
    return Point(share, tuple(one.id for one in made), None if timed is None else timed.shortfall)


def _cut(
    session: "Session",
    now: State,
    course: Course,
    goal: Goal,
    token: CancelToken,
    rated: dict[str, NDArray[np.float64]],
    table: LatencyTable | None = None,
) -> Job[State | None]:
    """The cut of a round, made before or now; None where the state meets the round's goal already.

    `rated` holds scores by state, and gets those of this one.
    """
    intent = course.intent(goal)
    before = known(session, now, lambda one: one.kind is StateKind.CUT and one.plan == intent)
    if before is not None:
        return before
    if now.id not in rated:
        rated[now.id] = yield from session.score(now.id, course.criterion, course.choices, course.seed, token)
    scores = rated[now.id]
    locked, _ = from_identities(session.analysis, course.locked)
    marked, _ = from_identities(session.analysis, course.marked)
    gone = session.removed(now.id)
    if goal != course.goal:  # What the last round cannot reach is refused before the first one cuts.
        solve(session.analysis, scores, course.goal, gone | marked, locked, table)
    plan = solve(session.analysis, scores, goal, gone | marked, locked, table).removed
    return None if (plan == gone).all() else (yield from session.cut(now.id, plan, intent, token))


def _recovered(session: "Session", cut: State, recovery: RecoverySettings, token: CancelToken) -> Job[State]:
    before = known(session, cut, lambda one: one.recovery == recovery)
    return (yield from session.recover(cut.id, recovery, token)) if before is None else before


def known(session: "Session", parent: State, alike: Callable[[State], bool]) -> State | None:
    """A state that was made of this one before, on the data of now; None where there is none that is `alike`."""
    children = (one for one in session.history.states.values() if one.parent == parent.id and not one.former)
    return next((one for one in children if alike(one)), None)
