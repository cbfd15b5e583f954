"""Sets that lose structures in step do so in every way of planning; locks and constraints that clash are said."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.engine.errors import PlanError
from secateur.engine.planning.count_balance import balanced, broken_constraints, check_counts
from secateur.engine.planning.goal import suggest
from secateur.engine.planning.marks import PlanMasks, below, check_plan, keep
from secateur.engine.structures import reasons
from secateur.engine.structures.analysis import Constraint, CountBundle, CountRule, Mask
from secateur.engine.structures.costs import costs, kept_sizes
from tests.engine.planning.stacks import stack

PLAIN = stack(layers=4, width=24)
EVEN = Constraint(CountRule.EQUAL, (0, 1), 24, (0, 1), reasons.equal_parts("aten.split", 2), "split")
LEAST = Constraint(CountRule.AT_LEAST, (2,), 20, (2,), reasons.at_least("aten.topk", 20), "router")
ANALYSIS = replace(
    PLAIN, constraints=(EVEN, LEAST), bundles=(CountBundle((0, 1), (1, 1), 23), CountBundle((2,), (1,), 4))
)
NONE = ANALYSIS.empty()
SCORES = np.random.default_rng(0).random(ANALYSIS.count)


def gone(mask: Mask) -> list[int]:
    return [int(mask[one.structures].sum()) for one in ANALYSIS.sets]


@given(st.floats(0.35, 0.95), st.sampled_from([1, 4, 8]), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_suggestion_keeps_the_constraints_and_its_goal_and_takes_the_weakest(
    share: float, multiple: int, seed: int
) -> None:
    scores = np.random.default_rng(seed).random(ANALYSIS.count)
    plan = suggest(ANALYSIS, scores, share, multiple=multiple)
    check_plan(ANALYSIS, plan)
    assert costs(ANALYSIS, plan).macs <= share * costs(ANALYSIS, NONE).macs + 1
    first, second, third, _ = gone(plan)
    assert first == second and third <= 4 and (24 - first) % multiple == 0
    for one in ANALYSIS.sets:
        here, there = scores[one.structures][plan[one.structures]], scores[one.structures][~plan[one.structures]]
        assert here.max(initial=-np.inf) < there.min()


def test_a_suggestion_evens_out_what_was_marked_by_hand() -> None:
    by_hand = NONE.copy()
    by_hand[:5] = True
    locked = NONE.copy()
    locked[5:24] = True
    plan = suggest(ANALYSIS, SCORES, 0.9, removed=by_hand, locked=locked)
    assert gone(plan)[:2] == [5, 5] and plan[by_hand].all() and not plan[locked].any()


def test_keeping_some_of_one_set_keeps_as_many_of_the_other() -> None:
    marked = keep(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), 1, 10)
    assert gone(marked) == [14, 14, 0, 0]
    weakest = np.argsort(SCORES[:24])[:14]
    assert sorted(np.flatnonzero(marked[:24])) == sorted(weakest)


def test_keep_refuses_what_constraints_do_not_allow() -> None:
    with pytest.raises(PlanError, match=r"layer2 \(neuron\) can keep 20 to 24, not 19"):
        keep(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), 2, 19)
    steps = replace(ANALYSIS, bundles=(CountBundle((0, 1), (2, 1), 11),))
    with pytest.raises(PlanError, match=r"can keep 2 to 24 in steps of 2, not 9"):
        keep(steps, SCORES, PlanMasks.of(steps), 0, 9)


def test_a_threshold_on_both_sets_leaves_them_even() -> None:
    marked = below(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), [0, 1], 0.3)
    under = [int((SCORES[one.structures] < 0.3).sum()) for one in ANALYSIS.sets[:2]]
    assert gone(marked)[:2] == [max(under)] * 2 and under[0] != under[1]


def test_the_other_set_follows_the_one_that_was_touched() -> None:
    touched, marked = NONE.copy(), NONE.copy()
    touched[3] = marked[3] = True
    after = balanced(ANALYSIS, marked, NONE, SCORES, NONE, touched)
    assert after[3] and gone(after) == [1, 1, 0, 0]
    assert int(np.flatnonzero(after[24:48])[0]) == int(np.argmin(SCORES[24:48]))
    after[3] = False
    assert not balanced(ANALYSIS, after, NONE, SCORES, NONE, touched).any()


def test_marks_that_are_even_already_are_left_alone() -> None:
    marked = NONE.copy()
    marked[[0, 5, 30, 40]] = True
    assert (balanced(ANALYSIS, marked, scores=SCORES) == marked).all()


def test_locks_that_leave_no_way_are_said() -> None:
    marked, locked = NONE.copy(), NONE.copy()
    marked[:3] = True
    locked[24:48] = True
    after = balanced(ANALYSIS, marked, NONE, SCORES, locked, marked)
    assert not after.any()
    with pytest.raises(PlanError, match=r"keeps 21 and 24 in layer0, layer1\. The 2 parts of aten\.split must keep"):
        check_plan(ANALYSIS, marked)


def test_too_few_of_what_is_chosen_from_are_refused() -> None:
    marked = NONE.copy()
    marked[48:53] = True
    with pytest.raises(PlanError, match=r"keeps 19 in layer2\. aten\.topk selects 20 of these"):
        check_counts(ANALYSIS, marked, kept_sizes(ANALYSIS, marked))
    assert not [*broken_constraints(ANALYSIS, balanced(ANALYSIS, marked))]
