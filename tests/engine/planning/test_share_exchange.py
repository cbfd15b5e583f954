"""What sets of a plan give each other: limits hold by an independent count, and only what may move does."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.engine.errors import PlanError
from secateur.engine.planning.goal import exchange_of, solve
from secateur.engine.planning.protocol import Cost, Goal, KindLimit, Limit, PlanStart
from secateur.engine.planning.share_exchange import FEWEST, PLANS, TEXTS, WORK, plans_to_measure
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind, Mask
from tests.engine.builders import tiny_analysis, tiny_scores
from tests.engine.nets import Transformer
from tests.engine.planning.test_solve import exact

ANALYSIS = tiny_analysis()


def differing(one: Mask, other: Mask) -> set[str]:
    return {each.key for each in ANALYSIS.sets if (one != other)[each.structures].any()}


COSTS = st.sampled_from([Cost.PARAMETERS, Cost.MACS, Cost.SIZE])


@given(COSTS, st.floats(0.4, 0.9), st.sampled_from([1, 4]), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_exchange_keeps_the_limit_and_gives_one_set_more(cost: Cost, share: float, multiple: int, seed: int):
    scores = tiny_scores(ANALYSIS, seed)
    goal = Goal((Limit(cost, share),), multiple=multiple)
    try:
        planned = solve(ANALYSIS, scores, goal)
    except PlanError:
        return
    exchange, limit = exchange_of(PlanStart.of(ANALYSIS, scores), goal, planned.removed), planned.reached[0].asked
    assert exchange.options
    for gets, getting in enumerate(exchange.options):
        for gives in range(len(exchange.options)):
            found = None if gets == gives else exchange.exchange_step(planned.removed, gets, gives)
            if found is None:
                continue
            assert exact(ANALYSIS, found, cost) <= limit
            assert found[getting.order].sum() < planned.removed[getting.order].sum()
            for one in exchange.options:
                gone = found[one.order]
                assert gone[: gone.sum()].all() and one.remaining - gone.sum() in one.allowed


def test_a_step_changes_one_set_and_saves_what_an_independent_count_says() -> None:
    scores, goal = tiny_scores(ANALYSIS), Goal((Limit(Cost.MACS, 0.6),))
    plan = solve(ANALYSIS, scores, goal).removed
    steps = exchange_of(PlanStart.of(ANALYSIS, scores), goal, plan).steps(plan)
    assert len({one.number for one in steps}) == len(steps) > 1
    before = exact(ANALYSIS, plan, Cost.MACS)
    for one in steps:
        assert len(differing(one.removed, plan)) == 1
        saved = before - exact(ANALYSIS, one.removed, Cost.MACS)
        assert one.saved == abs(saved) and (saved > 0) == one.down


def test_two_limits_hold_at_once() -> None:
    scores, goal = tiny_scores(ANALYSIS), Goal((Limit(Cost.MACS, 0.6), Limit(Cost.PARAMETERS, 0.6)))
    planned = solve(ANALYSIS, scores, goal)
    exchange = exchange_of(PlanStart.of(ANALYSIS, scores), goal, planned.removed)
    numbers = range(len(exchange.options))
    found = [exchange.exchange_step(planned.removed, a, b) for a in numbers for b in numbers if a != b]
    assert any(one is not None for one in found)
    for one in (one for one in found if one is not None):
        for asked in planned.reached:
            assert exact(ANALYSIS, one, Cost(asked.cost)) <= asked.asked


def test_what_is_locked_marked_by_hand_or_counted_stays() -> None:
    analysis = analyse(Transformer(), (torch.zeros(2, 3, 32, 32),))
    scores = np.random.default_rng(0).random(analysis.count)
    goal = Goal((Limit(Cost.PARAMETERS, 0.7),), kept=(KindLimit(Kind.HEAD, share=0.5),))
    neurons = [one for one in analysis.sets if one.kind is Kind.NEURON]
    locked, marked = analysis.empty(), analysis.empty()
    locked[neurons[0].structures] = True
    marked[neurons[1].first] = True
    plan = solve(analysis, scores, goal, marked, locked).removed
    exchange = exchange_of(PlanStart(analysis, scores, marked, locked), goal, plan)
    moving = np.concatenate([one.order for one in exchange.options])
    heads = [one for one in analysis.sets if one.kind is Kind.HEAD]
    assert not locked[moving].any() and not marked[moving].any()
    assert not any(set(moving) & set(range(one.first, one.first + one.count)) for one in heads)


def test_a_plan_that_takes_nothing_has_nothing_to_exchange() -> None:
    scores, goal = tiny_scores(ANALYSIS), Goal((Limit(Cost.MACS, 1.0),))
    plan = solve(ANALYSIS, scores, goal).removed
    exchange = exchange_of(PlanStart.of(ANALYSIS, scores), goal, plan)
    numbers = range(len(exchange.options))
    assert all(exchange.exchange_step(plan, a, b) is None for a in numbers for b in numbers if a != b)


def test_a_search_that_begins_by_itself_is_bounded_by_the_work_of_its_measurements() -> None:
    assert plans_to_measure(0.0) == plans_to_measure(1e6) == PLANS
    assert FEWEST < plans_to_measure(17e9) < PLANS and plans_to_measure(17e9) * TEXTS * 17e9 <= WORK
    assert plans_to_measure(1e15) == FEWEST, "fewer move nothing"
