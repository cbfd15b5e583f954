"""Marks by hand keep what they say, and a plan that would empty a layer is refused."""

import numpy as np
import pytest

from secateur.engine.errors import PlanError
from secateur.engine.planning.marks import PlanMasks, check_plan, keep
from secateur.engine.structures.analysis import Kind
from tests.engine.builders import tiny_analysis, tiny_scores

ANALYSIS = tiny_analysis()
SCORES = tiny_scores(ANALYSIS)
FILTERS = next(n for n, s in enumerate(ANALYSIS.sets) if s.kind is Kind.FILTER)
ONE = ANALYSIS.sets[FILTERS]
NOTHING = PlanMasks.of(ANALYSIS)


def test_keep_marks_the_weakest_of_one_set() -> None:
    marked = keep(ANALYSIS, SCORES, NOTHING, FILTERS, 10)
    strongest = ONE.first + np.argsort(SCORES[ONE.structures])[-10:]
    assert set(np.flatnonzero(~marked[ONE.structures]) + ONE.first) == set(strongest)
    assert marked.sum() == ONE.count - 10


def test_keep_counts_what_remains_and_leaves_locks_alone() -> None:
    removed, locked = ANALYSIS.empty(), ANALYSIS.empty()
    removed[ONE.first : ONE.first + 4] = True
    locked[ONE.first + 4 : ONE.first + 8] = True
    masks = PlanMasks.of(ANALYSIS, removed=removed, locked=locked)
    marked = keep(ANALYSIS, SCORES, masks, FILTERS, 5)
    assert (~(removed | marked)[ONE.structures]).sum() == 5 and not (marked & (locked | removed)).any()


def test_keep_without_scores_lets_the_last_go() -> None:
    marked = keep(ANALYSIS, None, NOTHING, FILTERS, ONE.count - 3)
    assert np.flatnonzero(marked[ONE.structures]).tolist() == [ONE.count - 3, ONE.count - 2, ONE.count - 1]


@pytest.mark.parametrize("count", [0, -1, ONE.count + 1])
def test_keep_refuses_what_cannot_be(count: int) -> None:
    with pytest.raises(PlanError, match=rf"layer1\.0\.conv1 \(filter\) can keep 1 to 24, not {count}"):
        keep(ANALYSIS, SCORES, NOTHING, FILTERS, count)


def test_a_plan_that_empties_a_layer_is_refused_by_its_name() -> None:
    removed = ANALYSIS.empty()
    removed[ONE.structures] = True
    with pytest.raises(PlanError, match=r"everything from layer1\.0\.conv1 \(filter\)"):
        check_plan(ANALYSIS, removed)


def test_a_layer_may_be_empty_where_its_block_goes() -> None:
    removed = ANALYSIS.empty()
    removed[ONE.structures] = True
    with pytest.raises(PlanError):
        check_plan(ANALYSIS, removed)
    removed[next(s for s in ANALYSIS.sets if s.name == "layer1.0").first] = True
    check_plan(ANALYSIS, removed)


def test_a_plan_of_another_model_is_refused() -> None:
    with pytest.raises(PlanError, match="Plan again"):
        check_plan(ANALYSIS, np.zeros(3, np.bool_))
