"""Learned masks as one step: score, plan how much of each layer goes, then learn which of it (`recovery/`)."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job, NeverCancelled
from ..latency.protocol import LatencyTable
from ..planning.goal import solve
from ..planning.protocol import Goal
from ..session.states import MaskIntent, PlanIntent, State
from ..structures.analysis import Mask, from_identities
from .latency_limit import table_for

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

NEVER = NeverCancelled()


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
    if latencies is None:
        latencies = yield from table_for(session, plan.goal, token)
    if scores is None:
        scores = yield from session.score(state, plan.criterion, plan.choices, plan.seed, token)
    removed = planned(session, state, plan, plan.goal, scores, latencies)
    return (yield from session.learn_masks(state, removed, scores, intent, token))


def planned(
    session: "Session",
    state: str,
    plan: PlanIntent,
    goal: Goal,
    scores: NDArray[np.float64],
    latencies: LatencyTable | None,
    token: CancelToken | None = None,
) -> Mask:
    """[S] the plan for a goal from a state, that one configuration describes where that is asked for.

    Args:
        session: With the model.
        state: Where to start.
        plan: Locks, marks, and the goal that is to be reached in the end.
        goal: That of this round.
        scores: [S] of the state.
        latencies: Of the target, where the goal limits the latency.
        token: Cancels while the nearest plan that a configuration describes is sought.

    Raises:
        PlanError: The goal cannot be reached.
        Cancelled: The token was set.
    """
    locked, _ = from_identities(session.analysis, plan.locked)
    marked, _ = from_identities(session.analysis, plan.marked)
    gone = session.removed(state) | marked
    removed = solve(session.analysis, scores, goal, gone, locked, latencies).removed
    if session.prepared.spec.uniform and not (goal.shape and goal != plan.goal):  # a shape fits when it is reached
        from ..surgery.repair.keep_uniform import fitting_plan  # brings torch

        model = session.prepared.opened.model
        removed = fitting_plan(model, session.analysis, removed, scores, locked, goal.shape, token)
    return removed
