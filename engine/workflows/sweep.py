"""Prune from one state to several budgets, unattended: the points of a trade-off curve."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, SecateurError
from ..jobs import Cancelled, CancelToken, Job, NeverCancelled, Progress, part_of
from ..machine.out_of_memory import lack_of_memory
from ..messages import said
from ..planning.protocol import Cost, Limit
from ..session.states import State
from .latency_limit import latency_in
from .prune import PruneRequest, decide_request, prune_state

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

NEVER = NeverCancelled()
BUDGETS = (0.8, 0.65, 0.5, 0.35, 0.2)
"""Shares of a cost that a sweep keeps unless told otherwise."""
MET = Message("sweep.met", "The state already meets this budget.")
"""Of a budget that asks for nothing to be removed."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
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

    points: tuple[SweepPoint, ...]
    states: tuple[State, ...]


def sweep_budgets(
    session: "Session",
    state: str,
    settings: PruneRequest,
    shares: tuple[float, ...] = BUDGETS,
    scores: NDArray[np.float64] | None = None,
    token: CancelToken = NEVER,
) -> Job[Sweep]:
    """Prune from one state to several budgets, unattended: the points of the trade-off curve.

    Args:
        session: Gets the states.
        state: Where every budget starts; it is scored once.
        settings: What to do; each limit of its goal is set to each share in turn.
        shares: What to keep of the limited costs.
        scores: [S] of the state by the criterion, where they are known.
        token: Cancels.
    """
    settings = decide_request(session, state, replace(settings, search=settings.search or 0))
    if scores is None:
        scores = yield from session.score(state, settings.criterion, settings.choices, settings.seed, token)
    points: list[SweepPoint] = []
    for number, share in enumerate(sorted(shares, reverse=True), 1):
        numbers = {"number": number, "count": len(shares), "share": share}
        words = Message("progress.budget", "Budget {number} of {count} ({share:.0%})", numbers)
        shown = Progress(words, number - 1, len(shares))
        job = _run_budget(session, state, at_share(settings, share), share, token, scores)
        points.append((yield from part_of(shown, job)))
    ends = [session.history.state(point.states[-1]) for point in points if point.states]
    return Sweep(tuple(points), tuple(ends))


def at_share(settings: PruneRequest, share: float) -> PruneRequest:
    """Settings whose goal keeps this share of every cost that it limits; of the MACs where it limits none.

    Shares of layers are searched for each point only where somebody asked for that.
    """
    limits = tuple(Limit(limit.cost, share) for limit in settings.goal.limits) or (Limit(Cost.MACS, share),)
    return replace(settings, goal=replace(settings.goal, limits=limits), search=settings.search or 0)


def _run_budget(
    session: "Session",
    state: str,
    settings: PruneRequest,
    share: float,
    token: CancelToken,
    scores: NDArray[np.float64],
) -> Job[SweepPoint]:
    """A budget that cannot be reached, or whose cut, recovery or timing fails, has a note: the others go on."""
    try:
        made = yield from prune_state(session, state, settings, scores, token)
    except Cancelled:
        raise
    except SecateurError as error:
        return SweepPoint(share, (), said((lack_of_memory(error) or error).message))
    if not made:
        return SweepPoint(share, (), MET)
    try:
        timed = yield from latency_in(session, made, settings.goal, token)
    except Cancelled:
        raise
    except SecateurError as error:
        return SweepPoint(share, tuple(one.id for one in made), said(error.message))
    return SweepPoint(share, tuple(one.id for one in made), None if timed is None else timed.shortfall)
