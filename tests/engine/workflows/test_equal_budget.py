"""Random removal is asked for what the state took: the goal where the plan lies at it, else the MACs it came to."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secateur.engine.baselines.protocol import Baseline, BaselineKind, BaselineSpec
from secateur.engine.jobs import finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit, Ranking
from secateur.engine.session.session import Session
from secateur.engine.session.states import PlanIntent, State
from secateur.engine.structures.analysis import Kind, Mask, identities
from secateur.engine.workflows.baselines import budget_of, make_baseline
from tests.engine.session.small import write_project

GOAL = Goal((Limit(Cost.MACS, 0.7),), ranking=Ranking.SET)
WINDOW = Goal((Limit(Cost.MACS, 0.5),), multiple=16)
"""The goal of a window where nobody has set one."""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A small network, open."""
    made = Session(tmp_path / "session")
    finish(made.open(write_project(tmp_path / "mine"), evaluate=False))
    yield made
    made.close()


def planned(session: Session, goal: Goal) -> Mask:
    nothing, scores = session.analysis.empty(), finish(session.score("s0", "l1"))
    return solve(session.analysis, scores, goal, nothing, nothing).removed


def some_filters(session: Session, count: int = 4) -> Mask:
    """[S] the first ones inside the block."""
    marked = session.analysis.empty()
    inner = next(one for one in session.analysis.sets if one.kind is Kind.FILTER)
    marked[inner.first : inner.first + count] = True
    return marked


def half_of_the_rest(session: Session, plan: Mask) -> Mask:
    """[S] marked on top of a plan."""
    more = session.analysis.empty()
    for one in session.analysis.sets:
        left = one.first + np.flatnonzero(~plan[one.structures])
        more[left[: len(left) // 2]] = True
    return more


def made(session: Session, removed: Mask, goal: Goal, by_hand: Mask | None = None) -> State:
    """A cut as the window makes it: with the goal whatever was marked."""
    marked = identities(session.analysis, session.analysis.empty() if by_hand is None else by_hand)
    return finish(session.cut("s0", removed, PlanIntent("l1", goal=goal, marked=marked)))


def random_beside(session: Session, state: State) -> Baseline:
    return finish(make_baseline(session, state.id, BaselineSpec(BaselineKind.RANDOM, epochs=0)))


@pytest.mark.parametrize("more", [some_filters, lambda session: half_of_the_rest(session, planned(session, GOAL))])
def test_marks_by_hand_are_the_budget_whatever_the_windows_goal(
    session: Session, more: Callable[[Session], Mask]
) -> None:
    """By themselves, or after a plan for the goal."""
    by_hand = more(session)
    plan = session.analysis.empty() if more is some_filters else planned(session, GOAL)
    state = made(session, plan | by_hand, WINDOW if more is some_filters else GOAL, by_hand)
    assert 0.97 * state.macs < random_beside(session, state).macs <= state.macs


def test_a_plan_of_the_solver_keeps_its_goal(session: Session) -> None:
    for goal in (GOAL, WINDOW, replace(GOAL, scope=("block",)), replace(GOAL, limits=(Limit(Cost.PARAMETERS, 0.6),))):
        assert budget_of(session.analysis, made(session, planned(session, goal), goal)) == goal


def test_a_goal_that_was_changed_after_the_plan_is_not_its_budget(session: Session) -> None:
    plan = planned(session, replace(GOAL, multiple=4))
    for share in (0.2, 0.98):
        asked = replace(GOAL, limits=(Limit(Cost.MACS, share),))
        state = made(session, plan, asked)
        assert budget_of(session.analysis, state).limits == (Limit(Cost.MACS, amount=state.macs),)
        assert 0.97 * state.macs < random_beside(session, state).macs <= state.macs


def test_a_plan_for_a_latency_keeps_all_but_the_latency(session: Session) -> None:
    timed = Goal((Limit(Cost.LATENCY, 0.7),), ("block",), least_share=0.5, multiple=8, ranking=Ranking.SET)
    state = made(session, some_filters(session, 8), timed)
    asked = budget_of(session.analysis, state)
    assert asked == replace(timed, limits=(Limit(Cost.MACS, amount=state.macs),))
    beside = random_beside(session, state)
    assert {key: len(gone) for key, gone in beside.removed.items()} == {k: len(v) for k, v in state.removed.items()}


def test_marks_out_of_the_scope_end_it_and_blocks_compete_only_where_one_went(session: Session) -> None:
    deep = replace(GOAL, scope=("block",), kinds=(Kind.FILTER, Kind.CHANNEL, Kind.BLOCK))
    within = some_filters(session)
    assert budget_of(session.analysis, made(session, within, deep, within)).scope == ("block",)
    outside = session.analysis.empty()
    outside[next(one for one in session.analysis.sets if one.module == "stem").first] = True
    asked = budget_of(session.analysis, made(session, within | outside, deep, outside))
    assert asked.scope == () and Kind.BLOCK not in asked.kinds and Kind.FILTER in asked.kinds
