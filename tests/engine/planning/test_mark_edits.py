from dataclasses import replace

import numpy as np
import pytest

from secateur.engine.errors import Message, PlanError
from secateur.engine.planning import mark_edits
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
    after = mark_edits.below(ANALYSIS, SCORES, NONE, NONE, NONE, [FILTERS], middle)
    assert (after[PLACE] == (SCORES[PLACE] < middle)).all()
    assert after.sum() == after[PLACE].sum()


def test_a_lower_threshold_spares_again_and_the_given_marks_are_untouched():
    high = mark_edits.below(ANALYSIS, SCORES, NONE, NONE, NONE, [FILTERS], 0.9)
    before = high.copy()
    low = mark_edits.below(ANALYSIS, SCORES, high, NONE, NONE, [FILTERS], 0.0)
    assert not low.any() and (high == before).all()


def test_a_threshold_above_everything_leaves_the_best_of_what_is_there():
    removed = locking([PLACE.start + int(np.argmax(SCORES[PLACE]))])
    after = mark_edits.below(ANALYSIS, SCORES, NONE, removed, NONE, [FILTERS], np.inf)
    left = np.flatnonzero(~after[PLACE] & ~removed[PLACE])
    assert len(left) == 1
    assert SCORES[PLACE][left[0]] == np.sort(SCORES[PLACE])[-2]


def test_what_is_locked_or_unknown_is_not_marked_by_a_threshold():
    scores = SCORES.copy()
    scores[PLACE.start] = np.nan
    locked = locking([PLACE.start + 1])
    after = mark_edits.below(ANALYSIS, scores, NONE, NONE, locked, [FILTERS], np.inf)
    assert not after[PLACE.start] and not after[PLACE.start + 1]


def test_keeping_four_keeps_the_four_best():
    after = mark_edits.keep(ANALYSIS, SCORES, NONE, NONE, NONE, FILTERS, 4)
    best = np.sort(SCORES[PLACE])[-4:]
    assert (np.sort(SCORES[PLACE][~after[PLACE]]) == best).all()


def test_keeping_more_again_spares_marks_of_before():
    few = mark_edits.keep(ANALYSIS, SCORES, NONE, NONE, NONE, FILTERS, 4)
    more = mark_edits.keep(ANALYSIS, SCORES, few, NONE, NONE, FILTERS, 20)
    assert (~more[PLACE]).sum() == 20


def test_keeping_none_is_refused():
    with pytest.raises(PlanError):
        mark_edits.keep(ANALYSIS, SCORES, NONE, NONE, NONE, FILTERS, 0)


def test_sets_that_keep_equal_counts_follow_a_threshold():
    filters = [n for n, s in enumerate(ANALYSIS.sets) if s.kind is Kind.FILTER][:2]
    axes = tuple(ANALYSIS.tensors[ANALYSIS.sets[n].touches[0][0]].axes[0] for n in filters)
    reason = Message("counted.equal", "The 2 parts keep equal counts.")
    even = Constraint(CountRule.EQUAL, axes, ANALYSIS.sets[FILTERS].count, tuple(filters), reason, "split")
    bundle = CountBundle(tuple(filters), (1, 1), ANALYSIS.sets[FILTERS].count - 1)
    analysis = replace(ANALYSIS, constraints=(even,), bundles=(bundle,))
    after = mark_edits.below(analysis, SCORES, NONE, NONE, NONE, [FILTERS], float(np.median(SCORES[PLACE])))
    other = analysis.sets[filters[1]].structures
    gone = int(after[PLACE].sum())
    assert gone > 0 and set(np.flatnonzero(after[other])) == set(np.argsort(SCORES[other])[:gone])
