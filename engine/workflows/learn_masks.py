"""Learned masks as one step: score, plan how much of each layer goes, then learn which of it (`recovery/`)."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job, NeverCancelled
from ..latency.protocol import LatencyTable
from ..session.states import MaskIntent, State
from .latency_limit import table_for
from .plan import plan_masks, searched

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
    removed = plan_masks(session, state, plan, plan.goal, scores, latencies).removed
    removed, _ = yield from searched(session, state, plan, scores, removed, latencies, token)
    return (yield from session.learn_masks(state, removed, scores, intent, token))
