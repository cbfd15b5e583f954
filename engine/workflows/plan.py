"""Plans from a state, as they are recorded: by scores, that one configuration describes, with their shares searched."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, NeverCancelled, Progress, followed
from ..planning.goal import exchange_of, plan_goal
from ..planning.protocol import Goal, Planned, PlanStart
from ..planning.share_exchange import require_search
from ..scoring.share_search import SearchedPlan
from ..session.states import MaskIntent, PlanIntent, State
from ..structures.analysis import Mask, from_identities
from ..targets.latency_table import LatencyTable
from .latency_limit import table_for

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

NEVER = NeverCancelled()


def start_from(
    session: "Session",
    state: str,
    intent: PlanIntent,
    scores: NDArray[np.float64],
    latencies: LatencyTable | None = None,
) -> PlanStart:
    """Where a plan from a state starts.

    Args:
        session: With the model.
        state: Where to start.
        intent: Its locks and marks hold.
        scores: [S] of the state.
        latencies: Of the target, where the goal limits the latency.
    """
    locked, _ = from_identities(session.analysis, intent.locked)
    marked, _ = from_identities(session.analysis, intent.marked)
    return PlanStart(session.analysis, scores, session.removed(state) | marked, locked, latencies)


def plan_masks(
    session: "Session", start: PlanStart, goal: Goal, last: bool = True, token: CancelToken | None = None
) -> Planned:
    """The plan for a goal, that one configuration describes where that is asked for.

    Args:
        session: With the model.
        start: What is gone, locked and rated.
        goal: That of a round.
        last: It is the goal that is to be reached in the end.
        token: Cancels while the nearest plan that a configuration describes is sought.

    Raises:
        PlanError: The goal cannot be reached.
        Cancelled: The token was set.
    """
    planned = plan_goal(start, goal)
    # Only the last round's shape has to fit a configuration.
    if session.prepared.spec.uniform and (last or not goal.shape):
        from ..surgery.repair.keep_uniform import fitting_plan  # brings torch

        model = session.prepared.opened.model
        planned = replace(planned, removed=fitting_plan(model, start, planned.removed, goal.shape, token))
    return planned


def search_plan(
    session: "Session", state: str, intent: PlanIntent, plan: Planned, token: CancelToken
) -> Job[tuple[Mask, Message | None]]:
    """([S] a plan with its shares searched, where its intent asks for that, what came of the search).

    Args:
        session: With the model.
        state: Where to start.
        intent: What is searched.
        plan: To begin with.
        token: Cancels.

    Raises:
        TaskError: There is no data, or the model does not fit.
        PlanError: The goal says how much each layer keeps.
    """
    if intent.search is None:
        return plan.removed, None

    def without_plan(progress: Progress) -> Iterator[Progress]:
        # The best plan so far is a part of what is made here: to show it as a result would be wrong.
        yield replace(progress, made=None)

    found = yield from followed(_search(session, state, intent, plan, token), without_plan)
    yield Progress(found.message)
    return found.removed, found.message


def search_shares(
    session: "Session",
    state: str,
    intent: PlanIntent,
    scores: NDArray[np.float64],
    latencies: LatencyTable | None = None,
    token: CancelToken = NEVER,
) -> Job[SearchedPlan]:
    """Plan for a goal from a state, then search the shares of its layers.

    `Progress.made` is the best plan so far whenever a better one is found: stopped, it stays.

    Args:
        session: With the model.
        state: Where to start.
        intent: Goal, locks, marks and search.
        scores: [S] of the state.
        latencies: Of the target, where the goal limits the latency.
        token: Cancels.

    Raises:
        PlanError: The goal cannot be reached, or says how much each layer keeps.
        TaskError: There is no data, or the model does not fit.
    """
    assert intent.asked is not None
    require_search(intent.search, intent.asked, session.has_task, session.prepared.spec.uniform)
    plan = plan_masks(session, start_from(session, state, intent, scores, latencies), intent.asked)
    return (yield from _search(session, state, intent, plan, token))


def _search(session: "Session", state: str, intent: PlanIntent, plan: Planned, token: CancelToken) -> Job[SearchedPlan]:
    require_search(intent.search, plan.goal, session.has_task, session.prepared.spec.uniform)
    exchange = exchange_of(plan.start, plan.goal, plan.removed)
    return (yield from session.search_shares(state, exchange, plan.removed, intent.search or 0, intent.seed, token))


def masked_state(
    session: "Session",
    state: str,
    intent: MaskIntent,
    scores: NDArray[np.float64] | None = None,
    latencies: LatencyTable | None = None,
    token: CancelToken = NEVER,
) -> Job[State]:
    """Learn masks for the goal of a plan; the state that they make says what should be cut.

    Args:
        session: Gets the state.
        state: A state of which nothing is cut.
        intent: The plan's goal and scores, and how masks are trained.
        scores: [S] of the state by the plan's criterion, where they are known.
        latencies: Of the target, where the goal limits the latency and they are known.
        token: Cancels.

    Raises:
        PlanError: The goal cannot be reached, or the state is cut already; nothing was trained then.
        TaskError: There is no data to train on.
    """
    plan = intent.plan
    assert plan.goal is not None
    # As a script calls it: a pruning has its table already.
    if latencies is None:
        latencies = yield from table_for(session, plan.goal, token)
    if scores is None:
        scores = yield from session.score(state, plan.criterion, plan.choices, plan.seed, token)
    start = start_from(session, state, plan, scores, latencies)
    planned = plan_masks(session, start, plan.goal)
    removed, _ = yield from search_plan(session, state, plan, planned, token)
    return (yield from session.learn_masks(state, start, removed, intent, token))
