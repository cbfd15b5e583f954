"""Goals that limit the latency, on a runtime whose times are a formula."""

import numpy as np
import pytest

from secateur.engine.errors import PlanError
from secateur.engine.planning.budget_schedule import goals_of
from secateur.engine.planning.goal import reached, solve
from secateur.engine.planning.protocol import Choose, Cost, Goal, Limit
from secateur.engine.storage.serialization import from_json, to_json
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from secateur.engine.targets.latency_table import fit
from secateur.engine.targets.protocol import TargetSpec
from tests.engine.builders import tiny_analysis, tiny_scores
from tests.engine.planning.stacks import stack
from tests.engine.targets.invented import Invented

CHAIN = stack(5, 64)
SCORES = np.random.default_rng(0).random(CHAIN.count)
NONE = CHAIN.empty()


def table(runtime: Invented, multiple: int = 8):
    return fit(runtime.samples(multiple), TargetSpec(), "", multiple, 0.0)


def test_a_limit_in_milliseconds_or_as_a_share_holds_as_closely_as_steps_allow():
    runtime = Invented(CHAIN)
    made, whole = table(runtime), runtime.seconds(NONE)
    for share in (0.8, 0.6, 0.4):
        for limit in (Limit(Cost.LATENCY, share), Limit(Cost.LATENCY, amount=round(share * whole * 1e9))):
            planned = solve(CHAIN, SCORES, Goal((limit,), multiple=8), NONE, NONE, made)
            (one,) = planned.reached
            assert one.cost is Cost.LATENCY and one.got <= one.asked
            assert runtime.seconds(planned.removed) == pytest.approx(share * whole, rel=0.07)
            assert one.got == pytest.approx(runtime.seconds(planned.removed) * 1e9, rel=0.02)


def test_time_is_saved_where_layers_take_time_and_not_where_macs_are():
    """Layers 1 and 2 are free: set 1 saves as many MACs as any other, and no time."""
    runtime = Invented(CHAIN, free=frozenset({1, 2}))
    equal = np.ones(CHAIN.count)
    goal = Goal((Limit(Cost.LATENCY, 0.7),), multiple=8)
    timed = solve(CHAIN, equal, goal, NONE, NONE, table(runtime)).removed
    counted = solve(CHAIN, equal, Goal((Limit(Cost.MACS, 0.5),), multiple=8), NONE, NONE).removed
    saved = [1 - runtime.seconds(plan) / runtime.seconds(NONE) for plan in (timed, counted)]
    lost = [1 - costs(CHAIN, plan).macs / costs(CHAIN).macs for plan in (timed, counted)]
    assert saved[0] / lost[0] > saved[1] / lost[1]
    sets = [int(timed[one.structures].sum()) for one in CHAIN.sets]
    assert sets[1] == min(sets) < max(sets)


def test_latency_and_macs_are_limited_together():
    made = table(Invented(CHAIN))
    goal = Goal((Limit(Cost.MACS, 0.5), Limit(Cost.LATENCY, 0.9)), multiple=8)
    macs, latency = solve(CHAIN, SCORES, goal, NONE, NONE, made).reached
    assert macs.got <= macs.asked and latency.got <= latency.asked
    assert reached(CHAIN, goal, NONE, made)[1].got > latency.asked


def test_a_latency_below_the_overhead_is_refused_with_the_lowest():
    runtime = Invented(CHAIN)
    with pytest.raises(PlanError, match=r"a latency of at most 0.001 ms. The lowest possible is .* ms") as refused:
        solve(CHAIN, SCORES, Goal((Limit(Cost.LATENCY, amount=1000),), multiple=8), NONE, NONE, table(runtime))
    assert "blocks" not in str(refused.value)
    lowest = refused.value.message.arguments["nearest"][0][1]
    least = NONE.copy()
    for one in CHAIN.sets:
        least[one.first : one.first + 56] = True
    assert lowest == pytest.approx(runtime.seconds(least) * 1e9, rel=0.05)


def test_without_a_table_there_is_no_plan_and_whole_blocks_are_refused():
    goal = Goal((Limit(Cost.LATENCY, 0.5),))
    with pytest.raises(PlanError, match="Measure it first"):
        solve(CHAIN, SCORES, goal, NONE, NONE)
    deep = Goal((Limit(Cost.LATENCY, 0.5),), kinds=(Kind.NEURON, Kind.BLOCK))
    with pytest.raises(PlanError, match="whole blocks"):
        solve(CHAIN, SCORES, deep, NONE, NONE, table(Invented(CHAIN)))
    analysis = tiny_analysis()
    blocks = [one.first for one in analysis.sets if one.kind is Kind.BLOCK]
    gone = analysis.empty()
    gone[blocks[:1]] = True
    assert blocks
    with pytest.raises(PlanError, match="whole blocks"):
        solve(analysis, tiny_scores(analysis), goal, gone, analysis.empty(), table(Invented(CHAIN)))


def test_rounds_lie_between():
    made = table(Invented(CHAIN))
    goals = goals_of(CHAIN, Goal((Limit(Cost.LATENCY, 0.49),), multiple=8), NONE, Choose.SCORES, 2, made)
    assert goals[0].limits[0].share == pytest.approx(0.7, rel=0.02) and goals[1].limits[0].share == 0.49


def test_a_goal_with_its_target_survives_json_and_recipes_without_one_do_too():
    goal = Goal((Limit(Cost.LATENCY, amount=5_000_000),), target=TargetSpec("openvino", threads=2, size=(8, 8)))
    assert from_json(to_json(goal), Goal) == goal
    assert from_json(b'{"limits": [{"cost": "macs", "share": 0.5}]}', Goal) == Goal((Limit(Cost.MACS, 0.5),))


def test_a_lock_on_a_block_that_could_not_go_anyway_is_not_blamed():
    analysis = tiny_analysis()
    made, locked = table(Invented(analysis)), ~analysis.empty()
    assert any(one.kind is Kind.BLOCK for one in analysis.sets) and not made.homes
    goal = Goal((Limit(Cost.LATENCY, 0.5),), multiple=8)
    with pytest.raises(PlanError, match=r"out of reach: keeping 50\.0% of the latency.*unlock structures in"):
        solve(analysis, tiny_scores(analysis), goal, analysis.empty(), locked, made)
