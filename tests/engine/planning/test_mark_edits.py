from dataclasses import replace

import numpy as np
import pytest

from secateur.engine.errors import Message, PlanError
from secateur.engine.planning.marks import PlanMasks, below, keep
from secateur.engine.structures.analysis import Constraint, CountBundle, CountRule, Kind

from ...app.demo_analysis import scores_of, small_resnet

ANALYSIS = small_resnet()
SCORES = scores_of(ANALYSIS)
NONE = ANALYSIS.empty()
FILTERS = next(n for n, s in enumerate(ANALYSIS.sets) if s.kind is Kind.FILTER)
PLACE = ANALYSIS.sets[FILTERS].structures


def locking(numbers: list[int]) -> np.ndarray:
    mask = ANALYSIS.empty()
    mask[numbers] = True
    return mask


def test_a_threshold_marks_exactly_what_scores_below_it():
    middle = float(np.median(SCORES[PLACE]))
    after = below(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), [FILTERS], middle)
    assert (after[PLACE] == (SCORES[PLACE] < middle)).all()
    assert after.sum() == after[PLACE].sum()


def test_a_lower_threshold_spares_again_and_the_given_marks_are_untouched():
    high = below(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), [FILTERS], 0.9)
    before = high.copy()
    low = below(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS, marked=high), [FILTERS], 0.0)
    assert not low.any() and (high == before).all()


def test_a_threshold_above_everything_leaves_the_best_of_what_is_there():
    removed = locking([PLACE.start + int(np.argmax(SCORES[PLACE]))])
    after = below(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS, removed=removed), [FILTERS], np.inf)
    left = np.flatnonzero(~after[PLACE] & ~removed[PLACE])
    assert len(left) == 1
    assert SCORES[PLACE][left[0]] == np.sort(SCORES[PLACE])[-2]


def test_what_is_locked_or_unknown_is_not_marked_by_a_threshold():
    scores = SCORES.copy()
    scores[PLACE.start] = np.nan
    locked = locking([PLACE.start + 1])
    after = below(ANALYSIS, scores, PlanMasks.of(ANALYSIS, locked=locked), [FILTERS], np.inf)
    assert not after[PLACE.start] and not after[PLACE.start + 1]


def test_keeping_four_keeps_the_four_best():
    after = keep(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), FILTERS, 4, alone=True)
    best = np.sort(SCORES[PLACE])[-4:]
    assert (np.sort(SCORES[PLACE][~after[PLACE]]) == best).all()


def test_keeping_more_again_spares_marks_of_before():
    few = keep(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), FILTERS, 4, alone=True)
    more = keep(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS, marked=few), FILTERS, 20, alone=True)
    assert (~more[PLACE]).sum() == 20


def test_keeping_none_is_refused():
    with pytest.raises(PlanError):
        keep(ANALYSIS, SCORES, PlanMasks.of(ANALYSIS), FILTERS, 0, alone=True)


def test_sets_that_keep_equal_counts_follow_a_threshold():
    filters = [n for n, s in enumerate(ANALYSIS.sets) if s.kind is Kind.FILTER][:2]
    axes = tuple(ANALYSIS.tensors[ANALYSIS.sets[n].touches[0][0]].axes[0] for n in filters)
    reason = Message("counted.equal", "The 2 parts keep equal counts.")
    even = Constraint(CountRule.EQUAL, axes, ANALYSIS.sets[FILTERS].count, tuple(filters), reason, "split")
    bundle = CountBundle(tuple(filters), (1, 1), ANALYSIS.sets[FILTERS].count - 1)
    analysis = replace(ANALYSIS, constraints=(even,), bundles=(bundle,))
    after = below(analysis, SCORES, PlanMasks.of(analysis), [FILTERS], float(np.median(SCORES[PLACE])))
    other = analysis.sets[filters[1]].structures
    gone = int(after[PLACE].sum())
    assert gone > 0 and set(np.flatnonzero(after[other])) == set(np.argsort(SCORES[other])[:gone])
