"""Goals that limit the latency: the table that plans, and cuts that are measured before they recover."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import Message, PlanError
from ..jobs import CancelToken, Job
from ..planning.goal import reached
from ..planning.protocol import Cost, Goal, Limit
from ..session.states import State, StateKind
from ..targets.latency_table import LatencyTable
from ..targets.protocol import TargetSpec, Timing
from ..targets.table import machine_of

if TYPE_CHECKING:
    from ..session.session import Session

CORRECTIONS = 2
"""Further cuts at most, where a cut turns out slower than it was predicted and than what was asked."""


@dataclass(frozen=True, slots=True)
class LatencyOutcome:
    """What became of a limit of the latency, in milliseconds.

    Attributes:
        asked: To stay at or under.
        predicted: By the table, for what was cut.
        measured: Of the cut, in turns with the original (`Timing.beside`).
        table: What predicted.
    """

    asked: float
    predicted: float
    measured: Timing
    table: LatencyTable

    @property
    def met(self) -> bool:
        """Whether what was measured is at or under what was asked."""
        return self.measured.undisturbed <= self.asked

    @property
    def slower(self) -> bool:
        """Whether the cut is slower than the original: it was for nothing."""
        return self.share > 1

    @property
    def share(self) -> float:
        """What the cut takes of the original's time."""
        return self.measured.undisturbed / self.measured.beside

    @property
    def shortfall(self) -> Message | None:
        """Why the limit was not met, None where it was."""
        now = self.measured.undisturbed
        if self.slower:
            template = "The result is slower than the original: {now:.3g} ms against {before:.3g} ms."
            return Message("latency.slower", template, {"now": now, "before": self.measured.beside})
        template = "The result takes {now:.3g} ms; the goal was {asked:.3g} ms."
        return None if self.met else Message("latency.missed", template, {"now": now, "asked": self.asked})


def target_for(goal: Goal) -> TargetSpec:
    """Where a goal limits the latency, at its multiple."""
    return replace(goal.target or TargetSpec(), multiple=goal.multiple)


def table_for(session: "Session", goal: Goal, token: CancelToken) -> Job[LatencyTable | None]:
    """The table that a goal is planned with; None where it limits no latency."""
    if not goal.timed:
        return None
    from .latency_table import latency_table  # brings torch, which the window's settings of a pruning do not need

    return (yield from latency_table(session, target_for(goal), token))


def in_time(
    session: "Session",
    cut: State,
    goal: Goal,
    table: LatencyTable,
    again: Callable[[Goal], Job[State | None]],
    token: CancelToken,
) -> Job[State]:
    """The cut where it is as fast as asked when measured; else one that is planned to be faster by what was missing.

    Args:
        session: Of the states.
        cut: What was planned for the goal.
        goal: Limits the latency.
        table: Of its target.
        again: Cuts for another goal; None where nothing is to be done for it.
        token: Cancels.
    """
    for _ in range(CORRECTIONS):
        found = yield from latency_of(session, cut, goal, table, token)
        if found.met:
            return cut
        # The table is off by about the same factor for the next plan.
        aim = found.predicted * found.asked / found.measured.undisturbed
        limit = Limit(Cost.LATENCY, amount=round(aim * 1e6))
        others = tuple(one for one in goal.limits if one.cost is not Cost.LATENCY)
        try:
            other = yield from again(replace(goal, limits=(*others, limit)))
        except PlanError:  # so fast nothing gets: the fastest that there is
            return cut
        if other is None:
            return cut
        cut = other
    return cut


def latency_in(session: "Session", made: Sequence[State], goal: Goal, token: CancelToken) -> Job[LatencyOutcome | None]:
    """What became of the limit in the last cut among states; None without a limit of the latency, or without a cut."""
    table = yield from table_for(session, goal, token)
    cuts = [state for state in made if state.kind is StateKind.CUT]
    if table is None or not cuts:
        return None
    return (yield from latency_of(session, cuts[-1], goal, table, token))


def latency_of(
    session: "Session", state: State, goal: Goal, table: LatencyTable, token: CancelToken
) -> Job[LatencyOutcome]:
    """What became of the limit in a state of that shape; measured unless it has been."""
    # Of a state, in turns with the original unless that is known of the machine: the table is of it too.
    target = target_for(goal)
    there = [one for one in session.history.state(state.id).timings if one.target.place == target.place]
    known = [one for one in there if target.machine or one.machine == machine_of(target)]
    if known and known[0].beside:
        timing = known[0]
    else:
        from .measure import measure_states  # brings torch

        timing = (yield from measure_states(session, (session.states()[0].id, state.id), target, token))[1]
    predicted = next(
        one for one in reached(session.analysis, goal, session.removed(state.id), table) if one.cost is Cost.LATENCY
    )
    limit = next(limit for limit in goal.limits if limit.cost is Cost.LATENCY)
    asked = limit.amount / 1e6 or limit.share * timing.beside
    return LatencyOutcome(asked, predicted.got / 1e6, timing, table)
