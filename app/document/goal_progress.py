"""What a plan, or a state, makes of the goal: asked and got of the limited cost, and the engine's verdict on it all."""

from dataclasses import replace
from typing import Protocol

from secateur.engine.planning.goal import reached
from secateur.engine.planning.goal_verdict import GoalVerdict, goal_verdict
from secateur.engine.planning.protocol import Cost, Reached
from secateur.engine.planning.target_shape import reached_shape
from secateur.engine.session.states import State, StateKind
from secateur.engine.structures.costs import Costs
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Metric

from ..text.metrics import metric_of, timing_of
from .aspects import Goal
from .contents import Contents

UNCUT = (StateKind.ORIGINAL, StateKind.MASKED)
"""Kinds of states that nothing was cut for: learned masks go with the cut that follows them."""
NANOSECONDS = 1e6
"""In a millisecond."""


class Judged(Protocol):
    """What of the document is looked at."""

    contents: Contents

    @property
    def goal(self) -> Goal:
        """Keep and lose."""
        ...

    @property
    def target(self) -> TargetSpec:
        """Where the model will run."""
        ...

    @property
    def state(self) -> State | None:
        """The current state."""
        ...

    @property
    def original(self) -> State | None:
        """The state everything began from."""
        ...

    @property
    def original_costs(self) -> Costs | None:
        """Costs of the original."""
        ...

    @property
    def plan_costs(self) -> Costs | None:
        """Costs of what current state and plan leave."""
        ...

    def metric(self, state: State | None) -> Metric | None:
        """The metric of a state that compares with the original's."""
        ...


def verdict_on_goal(document: Judged) -> GoalVerdict | None:
    """The verdict on the plan where there is one, else on the current state; None where nothing was cut for it yet."""
    state, planned = document.state, bool(document.contents.marked.any())
    if state is None or (state.kind in UNCUT and not planned):
        return None
    goal, analysis = document.goal, document.contents.analysis
    now = None if planned or state.stale else document.metric(state)
    if goal.shaped and analysis is not None:
        gone = document.contents.removed | document.contents.marked
        rows = reached_shape(analysis, goal.asked(document.target), gone)
        return goal_verdict(rows, metric_of(document.original), now, goal.lose / 100)
    cost, got = goal.cost, _reached(document, None if planned else state)
    return goal_verdict(
        () if got is None else (got,),
        metric_of(document.original),
        now,
        goal.lose / 100,
        predicted=(cost,) if planned and cost is Cost.LATENCY else (),
        unmeasured=(cost,) if got is None else (),
    )


def _reached(document: Judged, state: State | None) -> Reached | None:
    """Asked and got of the goal's cost in a state, None for the plan; None where it was not measured."""
    cost, contents = document.goal.cost, document.contents
    before, now = document.original_costs, document.plan_costs
    if cost is Cost.LATENCY:
        return _latency(document, state)
    if before is None or now is None or contents.analysis is None:
        return None
    if cost is Cost.MACS:
        return _share(document, before.macs, now.macs)
    if cost is Cost.PARAMETERS:
        return _share(document, before.parameters, now.parameters)
    limited = replace(document.goal, shape=(), kept=()).asked(document.target)
    return reached(contents.analysis, limited, contents.removed | contents.marked)[0]


def _latency(document: Judged, state: State | None) -> Reached | None:
    """Of a state as measured beside the original, of the plan as predicted."""
    if state is None:
        table, predicted = document.contents.table, document.contents.plan_latency()
        if table is None or predicted is None:
            return None
        return _share(document, int(table.original), round(predicted * NANOSECONDS))
    first, now = timing_of(document.original, document.target), timing_of(state, document.target)
    if first is None or now is None:
        return None
    return _share(document, round(first.median * NANOSECONDS), round(now.median * NANOSECONDS))


def _share(document: Judged, before: int, now: int) -> Reached:
    """With the limit as the solver rounds it."""
    return Reached(document.goal.cost, before, int(document.goal.keep * before + 0.5), now)
