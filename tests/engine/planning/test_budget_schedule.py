"""The budgets of rounds are geometric, and the last is the goal."""

import numpy as np
import pytest

from secateur.engine.planning.budget_schedule import goals_of
from secateur.engine.planning.goal import suggest
from secateur.engine.planning.protocol import Choose, Cost, Goal, Limit
from secateur.engine.structures.costs import costs
from tests.engine.builders import tiny_analysis, tiny_scores

ANALYSIS = tiny_analysis()
NONE = ANALYSIS.empty()


def test_each_round_keeps_the_same_share_of_what_the_round_before_kept():
    goal = Goal((Limit(Cost.MACS, 0.125), Limit(Cost.PARAMETERS, amount=costs(ANALYSIS).parameters // 8)), multiple=4)
    goals = goals_of(ANALYSIS, goal, NONE, Choose.SCORES, 3)
    assert [g.limits[0].share for g in goals] == pytest.approx([0.5, 0.25, 0.125]) and goals[-1] == goal
    assert [g.limits[1].amount for g in goals] == pytest.approx(costs(ANALYSIS).parameters / np.array([2, 4, 8]), abs=1)
    assert all(g.multiple == 4 for g in goals) and goals_of(ANALYSIS, goal, NONE, Choose.SCORES, 1) == [goal]


def test_rounds_begin_at_what_the_state_costs():
    gone = suggest(ANALYSIS, tiny_scores(ANALYSIS), 0.5)
    now = costs(ANALYSIS, gone).macs / costs(ANALYSIS).macs
    first, _ = goals_of(ANALYSIS, Goal((Limit(Cost.MACS, now / 4),)), gone, Choose.SCORES, 2)
    assert first.limits[0].share == pytest.approx(now / 2)
    met = Goal((Limit(Cost.MACS, 0.9),))
    assert goals_of(ANALYSIS, met, gone, Choose.SCORES, 2) == [met, met]
